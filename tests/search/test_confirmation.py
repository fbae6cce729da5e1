"""Finalists are trained again as soon as nothing can take their place."""

from types import SimpleNamespace

from ray.tune.search import Searcher

from search.confirmation import Confirming
from search.early_stopping import EarlyStopping
from search.records import METRIC, TrialRecord
from tests.benchmarks.simulation import Memory


class Bridge:
    """As many suggestions as are left."""

    def __init__(self):
        self.trials = {}
        self.left = 1000
        self.completed = []
        self.pruned = []

    def suggest(self, trial_id):
        if len(self.trials) == self.left:
            return None
        self.trials[trial_id] = max(self.trials.values(), default=-1) + 1
        return {"trial": self.trials[trial_id], "leaves": {}}

    def go_on(self, trial_id, number):
        self.trials[trial_id] = number

    def on_trial_result(self, trial_id, result):
        pass

    def on_trial_complete(self, trial_id, result=None, error=False):
        self.completed.append(self.trials[trial_id])

    def prune(self, number):
        self.pruned.append(number)


def search(trials, confirm, seeds, deadline=float("inf"), records=()):
    history = Memory(trials, records)
    early_stopping = EarlyStopping("none", 9, trials, deadline)
    return Confirming(Bridge(), history, early_stopping, confirm, seeds), history.ranking


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
    assert confirming.suggest("i") is None, "who loses its worker now would have to go on"
    for name in "efgh":
        confirming.on_trial_complete(name)
    assert confirming.suggest("i") == Searcher.FINISHED


def test_who_loses_its_worker_goes_on_before_anything_else():
    confirming, ranking = search(trials=1, confirm=1, seeds=[1, 2])
    lost = confirming.history.lost
    lost.add((0, None))
    first = confirming.suggest("a")
    confirming.on_trial_complete("a", error=True)
    assert confirming.suggest("b") == first and confirming.bridge.trials["b"] == 0 and confirming.bridge.completed == []
    ranking.append(TrialRecord(0, {}, state="completed"))
    confirming.on_trial_complete("b")
    again = confirming.suggest("c")
    assert confirming.suggest("d")["seed"] == 2
    lost.add((0, 1))
    confirming.on_trial_complete("d")
    confirming.on_trial_complete("c", error=True)
    assert confirming.suggest("e") == again
    lost.clear()
    confirming.on_trial_complete("e", error=True)
    assert confirming.suggest("f") == Searcher.FINISHED and confirming.bridge.completed == [0]


def test_a_new_leader_of_a_larger_budget_is_confirmed_beside_former_finalists():
    former = [TrialRecord(0, {}, state="completed"), TrialRecord(0, {}, 1, state="completed")]
    confirming, ranking = search(trials=3, confirm=2, seeds=[1], records=former)
    confirming.bridge.trials["before"] = 0
    assert [confirming.suggest(name)["trial"] for name in "ab"] == [1, 2]
    ranking += [TrialRecord(1, {}, state="completed"), TrialRecord(2, {}, state="completed"), former[0]]
    confirming.on_trial_complete("a"), confirming.on_trial_complete("b")
    assert [(again["trial"], again["seed"]) for again in map(confirming.suggest, "cd")] == [(1, 1), (2, 1)]
    confirming.on_trial_complete("c"), confirming.on_trial_complete("d")
    assert confirming.suggest("e") == Searcher.FINISHED


def test_a_trial_that_failed_before_its_first_epoch_is_not_waited_for():
    confirming, _ = search(trials=5, confirm=0, seeds=[1])
    confirming.early_stopping.begun.add(confirming.suggest("a")["trial"])
    confirming.on_trial_complete("a", error=True)
    assert not confirming.early_stopping.begun


def test_failed_trials_are_no_finalists_and_fewer_may_be_left():
    confirming, ranking = search(trials=2, confirm=2, seeds=[1])
    confirming.suggest("a"), confirming.suggest("b")
    ranking += [TrialRecord(1, {}, state="completed"), TrialRecord(0, {}, state="failed")]
    confirming.on_trial_complete("a", error=True), confirming.on_trial_complete("b")
    assert confirming.suggest("c")["trial"] == 1 and confirming.suggest("d") is None


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
    assert confirming.bridge.trials == {"a": 1} and confirming.running == 1
    assert confirming.suggest("c")["seed"] is None and len(confirming.history.searched) == 3
    ranking += [records[0], records[1]]
    confirming.on_trial_complete("a"), confirming.on_trial_complete("b"), confirming.on_trial_complete("c")
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


def test_a_trial_that_waited_goes_on_before_another_begins():
    confirming, ranking = search(trials=5, confirm=0, seeds=[1])
    confirming.early_stopping = early_stopping = EarlyStopping("asha", 9, trials=5)
    confirming.history.nodes.fitting = 1

    def train(name, value):
        suggestion = confirming.suggest(name)
        trial = SimpleNamespace(config=suggestion)
        early_stopping.on_trial_add(None, trial)
        result = {METRIC: value, "epoch": 1}
        if early_stopping.on_trial_result(None, trial, result) == "STOP":
            confirming.on_trial_complete(name, result)
        return suggestion["trial"]

    assert [train(name, value) for name, value in (("a", 10.0), ("b", 50.0), ("c", 20.0), ("d", 30.0))] == [0, 1, 2, 3]
    assert confirming.history.ended == [] and confirming.bridge.completed == [3]
    assert confirming.suggest("e")["trial"] == 1, "the best of those that waited"
    assert confirming.history.ended == [0] and confirming.bridge.pruned == [0]
    confirming.on_trial_complete("e")
    assert confirming.suggest("f")["trial"] == 4, "trial 2 was stopped, and a new one begins"
    assert confirming.history.ended == [0, 2]


def test_a_space_without_another_configuration_ends_the_search():
    confirming, ranking = search(trials=5, confirm=1, seeds=[1])
    confirming.bridge.left = 2
    assert confirming.suggest("a") and confirming.suggest("b") and confirming.suggest("c") is None
    assert confirming.history.trials == 2
    ranking += [TrialRecord(0, {}, state="completed"), TrialRecord(1, {}, state="pruned")]
    confirming.on_trial_complete("a"), confirming.on_trial_complete("b")
    assert confirming.suggest("d")["seed"] == 1


def test_a_trial_that_waited_when_the_search_was_interrupted_waits_on():
    confirming, _ = search(trials=5, confirm=0, seeds=[1], records=[TrialRecord(0, {}, waits=True)])
    confirming.bridge.trials["before"] = 0
    confirming.early_stopping = EarlyStopping("asha", 9, trials=5)
    confirming.early_stopping.take_in(0, 1, 30.0, may_wait=True)
    assert confirming.suggest("a")["trial"] == 1 and confirming.early_stopping.waiting == {0}


def test_after_an_interruption_nothing_starts_even_while_the_disk_is_full():
    confirming, _ = search(trials=5, confirm=0, seeds=[1])
    assert confirming.suggest("a")
    confirming.was_interrupted = lambda: True
    confirming.history.storage.has_room = False
    assert confirming.suggest("b") == Searcher.FINISHED
