"""Which schedule, with its own knobs and the learning rate that suits it; optimizer and loss stay as they are."""

import optuna

KNOWN_GOOD = [
    {"scheduler/name": "none", "scheduler/warmup_epochs": 0},
    {"scheduler/name": "cosine", "scheduler/warmup_epochs": 0},
    {"scheduler/name": "one_cycle", "scheduler/warmup_epochs": 0},
]


def suggest(trial: optuna.Trial) -> None:
    """Eleven schedules, with or without a warm-up."""
    trial.suggest_float("optimizer/lr", 1e-4, 1e-1, log=True)
    suggest_scheduler(trial)


def suggest_scheduler(trial: optuna.Trial) -> None:
    """A schedule and its own knobs (shared with the space `full`)."""
    scheduler = trial.suggest_categorical(
        "scheduler/name",
        [
            *("none", "step", "multistep", "exponential", "cosine", "cosine_restarts"),
            *("one_cycle", "plateau", "linear", "polynomial", "cyclic"),
        ],
    )
    trial.suggest_int("scheduler/warmup_epochs", 0, 1)
    if scheduler in ("step", "multistep", "exponential", "plateau"):
        trial.suggest_float("scheduler/gamma", 0.1, 0.95)
    if scheduler == "step":
        trial.suggest_int("scheduler/step_epochs", 1, 4)
    if scheduler == "cosine_restarts":
        trial.suggest_int("scheduler/restart_epochs", 2, 5)
    if scheduler == "plateau":
        trial.suggest_int("scheduler/patience", 0, 5)
    if scheduler == "polynomial":
        trial.suggest_float("scheduler/power", 0.5, 3.0)
    if scheduler == "linear":
        trial.suggest_float("scheduler/end_factor", 0.01, 0.5, log=True)
    if scheduler == "one_cycle":
        trial.suggest_float("scheduler/rise", 0.1, 0.5)
    if scheduler == "cyclic":
        trial.suggest_float("scheduler/cycle_epochs", 1.0, 4.0)
