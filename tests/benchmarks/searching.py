"""A whole search on MiniCity: how much of the slots' time is training."""

import json
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.table import Row

MINUTE = 50.0
"""Seconds of a trial that counts as one of a minute."""


def search_rows() -> list[Row]:
    """`make search` in its own process."""
    root = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as storage:
        flags = ["--space", "losses", "--name", "bench", "--storage", storage]
        done = subprocess.run([sys.executable, "search/run.py", *flags], cwd=root, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"the search ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return rows_of(json.loads((Path(storage) / "bench/summary.json").read_text()))


def rows_of(summary: dict[str, Any]) -> list[Row]:
    again = [run for finalist in summary["finalists"] for run in finalist["seeds"] if run["seed"] is not None]
    trainings = summary["trials"] + again
    compute = sum(training["compute_seconds"] for training in trainings)
    wall, slots = summary["wall_seconds"] - summary["ray_seconds"], summary["slots"]
    gaps, long_compute, long_slot, count = [], 0.0, 0.0, 0
    reported = [training for training in trainings if training["reported_at"] is not None]
    for worker in {trial["worker"] for trial in reported}:
        own = sorted((t for t in reported if t["worker"] == worker), key=lambda trial: trial["first_step_at"])
        for before, after in pairwise(own):
            gaps.append(after["first_step_at"] - before["reported_at"])
            if after["seconds"] >= MINUTE:
                count += 1
                long_compute += after["compute_seconds"]
                long_slot += after["reported_at"] - before["reported_at"]
    if not gaps:
        raise RuntimeError("no worker ran a second trial: nothing to measure between trials")
    if not count:
        raise RuntimeError(
            f"no second trial of a worker lasted {MINUTE:g} s: give the search more epochs on this machine"
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
            f"{count} trials of about a minute on warm actors: {long_compute:.0f} s computed of {long_slot:.0f} s since the trial before",
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
