"""Everything at once: aggregation, loss, optimizer and schedule. Give it a hundred trials or more."""

import optuna

from spaces.losses import suggest_loss
from spaces.optimizers import suggest_optimizer
from spaces.schedulers import suggest_scheduler

KNOWN_GOOD = [
    {"loss/name": "multi_similarity", "optimizer/name": "adamw", "scheduler/name": "linear"},
    {"loss/name": "contrastive", "optimizer/name": "sgd", "scheduler/name": "none"},
]


def suggest(trial: optuna.Trial) -> None:
    """The three spaces together, and the aggregation."""
    trial.suggest_categorical("model/aggregation", ["avg", "gem", "cosplace", "convap", "mixvpr"])
    suggest_loss(trial)
    suggest_optimizer(trial)
    suggest_scheduler(trial)
