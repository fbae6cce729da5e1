"""What a search costs until it holds a good model, in simulated time: real searchers and schedulers on curves with a known truth.

`make simulate` (about 25 minutes on two cores).
"""

import heapq
import itertools
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
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
from search.confirmation import Confirming
from search.early_stopping import EarlyStopping
from search.records import METRIC, TrialKey, TrialRecord
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
    early_stopping = EarlyStopping("asha", EPOCHS, TRIALS)
    return Confirming(bridge, Memory(TRIALS), early_stopping, confirm=0, seeds=[]), early_stopping  # type: ignore[arg-type]


class Memory:
    """All that `Confirming` asks of a History, without its files."""

    def __init__(self, trials: int, records: Iterable[TrialRecord] = ()) -> None:
        self.trials = trials
        self.records = {record.key: record for record in records}
        self.storage, self.nodes = SimpleNamespace(has_room=True), SimpleNamespace(fitting=100)
        self.ranking: list[TrialRecord] = []
        """What `ranked` returns, as a test sets it."""
        self.ended: list[int] = []
        self.lost: set[TrialKey] = set()
        """Trainings whose worker may be lost once more."""

    @property
    def searched(self) -> list[TrialRecord]:
        return [record for record in self.records.values() if record.seed is None]

    def look(self) -> None:
        pass

    def goes_on(self, record: TrialRecord) -> bool:
        return record.key in self.lost

    def ranked(self) -> list[TrialRecord]:
        return self.ranking

    def suggested(self, number: int, seed: int | None, leaves: dict[str, Any]) -> TrialRecord:
        return self.records.setdefault((number, seed), TrialRecord(number, leaves, seed))

    def released(self, record: TrialRecord) -> None:
        pass

    def exhausted(self) -> None:
        self.trials = len(self.searched)

    def end(self, record: TrialRecord, state: str, reason: str) -> None:
        self.ended.append(record.number)


METHODS: dict[str, Method] = {"random, in full": random_full, "Ray as shipped": ray_as_shipped, "ours": ours}


def play(
    problem: Problem,
    searcher: Searcher,
    scheduler: TrialScheduler,
    slots: int,
    seed: int,
    is_over: Callable[[float, float], bool],
) -> dict[str | int, int]:
    """Let real searchers and schedulers run trials as Ray's controller does; returns after how many epochs each ended, by number or Ray's id.

    is_over: called with the trial epochs spent so far and the true recall@1 of the model that was just reported.
    """
    random = np.random.default_rng(seed)
    names = (f"{number:05d}" for number in itertools.count())
    events: list[tuple[float, str]] = []
    running: dict[str, Trial] = {}
    trainings: dict[str | int, Any] = {}
    """Course, epochs done and seconds of an epoch of each trial: one that waited is another trial for Ray."""
    now = spent = 0.0

    def key(name: str) -> str | int:
        return running[name].config.get("trial", name)

    def start() -> bool:
        name = next(names)
        config = searcher.suggest(name)
        if not isinstance(config, dict):
            return False
        params = config["leaves"] if "leaves" in config else flatten_dict(config, "/")
        running[name] = Trial("simulated", config={"seed": None, **config}, trial_id=name, stub=True)
        scheduler.on_trial_add(None, running[name])  # type: ignore[arg-type]
        if key(name) not in trainings:
            trainings[key(name)] = [problem.course(params), 0, random.uniform(0.95, 1.05)]
        heapq.heappush(events, (now + trainings[key(name)][2], name))
        return True

    while len(running) < slots and start():
        pass
    while events:
        at, name = heapq.heappop(events)
        spent += (at - now) * (len(events) + 1)
        now = at
        course, epoch, pace = trainings[key(name)]
        trainings[key(name)][1] = epoch = epoch + 1
        value = float(course[epoch - 1] + random.normal(0, NOISE))
        result = {METRIC: value, "epoch": epoch, "training_iteration": epoch}
        decision = scheduler.on_trial_result(None, running[name], result)  # type: ignore[arg-type]
        if is_over(spent, course[epoch - 1]):
            break
        if decision == TrialScheduler.CONTINUE:
            searcher.on_trial_result(name, result)
        if decision == TrialScheduler.STOP or epoch == EPOCHS:
            scheduler.on_trial_complete(None, running[name], result)  # type: ignore[arg-type]
            searcher.on_trial_complete(name, result)
            del running[name]
        else:
            heapq.heappush(events, (now + pace, name))
        while len(running) < slots and start():
            pass
    return {one: epochs for one, (_, epochs, _) in trainings.items() if one not in map(key, running)}


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
