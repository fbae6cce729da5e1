"""Who is stopped, why, and what is said of it."""

import time
from types import SimpleNamespace

import pytest

from search.early_stopping import MINIMUM_RESULTS, OUT_OF_TIME, EarlyStopping, is_rung
from search.records import METRIC, TrialRecord
from search.rungs import rungs_of, saved_seconds


def report(scheduler, number, epoch, value, seed=None):
    trial = SimpleNamespace(config={"trial": number, "seed": seed})
    return scheduler.on_trial_result(None, trial, {METRIC: value, "epoch": epoch})


def test_rungs():
    assert [epoch for epoch in range(1, 30) if is_rung(epoch)] == [1, 4, 16]


def test_a_rung_waits_and_then_says_why():
    scheduler = EarlyStopping("asha", epochs=9)
    values = [50.0, 10.0, 40.0, 30.0, 20.0]
    assert [report(scheduler, number, 1, value) for number, value in enumerate(values)] == ["CONTINUE"] * 5
    assert len(values) == MINIMUM_RESULTS - 1
    assert report(scheduler, 5, 1, 25.0) == "STOP" and report(scheduler, 6, 1, 45.0) == "CONTINUE"
    assert scheduler.reasons == {5: "stopped after epoch 1: recall@1 25.0, cut 40.0, 4th of 6"}
    assert report(scheduler, 6, 2, 0.0) == "CONTINUE", "epoch 2 is no rung, and this one was judged"


def test_a_trial_that_came_too_early_is_judged_as_soon_as_there_are_enough():
    scheduler = EarlyStopping("asha", epochs=9)
    for number, value in enumerate([50.0, 10.0, 40.0, 30.0, 20.0]):
        report(scheduler, number, 1, value)
    assert report(scheduler, 1, 2, 60.0) == "CONTINUE", "still five"
    report(scheduler, 5, 1, 45.0)
    assert report(scheduler, 4, 2, 60.0) == "STOP" and report(scheduler, 0, 2, 0.0) == "CONTINUE"
    assert scheduler.reasons[4] == "stopped after epoch 2: recall@1 at epoch 1 20.0, cut 45.0, 5th of 6"


def test_the_last_epoch_stops_nobody():
    scheduler = EarlyStopping("asha", epochs=3)
    for number in range(8):
        assert report(scheduler, number, 3, 50.0 - number) == "CONTINUE"


def test_a_finalist_that_is_trained_again_is_left_alone():
    scheduler = EarlyStopping("asha", epochs=9, deadline=time.monotonic() - 1)
    assert report(scheduler, 0, 1, 1.0, seed=2) == "CONTINUE" and not scheduler.curves


def test_the_median_rule_compares_the_best_so_far_with_the_others_means():
    scheduler = EarlyStopping("median", epochs=9)
    for number in range(5):
        report(scheduler, number, 1, 30.0)
        report(scheduler, number, 2, 50.0)
    assert report(scheduler, 5, 1, 35.0) == "CONTINUE" and report(scheduler, 5, 2, 20.0) == "STOP"
    assert scheduler.reasons[5] == "stopped after epoch 2: recall@1 35.0, cut 40.0, 6th of 6"
    assert report(scheduler, 6, 1, 41.0) == "CONTINUE" and report(scheduler, 6, 2, 20.0) == "CONTINUE"


def test_without_early_stopping_only_time_stops():
    scheduler = EarlyStopping("none", epochs=9)
    assert {report(scheduler, number, 1, -1.0 * number) for number in range(20)} == {"CONTINUE"}
    late = EarlyStopping("none", epochs=9, deadline=time.monotonic() - 1)
    assert report(late, 0, 1, 50.0) == "STOP" and late.reasons == {0: OUT_OF_TIME}


def record(number, values, state):
    epochs = [{"epoch": at, METRIC: value, "val/recall_at_5": value} for at, value in enumerate(values, start=1)]
    return TrialRecord(number, {}, state=state, epochs=epochs, seconds=10.0 * len(values))


def test_what_a_rung_stopped_and_how_well_it_foretold():
    trials = [
        record(0, [10, 20, 30, 35, 40], "completed"),
        record(1, [20, 25, 20, 20, 20], "completed"),
        record(2, [15, 20, 25, 30, 35], "completed"),
        record(3, [5], "pruned"),
    ]
    first, fourth = rungs_of(trials, 5)
    assert (first.epoch, first.reached, first.stopped, first.completed) == (1, 4, 1, 3)
    assert first.rank_correlation == pytest.approx(-1.0) and fourth.rank_correlation == pytest.approx(1.0)
    assert saved_seconds(trials, 5) == 40.0
