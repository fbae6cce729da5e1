"""Ray Tune's part: the trials of a plan and the confirmation of the best, on the slots there are."""

import logging
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from rich.console import Console

from search.bridge import OptunaBridge
from search.cluster import Slots
from search.confirmation import Confirming
from search.early_stopping import EarlyStopping
from search.history import INTERRUPTED, History
from search.plan import Plan
from search.tracking import Tracker
from search.trainable import CHECKPOINT, run_trial
from vpr.datasets import Folders


def run_trials(plan: Plan, slots: Slots, tracker: Tracker, console: Console) -> History:
    """Run the trials to their end and the best again; returns what happened. A failed trial does not end the search."""
    folders = None if plan.preset else Folders(plan.folders.train, plan.folders.val)
    trainable = partial(
        run_trial, base=plan.base, folders=folders, budget_gb=plan.cache_budget, cpus=slots.cpus, device=slots.device
    )
    deadline = math.inf if plan.time_budget_s is None else time.monotonic() + plan.time_budget_s
    early_stopping = EarlyStopping(plan.early_stopping, plan.epochs, deadline)
    confirmations = plan.confirm * len(plan.confirm_seeds)
    history = History(plan.base, tracker, console, plan.trials, confirmations, early_stopping.reasons)
    bridge = OptunaBridge(plan.space, plan.folder / "study.journal", plan.name, plan.base, plan.pinned, plan.seed)
    tuner = tune.Tuner(
        tune.with_resources(trainable, slots.resources),
        tune_config=tune.TuneConfig(
            search_alg=Confirming(bridge, history, plan.trials, plan.confirm, plan.confirm_seeds, deadline),
            scheduler=early_stopping,
            num_samples=plan.trials + confirmations,
            max_concurrent_trials=slots.count,  # without it OptunaSearch keeps one trial waiting at a time
            reuse_actors=True,
            trial_name_creator=_folder,
            trial_dirname_creator=_folder,
        ),
        run_config=tune.RunConfig(
            name="trials",
            storage_path=str(plan.folder),
            callbacks=[history],
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=1, checkpoint_score_attribute="best_epoch", checkpoint_score_order="max"
            ),
            verbose=0,
        ),
    )
    # History tells of failed trials in a line each; Ray would print their tracebacks.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    results = tuner.fit()
    bridge.finish()
    history.finish(INTERRUPTED)
    for number in range(len(results)):
        result = results[number]
        checkpoint = result.get_best_checkpoint("best_epoch", "max") if result.checkpoint else None
        if result.config and checkpoint:
            key = result.config["trial"], result.config["seed"]
            history.records[key].checkpoint = Path(checkpoint.path) / CHECKPOINT
    return history


def _folder(trial: Any) -> str:
    number, seed = trial.config["trial"], trial.config["seed"]
    return f"trial-{number:04d}" + ("" if seed is None else f"-seed-{seed}")
