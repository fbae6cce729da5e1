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
from scipy.stats import mannwhitneyu

from search.bridge import OptunaBridge
from search.early_stopping import EarlyStopping
from search.records import METRIC
from search.space import Space
from tests.benchmarks.curves import EPOCHS, NOISE, Problem, study_problem, surface_problem
from vpr.leaves import from_leaves

SLOTS = (1, 8, 64)
SEEDS = {"study": 200, "surfaces": 40}
"""A median of 20 still moves by a third; a search of the study's curves takes no time."""
LIMIT, RANDOM_LIMIT = 4000, 20000
"""Trial epochs after which a run (a random one) is given up, and counted with that many."""
TRIALS = 10**6
"""Nobody ends a search by its number of trials."""
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
    return bridge, EarlyStopping("asha", EPOCHS, TRIALS)


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
    waiting: dict[int, str] = {}
    ends: dict[str, int] = {}
    now = spent = 0.0
    is_exhausted = False

    def start() -> None:
        """Give a slot to a trial that waited, else to a new one, as `search.confirmation` does."""
        if isinstance(scheduler, EarlyStopping):
            assert isinstance(searcher, OptunaBridge)
            while (number := scheduler.release(is_last=False)) is not None:
                name = waiting.pop(number)
                if number not in scheduler.reasons:
                    heapq.heappush(events, (now + running[name][3], name))
                    return
                ends[name] = running.pop(name)[2]
                searcher.prune(number)
        nonlocal is_exhausted
        name = next(names)
        config = None if is_exhausted else searcher.suggest(name)
        if config is None:  # whoever waits has been compared by then
            is_exhausted = True
            return
        params = config["leaves"] if "leaves" in config else flatten_dict(config, "/")
        trial = Trial("simulated", config={"seed": None, **config}, trial_id=name, stub=True)
        scheduler.on_trial_add(None, trial)  # type: ignore[arg-type]
        pace = random.uniform(0.95, 1.05)
        running[name] = [trial, problem.course(params), 0, pace]
        heapq.heappush(events, (now + pace, name))

    for _ in range(slots):
        start()
    while events:
        at, name = heapq.heappop(events)
        spent += (at - now) * (len(events) + 1)
        now = at
        trial, course, epoch, pace = running[name]
        running[name][2] = epoch = epoch + 1
        value = float(course[epoch - 1] + random.normal(0, NOISE))
        result = {METRIC: value, "epoch": epoch, "training_iteration": epoch}
        decision = scheduler.on_trial_result(None, trial, result)  # type: ignore[arg-type]
        if is_over(spent, course[epoch - 1]):
            break
        if isinstance(scheduler, EarlyStopping) and (number := trial.config["trial"]) in scheduler.waiting:
            searcher.on_trial_result(name, result)
            waiting[number] = name
            start()
            continue
        if decision == TrialScheduler.CONTINUE:
            searcher.on_trial_result(name, result)
        if decision == TrialScheduler.STOP or epoch == EPOCHS:
            ends[name] = epoch
            scheduler.on_trial_complete(None, trial, result)  # type: ignore[arg-type]
            searcher.on_trial_complete(name, result)
            del running[name]
            start()
        else:
            heapq.heappush(events, (now + pace, name))
    return ends


def cost(problem: Problem, method: str, slots: int, seed: int) -> float:
    """Trial epochs until a model within a point of the best was there; the limit where a search ended without."""
    limit = RANDOM_LIMIT if method == "random, in full" else LIMIT
    spent = float(limit)

    def is_over(now: float, recall: float) -> bool:
        nonlocal spent
        is_found = recall >= problem.best - WITHIN
        if is_found:
            spent = min(now, limit)
        return is_found or now >= limit

    with tempfile.TemporaryDirectory() as folder:
        play(problem, *METHODS[method](problem, seed, Path(folder)), slots, seed, is_over)
    return spent


def _job(job: tuple[str, str, int, int]) -> float:
    name, method, slots, seed = job
    logging.disable(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = study_problem() if name == "study" else surface_problem(seed)
    return cost(
        problem, method, slots, 1000 * slots + seed
    )  # else the same luck would be counted for each number of slots


def main(shrink: int = 1) -> None:
    """Print the table and write results/simulation.json; shrink: divides the number of seeds."""
    rows = [(name, slots, seeds // shrink) for name, seeds in SEEDS.items() for slots in SLOTS]
    jobs = [(name, method, slots, seed) for name, slots, seeds in rows for method in METHODS for seed in range(seeds)]
    with ProcessPoolExecutor(2) as pool:
        costs = dict(zip(jobs, pool.map(_job, jobs), strict=True))
    table = Table(title=f"trial epochs until a model within {WITHIN:g} point of the best: medians")
    for heading in (
        "curves",
        "slots",
        "seeds",
        *METHODS,
        "ours / random",
        "ours / Ray",
        "less than Ray's",
        "p of more",
    ):
        table.add_column(heading, justify="right")
    kept = []
    for name, slots, seeds in rows:
        found = {method: np.array([costs[name, method, slots, seed] for seed in range(seeds)]) for method in METHODS}
        random, ray, own = (float(np.median(values)) for values in found.values())
        # The chance that a search of ours costs less than one of Ray's, ties counted by half, and whether it could cost more.
        test = mannwhitneyu(found["ours"], found["Ray as shipped"], alternative="greater")
        less = 1 - test.statistic / seeds**2
        numbers = [f"{random:.0f}", f"{ray:.0f}", f"{own:.0f}", f"{own / random:.2f}", f"{own / ray:.2f}"]
        table.add_row(name, str(slots), str(seeds), *numbers, f"{less:.0%}", f"{test.pvalue:.2g}")
        kept.append({"curves": name, "slots": slots, "all": {method: all_.tolist() for method, all_ in found.items()}})
    Console(width=140).print(table)
    Path("results").mkdir(exist_ok=True)
    Path("results/simulation.json").write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
