"""What `make bench` writes; its figures are measured by itself, not here."""

import json

import pytest

from tests.benchmarks.searching import rows_of
from tests.benchmarks.table import Row, report


def epoch(trial, worker, first_step_at, reported_at, compute_seconds):
    metrics = {"train/seconds": compute_seconds - 1, "val/seconds": 1.0}
    known = {"event": "epoch", "trial": trial, "seed": None, "worker": worker, "metrics": metrics}
    return {**known, "first_step_at": first_step_at, "reported_at": reported_at}


def summary(*compute_seconds):
    trials = [{"compute_seconds": seconds} for seconds in compute_seconds]
    return {"trials": trials, "finalists": [], "wall_seconds": 140.0, "ray_seconds": 5.0, "slots": 2}


def test_the_file_says_what_held(tmp_path):
    rows = [
        Row("a", "its peer", 6.0, 5, "x"),
        Row("b", "its limit", 0.7, 0.5, "s", is_upper=True),
        Row("c", "-", 1.0, None, "x"),
    ]
    report(rows, tmp_path / "results/bench.json")
    written = json.loads((tmp_path / "results/bench.json").read_text())["rows"]
    assert [set(row) for row in written] == [{"name", "peer", "value", "mark", "unit", "holds"}] * 3
    assert [row["holds"] for row in written] == [True, False, None]


def test_the_rows_of_a_search():
    events = [
        {"event": "session"},
        epoch(0, "w1", 10, 30, 19.0),
        epoch(0, "w1", 10, 70, 39.0),
        epoch(1, "w1", 70.4, 130, 57.0),
        epoch(2, "w2", 11, 20, 8.0),
    ]
    share, minute, gap = rows_of(summary(58.0, 57.0, 8.0), events)
    assert share.value == pytest.approx(123 / 270) and minute.value == pytest.approx(57 / 60)
    assert gap.value == pytest.approx(0.4) and gap.holds


def test_a_trial_that_left_its_slot_and_came_back_left_no_gap():
    events = [epoch(0, "w", 0, 10, 9.5), epoch(1, "w", 10.2, 20, 9.5), epoch(0, "w", 20.2, 80, 59.0)]
    events += [epoch(2, "w", 80.2, 140, 59.0)]
    _, minute, gap = rows_of(summary(68.5, 9.5, 59.0), events)
    assert gap.value == pytest.approx(0.2) and minute.value == pytest.approx(118 / 120)


def test_a_search_without_a_second_trial_is_not_a_measurement():
    with pytest.raises(RuntimeError, match="nothing to measure"):
        rows_of(summary(1.0), [epoch(0, "w", 1, 2, 1.0)])


def test_trials_that_are_too_short_or_failed_are_told():
    with pytest.raises(RuntimeError, match="no second training of a worker lasted 50 s"):
        rows_of(summary(0.0, 1.0, 5.0), [epoch(1, "w", 1, 3, 1.0), epoch(2, "w", 3.2, 9, 5.0)])
