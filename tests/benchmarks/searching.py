"""A whole search on MiniCity: how much of the slots' time is training."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.table import Row

MINUTE = 50.0
"""Seconds of a training that counts as one of a minute."""
COMPUTE = ("train/seconds", "val/seconds")


def search_rows() -> list[Row]:
    """`make search` in its own process."""
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as storage:
        command = [sys.executable, "search/run.py", "--space", "losses", "--name", "bench", "--storage", storage]
        printed, answered_at = [], None
        with subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout
            for line in process.stdout:
                printed.append(line)
                if line.startswith("answer "):
                    answered_at = time.time()
        ended_at = time.time()
        if process.returncode != 0 or answered_at is None:
            raise RuntimeError(f"the search ended with {process.returncode}:\n{''.join(printed)}")
        summary = json.loads((Path(storage) / "bench/summary.json").read_text())
        events = map(json.loads, (Path(storage) / "bench/history.jsonl").read_text().splitlines())
        rows = rows_of(summary, events)
    return [*rows, *_end_rows(summary, answered_at, ended_at)]


def _stretches(events: Iterable[dict[str, Any]]) -> dict[str, list[list[dict[str, Any]]]]:
    """Return by worker its trainings as lists of epochs; one that left its slot to others and came back stands there twice."""
    epochs = [event for event in events if event["event"] == "epoch"]
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for epoch in sorted(epochs, key=lambda epoch: float(epoch["reported_at"])):
        own = found.setdefault(epoch["worker"], [])
        if own and (own[-1][0]["trial"], own[-1][0]["seed"]) == (epoch["trial"], epoch["seed"]):
            own[-1].append(epoch)
        else:
            own.append([epoch])
    return found


def _end_rows(summary: dict[str, Any], answered_at: float, ended_at: float) -> list[Row]:
    last = max(run["reported_at"] for finalist in summary["finalists"] for run in finalist["seeds"])
    first = summary["seconds_to_first_step"]
    return [
        Row("from the command to the first step", "MiniCity is drawn and decoded before", first, None, "s"),
        Row("from the last epoch to the answer", "unix seconds of both", answered_at - last, 5, "s", True),
        Row("from the last epoch to the end of the command", "unix seconds of both", ended_at - last, 15, "s", True),
    ]


def rows_of(summary: dict[str, Any], events: Iterable[dict[str, Any]]) -> list[Row]:
    """Return the rows of a search, from its summary.json and the lines of its history.jsonl."""
    again = [run for finalist in summary["finalists"] for run in finalist["seeds"] if run["seed"] is not None]
    compute = sum(training["compute_seconds"] for training in summary["trials"] + again)
    wall, slots = summary["wall_seconds"] - summary["ray_seconds"], summary["slots"]
    gaps, long_compute, long_slot, count = [], 0.0, 0.0, 0
    for stretches in _stretches(events).values():
        for before, after in pairwise(stretches):
            gaps.append(after[0]["first_step_at"] - before[-1]["reported_at"])
            slot = after[-1]["reported_at"] - before[-1]["reported_at"]
            if after[-1]["reported_at"] - after[0]["first_step_at"] >= MINUTE:
                count += 1
                long_compute += sum(epoch["metrics"][part] for epoch in after for part in COMPUTE)
                long_slot += slot
    if not gaps:
        raise RuntimeError("no worker ran a second trial: nothing to measure between trials")
    if not count:
        raise RuntimeError(
            f"no second training of a worker lasted {MINUTE:g} s: give the search more epochs on this machine"
        )
    return [
        Row(
            "trial compute / slots x wall time of make search",
            f"{compute:.0f} s computed in {slots} slots x {wall:.0f} s (Ray's start of {summary['ray_seconds']:.0f} s apart)",
            compute / (slots * wall),
            0.85,
            "x",
        ),
        Row(
            "the same where trials last a minute",
            f"{count} trainings of about a minute on warm actors: {long_compute:.0f} s computed of {long_slot:.0f} s since the trial before",
            long_compute / long_slot,
            0.95,
            "x",
        ),
        Row(
            "from a stopped trial to the next one's first step",
            f"median of {len(gaps)}, warm actors; longest {max(gaps):.2f} s",
            median(gaps),
            0.5,
            "s",
            is_upper=True,
        ),
    ]
