"""What a person sees while a search runs: a picture on a terminal, plain and rare lines elsewhere."""

import io
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console

from search.meters import gpu_use
from search.picture import draw
from search.records import Report, TrialRecord
from search.screen import Screen
from search.standing import Standing, describe, duration, improvements, seconds_left

NOW = 1_000_000.0
EPOCHS = 8


def trial(number, recalls, state="running", seed=None):
    """Epochs of 10 s."""
    epochs = [
        {
            "epoch": at,
            "val/recall_at_1": recall,
            "val/recall_at_5": recall,
            "train/seconds": 8.0,
            "val/seconds": 2.0,
            "train/images_per_second": 812.0,
        }
        for at, recall in enumerate(recalls, 1)
    ]
    leaves = {"loss/name": "triplet", "optimizer/lr": 0.0025, "loss/miner": "none", "loss/margin": 0.3}
    return TrialRecord(number, leaves, seed, state, epochs=epochs)


def standing(*records, trials=12, confirmations=4, slots=2, budget_s=None):
    """Of trainings that told their last epoch five seconds ago."""
    return Standing(
        *("mine", trials, confirmations, EPOCHS, slots, records),
        reports=[
            Report(r.number, e["epoch"], e["val/recall_at_1"]) for r in records if r.seed is None for e in r.epochs
        ],
        running={record.key: NOW - 5 for record in records if not record.has_ended},
        seconds=130.0,
        budget_s=budget_s,
        now=NOW,
    )


MIDDLE = standing(
    trial(0, [20.0, 21.0], "completed"),
    trial(1, [30.0, 47.0], "completed"),
    trial(2, [22.0], "pruned"),
    trial(3, [50.0, 54.0, 53.0]),
    trial(4, [10.0], "failed"),
    trial(1, [44.0], seed=1),
)


def lines_of(picture, width):
    console = Console(record=True, width=width, file=io.StringIO(), markup=False)
    console.print(picture)
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_the_picture_says_how_far_the_search_is(width):
    lines = lines_of(draw(MIDDLE, "cores 98 % · disk 41 MB, 7 GB free", "", width, 40), width)
    text = "\n".join(lines)
    assert max(map(len, lines)) <= width
    for fact in (
        *("4/12", "confirmations 0/4", "2 completed, 1 pruned, 1 failed", "54.0 trial 3, epoch 2"),
        *("21.0 trial 0 -> 47.0 trial 1 -> 54.0 trial 3", "slots 2/2", "cores 98 %", "disk 41 MB", "left"),
    ):
        assert fact in text
    row = next(line for line in lines if line.startswith("3 "))
    assert "4/8" in row and "53.0" in row and "54.0" in row and "812" in row and "triplet" in row and "█" in row
    assert any(line.startswith("1 seed 1 ") for line in lines)


@pytest.mark.parametrize("width", [80, 120])
def test_many_trials_take_half_of_a_small_terminal(width):
    many = standing(*(trial(number, [20.0]) for number in range(16)), slots=16)
    lines = lines_of(draw(many, "", "interrupted", width, 24), width)
    assert len(lines) <= 14 and max(map(len, lines)) <= width
    assert lines[-1].strip() == "and 12 more" and any("interrupted" in line for line in lines)


def test_before_the_first_epoch_nothing_is_promised():
    early = standing(trial(0, []), trial(1, []))
    assert seconds_left(early) is None
    assert "time left not known yet" in "\n".join(lines_of(draw(early, "", "", 80, 24), 80))


def test_the_time_left_of_full_trainings_is_their_epochs_over_the_slots():
    """Nobody was stopped: 10 trials of 8 epochs of 10 s, and one epoch and a half of each that runs, on two slots."""
    one = standing(*(trial(number, [20.0] * 7) for number in (0, 1)), trials=12, confirmations=0)
    assert seconds_left(one) == pytest.approx((10 * 80 + 2 * 5) / 2)
    assert seconds_left(replace(one, budget_s=140.0)) == pytest.approx(20.0)
    stopped = standing(*(trial(number, [20.0], "pruned") for number in range(6)), confirmations=0)
    assert seconds_left(stopped) < 6 * 80 / 2


def test_trials_that_wait_are_told_apart_from_those_that_run():
    waiting = trial(0, [20.0])
    waiting.waits = True
    found = standing(waiting, trial(1, [30.0]))
    del found.running[waiting.key]
    lines = lines_of(draw(found, "", "", 80, 24), 80)
    assert any(line.strip().endswith("0 failed; 1 waiting to be compared") for line in lines)
    assert ", 1 running (trial 1 at epoch 1), 1 waiting to be compared; best" in describe(found)


def test_improvements_are_those_of_the_trials_that_did_not_fail():
    assert improvements(standing(trial(0, [90.0], "failed"), trial(1, [10.0, 30.0, 20.0]), trial(2, [30.0]))) == [
        (30.0, 1)
    ]


def test_a_log_gets_one_line_after_a_long_silence():
    sink = io.StringIO()
    screen = Screen(Console(file=sink, width=120, highlight=False), silence_s=0.05)
    with screen.showing(lambda: "picture", lambda: describe(MIDDLE)):
        screen.look()
        assert sink.getvalue() == ""
        time.sleep(0.1)
        screen.look()
        screen.look()
    assert re.fullmatch(r"progress  4/12 trials, 0/4 again, 2 running \(.*\); best 54.0 .* left\n", sink.getvalue())


def test_words_for_spans_and_gpus():
    assert [duration(s) for s in (40, 180, 7500, 273_600)] == ["40 s", "3 min", "2 h 05 min", "3 d 4 h"]
    assert gpu_use("97, 20000, 46068\n88, 314, 46068\n") == "GPUs 97 % 88 %, 21.3/96.6 GB"
    assert gpu_use("[N/A], 1, 2\n") == "GPUs not known"
