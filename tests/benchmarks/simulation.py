"""What a search costs until it holds a good model, in simulated time: real searchers and schedulers on curves with a known truth.

`make simulate` (about half an hour on two cores).
"""

import heapq
import itertools
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch
from ray.tune.utils import flatten_dict
from rich.console import Console
from rich.table import Table

from search.bridge import OptunaBridge
from search.early_stopping import EarlyStopping
from search.records import METRIC
from search.space import Space
from tests.benchmarks.curves import EPOCHS, NOISE, Problem, study_problem, surface_problem
from vpr.leaves import from_leaves

SLOTS = (1, 8, 64)
SEEDS = 40
"""A median of 20 still moves by a third."""
LIMIT, RANDOM_LIMIT = 4000, 20000
"""Trial epochs after which a run (a random one) is given up, and counted with that many."""
WITHIN = 1.0
"""Points of recall@1 below the best that are good enough."""
Method = Callable[[Problem, int, Path], tuple[Searcher, TrialScheduler]]


def random_full(problem: Problem, seed: int, folder: Path) -> tuple[Searcher, TrialScheduler]:
    """Random search, every training in full."""
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return OptunaSearch(problem.suggest, metric=METRIC, mode="max", sampler=sampler), FIFOScheduler()


def ray_as_shipped(problem: Problem, seed: int, folder: Path) -> tuple[Searcher, TrialScheduler]:
    """Ray's OptunaSearch and its ASHA, with their own defaults."""
    scheduler = ASHAScheduler(time_attr="epoch", metric=METRIC, mode="max", max_t=EPOCHS)
    return OptunaSearch(problem.suggest, metric=METRIC, mode="max", seed=seed), scheduler


def ours(problem: Problem, seed: int, folder: Path) -> tuple[Searcher, TrialScheduler]:
    """The bridge and the patient rungs, without any known-good configuration."""
    base = from_leaves({"training/epochs": EPOCHS})
    space = Space("simulated", problem.suggest, [], None, "")
    bridge = OptunaBridge(space, folder / "study.journal", "simulated", base, {}, seed)
    return bridge, EarlyStopping("asha", EPOCHS)


METHODS: dict[str, Method] = {"random, in full": random_full, "Ray as shipped": ray_as_shipped, "ours": ours}


def play(
    problem: Problem,
    searcher: Searcher,
    scheduler: TrialScheduler,
    slots: int,
    seed: int,
    is_over: Callable[[float, float], bool],
) -> dict[str, int]:
    """Let Ray's own objects run trials as its controller does; returns after how many epochs each ended, by trial id.

    is_over: called with the trial epochs spent so far and the true recall@1 of the model that was just reported.
    """
    random = np.random.default_rng(seed)
    names = (f"{number:05d}" for number in itertools.count())
    events: list[tuple[float, str]] = []
    running: dict[str, Any] = {}
    ends: dict[str, int] = {}

    def start(now: float) -> None:
        name = next(names)
        config = searcher.suggest(name)
        params = config["leaves"] if "leaves" in config else flatten_dict(config, "/")
        trial = Trial("simulated", config={"seed": None, **config}, trial_id=name, stub=True)
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        pace = random.uniform(0.95, 1.05)
        running[name] = [trial, problem.course(params), 0, pace]
        heapq.heappush(events, (now + pace, name))

    for _ in range(slots):
        start(0.0)
    while True:
        now, name = heapq.heappop(events)
        trial, course, epoch, pace = running[name]
        epoch += 1
        value = float(course[epoch - 1] + random.normal(0, NOISE))
        result = {METRIC: value, "epoch": epoch, "training_iteration": epoch}
        decision = scheduler.on_trial_result(None, trial, result)  # type: ignore[arg-type]
        if is_over(now * slots, course[epoch - 1]):
            return ends
        if decision == TrialScheduler.CONTINUE:
            searcher.on_trial_result(name, result)
        if decision == TrialScheduler.STOP or epoch == EPOCHS:
            ends[name] = epoch
            scheduler.on_trial_complete(None, trial, result)  # type: ignore[arg-type]
            searcher.on_trial_complete(name, result)
            del running[name]
            start(now)
        else:
            running[name][2] = epoch
            heapq.heappush(events, (now + pace, name))


def cost(problem: Problem, method: str, slots: int, seed: int) -> float:
    """Trial epochs (of all slots, idle or not) until a model within a point of the best was there; LIMIT at most."""
    spent, limit = 0.0, RANDOM_LIMIT if method == "random, in full" else LIMIT

    def is_over(now: float, recall: float) -> bool:
        nonlocal spent
        spent = min(now, limit)
        return recall >= problem.best - WITHIN or now >= limit

    with tempfile.TemporaryDirectory() as folder:
        play(problem, *METHODS[method](problem, seed, Path(folder)), slots, seed, is_over)
    return spent


def _job(name: str, method: str, slots: int, seed: int) -> float:
    logging.disable(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = study_problem() if name == "study" else surface_problem(seed)
    return cost(
        problem, method, slots, 1000 * slots + seed
    )  # else the same luck would be counted for each number of slots


def main(seeds: int = SEEDS) -> None:
    """Print the table and write results/simulation.json."""
    jobs = list(itertools.product(("study", "surfaces"), SLOTS, METHODS, range(seeds)))
    with ProcessPoolExecutor(2) as pool:
        costs = dict(zip(jobs, pool.map(partial(_star, _job), [(p, m, s, n) for p, s, m, n in jobs]), strict=True))
    table = Table(title=f"trial epochs until a model within {WITHIN:g} point of the best, median of {seeds} seeds")
    for heading in ("curves", "slots", *METHODS, "ours / random", "ours / Ray (better in)"):
        table.add_column(heading, justify="right")
    rows = []
    for problem, slots in itertools.product(("study", "surfaces"), SLOTS):
        found = {method: np.array([costs[problem, slots, method, seed] for seed in range(seeds)]) for method in METHODS}
        middle = {method: float(np.median(values)) for method, values in found.items()}
        wins = int((found["ours"] < found["Ray as shipped"]).sum())
        rows.append(
            {"curves": problem, "slots": slots, "median": middle, "all": {m: v.tolist() for m, v in found.items()}}
        )
        ratios = middle["ours"] / middle["random, in full"], middle["ours"] / middle["Ray as shipped"]
        table.add_row(
            problem,
            str(slots),
            *(f"{value:.0f}" for value in middle.values()),
            f"{ratios[0]:.2f}",
            f"{ratios[1]:.2f} ({wins} of {seeds})",
        )
    Console(width=120).print(table)
    Path("results").mkdir(exist_ok=True)
    Path("results/simulation.json").write_text(json.dumps(rows, indent=2) + "\n")


def _star(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
