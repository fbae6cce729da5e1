"""`--dry-run`: what would be tried, where, for how long and on how much disk. Trains nothing and writes nothing but caches."""

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import ray
from rich.console import Console

from search.checkpoints import needed_bytes
from search.cluster import Slots
from search.conditions import DRAWS, draw, tree_of
from search.early_stopping import REDUCTION, is_rung
from search.plan import Plan
from search.records import what_varied
from search.space import first_tries
from vpr.config import TrialConfig
from vpr.datasets import Folders
from vpr.sources import root_here

SAMPLES = 5
STEPS = 4
TIMED_IMAGES = 128
AT_ONCE = 4
"""Trials that are timed beside each other, as they will run; more would say the same."""


@dataclass(frozen=True)
class Pace:
    """What a handful of steps took on one slot, and what a checkpoint weighs."""

    step_seconds: float
    steps: int
    val_seconds: float
    checkpoint_bytes: int

    @property
    def epoch_seconds(self) -> float:
        return self.steps * self.step_seconds + self.val_seconds


def show(plan: Plan, slots: Slots, console: Console) -> None:
    """Print the space, five of its configurations, the known-good ones, and the estimate."""
    trials = draw(plan.space, plan.base, plan.pinned, plan.space.fixed_trials or DRAWS, plan.seed)
    if not plan.space.fixed_trials:
        console.print(tree_of(f"space {plan.space.name}, as it was drawn {DRAWS} times", trials))
    known = "the list" if plan.space.fixed_trials else "tried first"
    for entry in first_tries(plan.space, plan.pinned):
        _line(console, known, what_varied(entry))
    for trial in () if plan.space.fixed_trials else trials[:SAMPLES]:
        _line(console, "for example", what_varied(trial.params))
    _line(console, "at once", f"{slots.count} trials: {slots.why}")
    timing = ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, max_retries=0)(_time)
    count = min(slots.count, AT_ONCE)
    given = plan.base, plan.source, plan.train_and_val, plan.cache_budget, plan.on_bad_image, slots.cpus, slots.device
    paces = ray.get([timing.remote(*given) for _ in range(count)])
    for line in estimate(plan, slots, max(paces, key=lambda pace: pace.epoch_seconds)):
        _line(console, *line)


def estimate(plan: Plan, slots: Slots, pace: Pace) -> list[tuple[str, str]]:
    """Hours and disk, from the pace of the base configuration; losses and aggregations differ from it by some per cent."""
    full = plan.epochs * pace.epoch_seconds
    again = plan.confirm * len(plan.confirm_seeds)
    waves = -(-plan.trials // slots.count)
    longest = waves * full
    shortest = (
        longest if plan.early_stopping == "none" else max(full, waves * _asha_epochs(plan.epochs) * pace.epoch_seconds)
    )
    confirming = -(-again // slots.count) * full
    parts = f"{pace.steps} steps of {pace.step_seconds:.2g} s and {pace.val_seconds:.2g} s of val"
    between = _duration(longest) if longest == shortest else f"{_duration(shortest)} to {_duration(longest)}"
    stops = "" if longest == shortest else ", if three quarters are stopped at every rung or nobody is"
    weights = needed_bytes(plan, slots, pace.checkpoint_bytes)
    existing = next(folder for folder in plan.folder.parents if folder.exists())
    free = shutil.disk_usage(existing).free
    return [
        ("an epoch", f"{_duration(pace.epoch_seconds)}: {parts}"),
        ("search", f"{between} for {plan.trials} trials of at most {plan.epochs} epochs{stops}"),
        ("confirm", f"{_duration(confirming)} for {plan.confirm} configurations with {len(plan.confirm_seeds)} seeds"),
        ("disk", f"{weights / 1e9:.1f} GB of checkpoints at most, {free / 1e9:.0f} GB are free at {existing}"),
    ]


def _asha_epochs(epochs: int) -> float:
    """Mean epochs of a trial where the best quarter goes on at every rung."""
    share, total = 1.0, 0.0
    for epoch in range(1, epochs + 1):
        total += share
        share /= REDUCTION if is_rung(epoch) else 1
    return total


def _time(
    config: TrialConfig,
    source: str,
    folders: Folders,
    budget_gb: float | None,
    on_bad_image: str,
    cpus: int,
    device: str,
) -> Pace:
    import numpy as np
    import torch

    from vpr.checkpoint import save_checkpoint
    from vpr.data import open_data
    from vpr.evaluate import vectors
    from vpr.loading import load
    from vpr.precision import pick_device
    from vpr.train import Trainer

    torch.set_num_threads(cpus)
    where = pick_device(device)
    data = open_data(folders.below(root_here(source)), config.data, budget_gb, on_bad_image)
    trainer = Trainer(config, data, where, is_resumed=True)
    batches = list(trainer.sampler)[: STEPS + 1]
    times = []
    for rows, images in load(data.images, batches, where):
        times.append(time.perf_counter())
        trainer.step(images, data.labels[rows]).item()
    step_seconds = (
        (time.perf_counter() - times[1]) / (len(times) - 1) if len(times) > 1 else time.perf_counter() - times[0]
    )
    trainer.model.eval()
    database = next(iter(data.vals.values())).database
    shown = np.arange(min(TIMED_IMAGES, len(database)))
    start = time.perf_counter()
    vectors(trainer.model, database, shown, config.training.precision, where)
    of_val = sum(len(val.database) + len(val.queries) for val in data.vals.values()) / len(shown)
    val_seconds = (time.perf_counter() - start) * of_val
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "one.pt", trainer.state_dict(), config)
        weight = (Path(folder) / "one.pt").stat().st_size
    return Pace(step_seconds, len(trainer.sampler), val_seconds, weight)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"{label:<11} {text}", soft_wrap=True)
