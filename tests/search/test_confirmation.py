"""Finalists are trained again as soon as nothing can take their place."""

from types import SimpleNamespace

from ray.tune.search import Searcher

from search.confirmation import Confirming
from search.records import TrialRecord


class Bridge:
    """As many suggestions as are asked for."""

    def __init__(self):
        self.trials = {}

    def suggest(self, trial_id):
        self.trials[trial_id] = max(self.trials.values(), default=-1) + 1
        return {"trial": self.trials[trial_id], "leaves": {}}

    def go_on(self, trial_id, number):
        self.trials[trial_id] = number

    def on_trial_complete(self, trial_id, result=None, error=False):
        pass


class Known:
    """A history that keeps suggestions and is ranked by the test."""

    def __init__(self, records=()):
        self.records = {record.key: record for record in records}
        self.ranking = []
        self.storage = SimpleNamespace(has_room=True)
        self.nodes = SimpleNamespace(fitting=100)

    @property
    def searched(self):
        return [record for record in self.records.values() if record.seed is None]

    def look(self):
        """Ray and the disk of this test are well."""

    def ranked(self):
        return self.ranking

    def suggested(self, number, seed, leaves):
        return self.records.setdefault((number, seed), TrialRecord(number, leaves, seed))


def search(trials, confirm, seeds, deadline=float("inf"), records=()):
    history = Known(records)
    return Confirming(Bridge(), history, trials, confirm, seeds, deadline), history.ranking


def test_a_certain_finalist_starts_while_others_still_run():
    confirming, ranking = search(trials=4, confirm=2, seeds=[1, 2])
    assert [confirming.suggest(name)["seed"] for name in "abcd"] == [None] * 4
    assert confirming.suggest("e") is None
    for name, number in (("a", 0), ("b", 1)):
        ranking.append(TrialRecord(number, {"optimizer/lr": 0.1}, state="completed"))
        confirming.on_trial_complete(name)
    assert confirming.suggest("e") is None, "two may still pass both"
    ranking.append(TrialRecord(2, {}, state="pruned"))
    confirming.on_trial_complete("c")
    again = confirming.suggest("e")
    leaves = {"optimizer/lr": 0.1, "training/seed": 1}
    assert again == {"trial": 0, "leaves": leaves, "seed": 1, "folder": "trial-0000-seed-1"}
    assert confirming.suggest("f")["seed"] == 2 and confirming.suggest("g") is None
    ranking.insert(0, TrialRecord(3, {}, state="completed"))  # the last one becomes the best
    confirming.on_trial_complete("d")
    assert [(found["trial"], found["seed"]) for found in map(confirming.suggest, "gh")] == [(3, 1), (3, 2)]
    assert confirming.suggest("i") == Searcher.FINISHED


def test_failed_trials_are_no_finalists_and_fewer_may_be_left():
    confirming, ranking = search(trials=2, confirm=2, seeds=[1])
    confirming.suggest("a"), confirming.suggest("b")
    ranking += [TrialRecord(1, {}, state="completed"), TrialRecord(0, {}, state="failed")]
    confirming.on_trial_complete("a", error=True), confirming.on_trial_complete("b")
    assert confirming.suggest("c")["trial"] == 1 and confirming.suggest("d") == Searcher.FINISHED


def test_after_the_deadline_nothing_new_is_tried():
    confirming, _ = search(trials=5, confirm=0, seeds=[1], deadline=-1.0)
    assert confirming.suggest("a") == Searcher.FINISHED


def test_what_was_cut_off_goes_on_first_and_nothing_is_confirmed_twice():
    records = [
        TrialRecord(0, {}, state="completed"),
        TrialRecord(1, {"optimizer/lr": 0.1}),
        TrialRecord(0, {}, 1, state="completed"),
        TrialRecord(0, {}, 2),
    ]
    confirming, ranking = search(trials=3, confirm=1, seeds=[1, 2], records=records)
    assert [confirming.suggest(name)["folder"] for name in "ab"] == ["trial-0001", "trial-0000-seed-2"]
    assert confirming.bridge.trials == {"a": 1} and confirming.running == {"a"}
    assert confirming.suggest("c")["seed"] is None and len(confirming.history.searched) == 3
    ranking += [records[0], records[1]]
    confirming.on_trial_complete("a"), confirming.on_trial_complete("c")
    assert confirming.suggest("d") == Searcher.FINISHED, "both seeds of the best are there"


def test_nothing_starts_while_the_disk_is_full():
    confirming, _ = search(trials=3, confirm=0, seeds=[1])
    confirming.history.storage.has_room = False
    assert confirming.suggest("a") is None
    confirming.history.storage.has_room = True
    assert confirming.suggest("a")["seed"] is None


def test_a_machine_that_joins_gets_trials_at_once():
    confirming, _ = search(trials=5, confirm=1, seeds=[1])
    confirming.history.nodes.fitting = 1
    assert confirming.suggest("a") and confirming.suggest("b") is None
    confirming.history.nodes.fitting = 3
    assert confirming.suggest("b") and confirming.suggest("c") and confirming.suggest("d") is None
    confirming.history.nodes.fitting = 1
    confirming.on_trial_complete("a")
    assert confirming.suggest("d") is None, "two still run, where one fits"
