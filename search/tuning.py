"""Ray Tune's part: the trials of a plan, on the slots there are."""

import logging
from functools import partial
from pathlib import Path

from ray import tune

from search.bridge import OptunaBridge
from search.cluster import Slots
from search.early_stopping import asha
from search.history import INTERRUPTED, OUT_OF_TIME, History
from search.plan import Plan
from search.trainable import CHECKPOINT, run_trial
from vpr.datasets import Folders


def run_trials(plan: Plan, slots: Slots, history: History, seed: int, time_budget_s: float | None) -> None:
    """Run the trials to their end, and record them in `history`. A failed trial does not end the search."""
    folders = None if plan.preset else Folders(plan.folders.train, plan.folders.val)
    trainable = partial(
        run_trial, base=plan.base, folders=folders, budget_gb=plan.cache_budget, cpus=slots.cpus, device=slots.device
    )
    bridge = OptunaBridge(plan.space, plan.folder / "study.journal", plan.name, plan.base, plan.pinned, seed)
    tuner = tune.Tuner(
        tune.with_resources(trainable, slots.resources),
        tune_config=tune.TuneConfig(
            search_alg=bridge,
            scheduler=None if plan.space.fixed_trials else asha(plan.epochs),
            num_samples=plan.trials,
            max_concurrent_trials=slots.count,  # without it OptunaSearch keeps one trial waiting at a time
            time_budget_s=time_budget_s,
            reuse_actors=True,
            trial_name_creator=lambda trial: f"trial-{trial.config['trial']:04d}",
            trial_dirname_creator=lambda trial: f"trial-{trial.config['trial']:04d}",
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
    history.finish(OUT_OF_TIME if time_budget_s else INTERRUPTED)
    for number in range(len(results)):
        result = results[number]
        checkpoint = result.get_best_checkpoint("best_epoch", "max") if result.checkpoint else None
        if result.config and checkpoint:
            history.records[result.config["trial"]].checkpoint = Path(checkpoint.path) / CHECKPOINT
