"""Which optimizer, with its own knobs; loss and schedule stay as they are."""

import optuna

KNOWN_GOOD = [
    {"optimizer/name": "sgd", "optimizer/lr": 0.03, "optimizer/momentum": 0.9, "optimizer/weight_decay": 1e-3},
    {"optimizer/name": "adam", "optimizer/lr": 5e-4, "optimizer/weight_decay": 1e-6},
    {"optimizer/name": "adamw", "optimizer/lr": 5e-4, "optimizer/weight_decay": 1e-2},
]


def suggest(trial: optuna.Trial) -> None:
    """Nine optimizers; momentum only for those that have it."""
    suggest_optimizer(trial)


def suggest_optimizer(trial: optuna.Trial) -> None:
    """An optimizer, its learning rate and its own knobs (shared with the space `full`)."""
    optimizer = trial.suggest_categorical(
        "optimizer/name", ["sgd", "asgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "nadam", "radam"]
    )
    trial.suggest_float("optimizer/lr", 1e-5, 1.0, log=True)
    trial.suggest_float("optimizer/weight_decay", 1e-6, 1e-1, log=True)
    if optimizer in ("sgd", "rmsprop"):
        momentum = trial.suggest_categorical("optimizer/momentum", [0.0, 0.5, 0.9, 0.95, 0.99])
        if optimizer == "sgd" and momentum > 0:
            trial.suggest_categorical("optimizer/nesterov", [False, True])
    if optimizer in ("adam", "adamw", "nadam", "radam"):
        trial.suggest_float("optimizer/beta1", 0.8, 0.95)
    if optimizer == "adadelta":
        trial.suggest_float("optimizer/rho", 0.8, 0.99)
