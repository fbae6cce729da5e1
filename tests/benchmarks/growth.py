"""`make growth`: what a search of 50, 200 and 1,000 trials costs beside Ray Tune alone, with trials that sleep for two seconds."""

import contextlib
import json
import logging
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import ray
from ray import tune
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console
from rich.table import Table

import search  # noqa: F401  before Ray
from search.bridge import OptunaBridge
from search.cluster import Slots
from search.confirmation import Confirming
from search.early_stopping import EarlyStopping
from search.history import History
from search.records import METRIC
from search.sampler import RANDOM_TRIALS
from search.screen import Screen
from search.space import load_space
from search.tracking import Tracker, default_address
from search.tuning import drive
from vpr.leaves import from_leaves

COUNTS = (50, 200, 1000)
SLOTS = 8
SECONDS = 2.0
"""Of a trial."""
SEED = 0


class Times(tune.Callback):
    """When each trial began and reported, on which worker."""

    def __init__(self) -> None:
        self.found: list[tuple[int, float, float]] = []

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.found.append((result["pid"], result["began_at"], result["reported_at"]))


def sleep(config: dict[str, Any]) -> None:
    """A trial: two seconds, and a recall that depends on the learning rate."""
    began_at = time.time()
    time.sleep(SECONDS)
    leaves = config.get("leaves", config)
    recall = 60 - 5 * abs(math.log10(leaves["optimizer/lr"]) + 2) + random.random()
    recalls = {f"val/recall_at_{n}": recall for n in (1, 5, 10, 20)}
    seconds = {"train/seconds": SECONDS, "val/seconds": 0.0, "train/loss": 1.0}
    now = time.time()
    tune.report({**recalls, **seconds, "epoch": 1, "began_at": began_at, "first_step_at": began_at, "reported_at": now})


def ours(trials: int, folder: Path, times: Times) -> None:
    """The search's own parts, with Optuna's journal and MLflow's SQLite."""
    base = from_leaves({"training/epochs": 1})
    space = load_space("losses")
    slots = Slots(1, 0, SLOTS, "this machine", "")
    early_stopping = EarlyStopping("asha", 1, trials)
    tracker = Tracker(default_address(folder), "growth", "growth-1", {}, folder)
    with Path(os.devnull).open("w") as nowhere:
        screen = Screen(Console(file=nowhere))
        history = History(folder, base, tracker, screen, trials, 0, [], 3, early_stopping, "", slots)
        bridge = OptunaBridge(space, folder / "study.journal", "growth", base, {}, SEED)
        searcher = Confirming(bridge, history, early_stopping, 0, [])
        drive(sleep, slots, searcher, [times])
    while tracker.waiting:  # what MLflow does not have yet is part of the cost
        time.sleep(0.01)
    assert not tracker.failures, f"{tracker.failures} calls of MLflow failed, the last: {tracker.last_failure}"


def ray_alone(trials: int, folder: Path, times: Times) -> None:
    """Ray Tune with its OptunaSearch, and TPE that starts after as many random trials as ours."""
    space = load_space("losses")
    sampler = optuna.samplers.TPESampler(seed=SEED, n_startup_trials=RANDOM_TRIALS)
    searcher = OptunaSearch(space=space.suggest, metric=METRIC, mode="max", sampler=sampler)
    tune.Tuner(
        tune.with_resources(_flat, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=searcher, num_samples=trials, max_concurrent_trials=SLOTS, reuse_actors=True
        ),
        run_config=tune.RunConfig(name="growth", storage_path=str(folder), callbacks=[times], verbose=0),
    ).fit()


def _flat(config: dict[str, Any]) -> None:
    # OptunaSearch hands leaves as nested dictionaries.
    sleep({f"{room}/{leaf}": value for room, leaves in config.items() for leaf, value in leaves.items()})


METHODS = {"ours": ours, "Ray alone": ray_alone}


def measure(method: str, trials: int) -> None:
    """One search in this process; prints seconds from the first trial's begin until all is written, and the mean pause between trials of a worker, by tenth, as JSON."""
    logging.disable(logging.WARNING)
    ray.init(
        address="local",
        num_cpus=SLOTS,
        include_dashboard=False,
        object_store_memory=100 * 1024**2,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    times, before = Times(), time.process_time()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        METHODS[method](trials, Path(folder), times)
        ended = time.time()
    assert len(times.found) == trials, f"{len(times.found)} of {trials} trials reported"
    workers: dict[int, list[tuple[float, float]]] = {}
    for pid, began, reported in times.found:
        workers.setdefault(pid, []).append((began, reported))
    # Where workers start further apart than a trial lasts, Tune gives up those that are still to come, search or not.
    assert len(workers) == SLOTS, (
        f"{len(workers)} of {SLOTS} slots were used, as this machine is too busy; measure again"
    )
    pauses = sorted(
        (after[0], after[0] - before[1])
        for own in workers.values()
        for before, after in zip(sorted(own)[:-1], sorted(own)[1:], strict=True)
    )
    seconds = [pause for _, pause in pauses]
    tenth = max(len(seconds) // 10, 1)
    wall = ended - min(began for _, began, _ in times.found)
    driver = (time.process_time() - before) / trials
    means = {"first": float(np.mean(seconds[:tenth])), "last": float(np.mean(seconds[-tenth:]))}
    print(json.dumps({"wall": wall, "driver": driver, **means}))


def main(counts: list[int]) -> None:
    """Print the table and write results/growth.json."""
    rows = []
    for trials in counts:
        found = {}
        for method in METHODS:
            command = [sys.executable, "-m", "tests.benchmarks.growth", method, str(trials)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(done.stderr[-3000:])
            found[method] = json.loads(done.stdout.splitlines()[-1])
            print(trials, method, found[method], flush=True)
        rows.append({"trials": trials, **found})
    table = Table(title=f"trials of {SECONDS:g} s at {SLOTS} slots")
    for heading in (
        "trials",
        "ours s",
        "Ray alone s",
        "ratio (mark 1.15)",
        "overhead of a result",
        "Ray's",
        "a trial, last / first tenth (mark 1.3)",
        "Ray's",
        "pause before a trial, first -> last tenth",
        "Ray's",
        "driver's CPU of a result",
        "Ray's",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        own, other = row["ours"], row["Ray alone"]
        overhead = [1000 * (one["wall"] * SLOTS / row["trials"] - SECONDS) for one in (own, other)]
        growth = [(SECONDS + one["last"]) / (SECONDS + one["first"]) for one in (own, other)]
        table.add_row(
            str(row["trials"]),
            f"{own['wall']:.1f}",
            f"{other['wall']:.1f}",
            f"{own['wall'] / other['wall']:.3f}",
            f"{overhead[0]:.0f} ms",
            f"{overhead[1]:.0f} ms",
            f"{growth[0]:.3f}",
            f"{growth[1]:.3f}",
            *(f"{1000 * one['first']:.0f} -> {1000 * one['last']:.0f} ms" for one in (own, other)),
            *(f"{1000 * one['driver']:.0f} ms" for one in (own, other)),
        )
    Console(width=170).print(table)
    Path("results").mkdir(exist_ok=True)
    Path("results/growth.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in METHODS:
        measure(sys.argv[1], int(sys.argv[2]))
    else:
        main([int(count) for count in sys.argv[1:]] or list(COUNTS))
