"""Which weights of a search stay on its disk: those of its best trials, of the finalists, and what running trials need."""

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from search.cluster import Slots
from search.early_stopping import MOST_WAITING
from search.plan import Plan
from search.records import TrialRecord
from vpr.epochs import epoch_file, epoch_files
from vpr.errors import ConfigError

AT_ONCE = 5
"""Files that a running trial has at most: its last two epochs, the best of each, and the one that is being written."""


def prune(trials: Path, ended: Iterable[TrialRecord], ranked: list[TrialRecord], kept: int) -> None:
    """Of the trainings that have ended, keep the best epoch of the `kept` best trials and of each finalist's seed.

    trials: folder of their folders; ended: those to look at; ranked: all trials, best first.
    """
    best = [record.number for record in ranked if record.has_ended and record.state != "failed"][:kept]
    for record in ended:
        folder = trials / record.folder
        is_kept = record.state == "completed" if record.seed is not None else record.number in best
        record.checkpoint = epoch_file(folder, int(record.best["epoch"])) if is_kept and record.best else None
        if record.checkpoint is None:
            shutil.rmtree(folder, ignore_errors=True)
        elif not record.checkpoint.exists():
            record.checkpoint = None
        for file in epoch_files(folder).values():
            if file != record.checkpoint:
                file.unlink(missing_ok=True)


def needed_bytes(plan: Plan, slots: Slots, checkpoint: int) -> int:
    """Disk that a search needs at most for checkpoints of so many bytes, the export included."""
    return checkpoint * (slots.count * AT_ONCE + MOST_WAITING + plan.kept + plan.confirm * len(plan.confirm_seeds) + 1)


def check_room(plan: Plan, slots: Slots, size_of_checkpoint: Future[int]) -> None:
    """Raises ConfigError where the storage has less room than the search needs beside what it holds already; size_of_checkpoint: in bytes."""
    try:
        size = size_of_checkpoint.result()
    except BrokenProcessPool:
        raise ConfigError(
            "the process that finds out how large a checkpoint will be was killed; is the memory of this machine enough?"
        ) from None
    held = sum(file.stat().st_size for file in plan.folder.rglob("*.pt"))
    needed = needed_bytes(plan, slots, size) - held
    existing = next(folder for folder in (plan.folder, *plan.folder.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        raise ConfigError(f"--storage {existing} cannot be written; mend that, or give another --storage")
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise ConfigError(
            f"--storage {existing} has {free / 1e9:.2f} GB free, the checkpoints of the search need up to {needed / 1e9:.2f} GB; "
            "free some, give another --storage, or lower --keep, --confirm or --max-concurrent"
        )
