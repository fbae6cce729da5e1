"""Who is stopped, why, and what is said of it."""

import time
from types import SimpleNamespace

import pytest

from search.early_stopping import MINIMUM_RESULTS, OUT_OF_TIME, EarlyStopping, is_rung
from search.records import METRIC, TrialRecord
from search.rungs import rungs_of, saved_seconds


def begin(scheduler, *numbers, seed=None):
    for number in numbers:
        scheduler.on_trial_add(None, SimpleNamespace(config={"trial": number, "seed": seed}))


def report(scheduler, number, epoch, value, seed=None):
    trial = SimpleNamespace(config={"trial": number, "seed": seed})
    return scheduler.on_trial_result(None, trial, {METRIC: value, "epoch": epoch})


def test_rungs():
    assert [epoch for epoch in range(1, 30) if is_rung(epoch)] == [1, 4, 16]


def test_a_rung_waits_and_then_says_why():
    scheduler = EarlyStopping("asha", epochs=9, trials=12)
    begin(scheduler, *range(5))  # on five slots
    values = [50.0, 10.0, 40.0]
    assert [report(scheduler, number, 1, value) for number, value in enumerate(values)] == ["CONTINUE"] * 3
    assert len(values) == MINIMUM_RESULTS - 1
    assert report(scheduler, 3, 1, 25.0) == "STOP" and report(scheduler, 4, 1, 45.0) == "CONTINUE"
    assert scheduler.reasons == {3: "stopped after epoch 1: recall@1 25.0, cut 45.0, 3rd of 4"}
    assert report(scheduler, 4, 2, 0.0) == "CONTINUE", "epoch 2 is no rung, and this one was judged"


def test_a_trial_that_came_too_early_is_judged_as_soon_as_there_are_enough():
    scheduler = EarlyStopping("asha", epochs=9, trials=12)
    begin(scheduler, *range(4))
    for number, value in enumerate([50.0, 10.0, 40.0]):
        report(scheduler, number, 1, value)
    assert report(scheduler, 1, 2, 60.0) == "CONTINUE", "still three"
    report(scheduler, 3, 1, 48.0)
    assert report(scheduler, 2, 2, 60.0) == "STOP" and report(scheduler, 0, 2, 0.0) == "CONTINUE"
    assert scheduler.reasons[2] == "stopped after epoch 2: recall@1 by epoch 1 40.0, cut 49.0, 3rd of 4"


def test_with_few_slots_the_first_wait_until_four_can_be_compared():
    scheduler = EarlyStopping("asha", epochs=9, trials=12)
    for number, value in enumerate([10.0, 50.0, 20.0]):
        begin(scheduler, number)
        assert report(scheduler, number, 1, value) == "STOP" and scheduler.release(is_last=False) is None
    assert scheduler.waiting == {0, 1, 2} and not scheduler.reasons
    begin(scheduler, 3)
    assert report(scheduler, 3, 1, 48.0) == "CONTINUE", "with four, nobody waits"
    assert [scheduler.release(is_last=False) for _ in range(4)] == [0, 1, 2, None]
    assert set(scheduler.reasons) == {0, 2}, "and trial 1 goes on"
    assert report(scheduler, 1, 1, 50.0) == "CONTINUE", "it tells its last epoch again"
    assert report(scheduler, 1, 2, 51.0) == "CONTINUE"


def test_whoever_waits_goes_on_when_no_other_comes_and_ends_when_time_is_up():
    scheduler = EarlyStopping("asha", epochs=9, trials=12)
    begin(scheduler, 0)
    assert report(scheduler, 0, 1, 10.0) == "STOP" and scheduler.release(is_last=True) == 0
    assert report(scheduler, 0, 2, 10.0) == "CONTINUE" and not scheduler.reasons
    begin(scheduler, 1)
    assert report(scheduler, 1, 1, 10.0) == "STOP"
    scheduler.deadline = time.monotonic() - 1
    assert scheduler.release(is_last=True) == 1 and scheduler.reasons == {1: OUT_OF_TIME}


