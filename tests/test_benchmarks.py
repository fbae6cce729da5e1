"""What `make bench` writes; its figures are measured by itself, not here."""

import json

import pytest

from tests.benchmarks.searching import rows_of
from tests.benchmarks.table import Row, report


def trial(worker, first_step_at, reported_at, compute_seconds):
    seconds = reported_at - first_step_at
    return {
        "worker": worker,
        "first_step_at": first_step_at,
        "reported_at": reported_at,
        "seconds": seconds,
        "compute_seconds": compute_seconds,
    }


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
    trials = [trial("w1", 10, 70, 58.0), trial("w1", 70.4, 130, 57.0), trial("w2", 11, 20, 8.0)]
    summary = {"trials": trials, "finalists": [], "wall_seconds": 140.0, "ray_seconds": 5.0, "slots": 2}
    share, minute, gap = rows_of(summary)
    assert share.value == pytest.approx(123 / 270) and minute.value == pytest.approx(57 / 60)
    assert gap.value == pytest.approx(0.4) and gap.holds


def test_a_search_without_a_second_trial_is_not_a_measurement():
    with pytest.raises(RuntimeError, match="nothing to measure"):
        rows_of(
            {"finalists": [], "trials": [trial("w1", 1, 2, 1.0)], "wall_seconds": 9.0, "ray_seconds": 1.0, "slots": 1}
        )


def test_trials_that_are_too_short_or_failed_are_told():
    failed = {**trial("", 0, 0, 0.0), "first_step_at": None, "reported_at": None}
    trials = [failed, failed, trial("w1", 1, 3, 1.0), trial("w1", 3.2, 9, 5.0)]
    with pytest.raises(RuntimeError, match="no second trial of a worker lasted 50 s"):
        rows_of({"finalists": [], "trials": trials, "wall_seconds": 9.0, "ray_seconds": 1.0, "slots": 1})
