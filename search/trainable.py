"""One trial on one worker: the only place where training meets Ray Tune."""

import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from ray import tune

from vpr.config import DataConfig, TrialConfig
from vpr.data import TrainingData, open_data
from vpr.datasets import Folders, find_sets
from vpr.leaves import from_leaves
from vpr.minicity.preset import minicity_folder

CHECKPOINT = "checkpoint.pt"


def run_trial(
    suggestion: dict[str, Any],
    base: TrialConfig,
    folders: Folders | None,
    budget_gb: float | None,
    cpus: int,
    device: str,
) -> None:
    """Train what was suggested and report every epoch with its checkpoint.

    suggestion: `{"trial": number, "leaves": {leaf: value}, "seed": of a finalist trained again}`; folders: train and val, and no test set; None is MiniCity,
    which every node writes for itself; budget_gb: of the node's disk for decoded images.
    """
    import torch  # on the worker only: the driver needs neither it nor its memory

    from vpr.checkpoint import load_checkpoint, save_checkpoint
    from vpr.precision import pick_device
    from vpr.train import Trainer

    config = from_leaves(suggestion["leaves"], base)
    torch.set_num_threads(cpus)
    found = folders or _minicity()
    checkpoint = tune.get_checkpoint()
    data = _opened(found.train, found.val, config.data, budget_gb)
    trainer = Trainer(config, data, pick_device(device), is_resumed=checkpoint is not None)
    if checkpoint:
        with checkpoint.as_directory() as folder:
            trainer.load_state_dict(load_checkpoint(Path(folder) / CHECKPOINT, config))
    for result in trainer:
        with tempfile.TemporaryDirectory() as folder:
            save_checkpoint(Path(folder) / CHECKPOINT, trainer.state_dict(), config)
            # Highest for the best epoch so far, so Ray keeps that checkpoint beside the last one.
            best_epoch = result.epoch if result.is_best else 0
            times = {"first_step_at": trainer.first_step_at, "reported_at": time.time()}
            report = {**result.metrics(), **times, "best_epoch": best_epoch}
            tune.report(report, checkpoint=tune.Checkpoint.from_directory(folder))


def _minicity() -> Folders:
    """Of this node, written first if it is not there; without its test sets, which a trial must not see."""
    found = find_sets(minicity_folder())
    return Folders(found.train, found.val)


@cache
def _opened(train: Path, val: Path, config: DataConfig, budget_gb: float | None) -> TrainingData:
    """A reused worker finds the data of its trial before open."""
    return open_data(Folders(train, val), config, budget_gb)