def test_a_first_epoch_after_the_deadline_ends_a_trial_and_lets_it_not_wait():
    scheduler = EarlyStopping("asha", epochs=9, trials=12, deadline=time.monotonic() - 1)
    begin(scheduler, 0)
    assert report(scheduler, 0, 1, 10.0) == "STOP"
    assert scheduler.reasons == {0: OUT_OF_TIME} and not scheduler.waiting


def test_failed_trials_are_not_among_those_that_are_waited_for():
    scheduler = EarlyStopping("asha", epochs=9, trials=12)
    begin(scheduler, *range(5))
    assert report(scheduler, 0, 1, 10.0) == "CONTINUE"
    for number in range(1, 4):
        scheduler.give_up(number)
    assert report(scheduler, 0, 2, 10.0) == "CONTINUE", "it is past its first epoch"
    assert report(scheduler, 4, 1, 10.0) == "STOP" and scheduler.waiting == {4}


def test_what_happened_before_an_interruption_is_not_judged_again():
    scheduler = EarlyStopping("asha", epochs=9, trials=12)
    for number, value in enumerate([10.0, 50.0, 20.0, 48.0]):
        scheduler.take_in(number, 1, value, may_wait=number < 3)
    scheduler.take_in(0, 2, 11.0, may_wait=False)  # it was let go, though today it would be stopped
    assert scheduler.waiting == {1, 2} and not scheduler.reasons
    scheduler.let_go(1)
    assert scheduler.release(is_last=False) == 2 and set(scheduler.reasons) == {2}
    assert report(scheduler, 1, 2, 0.0) == "CONTINUE"


@pytest.mark.parametrize(("rule", "trials"), [("none", 12), ("asha", 3)])
def test_nobody_waits_where_nothing_will_be_compared(rule, trials):
    scheduler = EarlyStopping(rule, epochs=9, trials=trials)
    begin(scheduler, 0)
    assert report(scheduler, 0, 1, 10.0) == "CONTINUE" and not scheduler.waiting


def test_one_bad_epoch_at_a_rung_stops_nobody_who_was_good_before():
    scheduler = EarlyStopping("asha", epochs=9, trials=12)
    begin(scheduler, *range(5))
    for number in range(1, 5):
        report(scheduler, number, 4, 60.0)
    for epoch, value in enumerate([63.6, 65.8, 66.8, 58.0], 1):
        assert report(scheduler, 0, epoch, value) == "CONTINUE"


def test_the_last_epoch_stops_nobody():
    scheduler = EarlyStopping("asha", epochs=3, trials=12)
    for number in range(8):
        assert report(scheduler, number, 3, 50.0 - number) == "CONTINUE"


def test_a_finalist_that_is_trained_again_is_left_alone():
    scheduler = EarlyStopping("asha", epochs=9, trials=12, deadline=time.monotonic() - 1)
    assert report(scheduler, 0, 1, 1.0, seed=2) == "CONTINUE" and not scheduler.curves


def test_the_median_rule_compares_the_best_so_far_with_the_others_means():
    scheduler = EarlyStopping("median", epochs=9, trials=12)
    begin(scheduler, *range(7))
    for number in range(5):
        report(scheduler, number, 1, 30.0)
        report(scheduler, number, 2, 50.0)
    assert report(scheduler, 5, 1, 35.0) == "CONTINUE" and report(scheduler, 5, 2, 20.0) == "STOP"
    assert scheduler.reasons[5] == "stopped after epoch 2: recall@1 35.0, cut 40.0, 6th of 6"
    assert report(scheduler, 6, 1, 41.0) == "CONTINUE" and report(scheduler, 6, 2, 20.0) == "CONTINUE"


def test_without_early_stopping_only_time_stops():
    scheduler = EarlyStopping("none", epochs=9, trials=20)
    assert {report(scheduler, number, 1, -1.0 * number) for number in range(20)} == {"CONTINUE"}
    late = EarlyStopping("none", epochs=9, trials=20, deadline=time.monotonic() - 1)
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
