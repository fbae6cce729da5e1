"""What mattered: how much each leaf decides whether a trial is among the best."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)

MINIMUM_TRIALS = 20
TOP_TRIALS = 5
"""Optuna's documentation: at least five trials above the quantile steady the estimate."""


@dataclass(frozen=True)
class Importance:
    """Shares of 1 by leaf, the largest first."""

    of: str
    """`all trials`, or the loss that they share."""
    trials: int
    shares: dict[str, float]


def importances(journal: Path, study: str, best: int) -> list[Importance]:
    """Of all trials that reported, and of those with the loss of trial `best`; none of fewer than twenty.

    PED-ANOVA (Watanabe et al. 2023), which handles leaves that exist under some choices alone. A stopped trial counts with
    the best value it had: it is below the top either way.
    """
    trials = reported_trials(journal, study)
    losses = {trial.number: trial.params.get("loss/name") for trial in trials}
    loss = losses.get(best)
    groups = {"all trials": trials}
    if loss is not None:
        groups[loss] = [trial for trial in trials if losses[trial.number] == loss]
    return [
        Importance(name, len(group), _shares(group)) for name, group in groups.items() if len(group) >= MINIMUM_TRIALS
    ]


def reported_trials(journal: Path, study: str) -> list[FrozenTrial]:
    """Those of a study that have a value and did not fail."""
    found = optuna.load_study(study_name=study, storage=JournalStorage(JournalFileBackend(str(journal))))
    return [trial for trial in found.trials if trial.intermediate_values and trial.state != TrialState.FAIL]


def by_best_value(trials: Iterable[FrozenTrial]) -> optuna.Study:
    """A study in which each of these trials is complete, with the best value it had."""
    study = optuna.create_study(direction="maximize")
    for trial in trials:
        value = max(trial.intermediate_values.values())
        study.add_trial(
            optuna.create_trial(params=trial.params, distributions=trial.distributions, value=value),
        )
    return study


def _shares(trials: list[FrozenTrial]) -> dict[str, float]:
    study = by_best_value(trials)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of leaves that one trial alone has
        evaluator = PedAnovaImportanceEvaluator(target_quantile=min(max(0.1, TOP_TRIALS / len(trials)), 0.5))
        return get_param_importances(study, evaluator=evaluator)
