"""Finalists are trained again as soon as nothing can take their place."""

from types import SimpleNamespace

from ray.tune.search import Searcher

from search.confirmation import Confirming
from search.history import TrialRecord


class Bridge:
    """As many suggestions as are asked for."""

    def __init__(self):
        self.trials = {}

    def suggest(self, trial_id):
        self.trials[trial_id] = len(self.trials)
        return {"trial": self.trials[trial_id], "leaves": {}}

    def on_trial_complete(self, trial_id, result=None, error=False):
        pass


def search(trials, confirm, seeds, deadline=float("inf")):
    ranking = []
    history = SimpleNamespace(ranked=lambda: ranking)
    return Confirming(Bridge(), history, trials, confirm, seeds, deadline), ranking


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
    assert again == {"trial": 0, "leaves": {"optimizer/lr": 0.1, "training/seed": 1}, "seed": 1}
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
