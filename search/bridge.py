"""Between Ray Tune and Optuna: what was suggested, and the truth about how it ended."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from ray.tune.search.optuna import OptunaSearch

from search.sampler import LiveTPE
from search.space import Space, first_tries, suggest_from
from vpr.config import TrialConfig, Value
from vpr.errors import ConfigError, VPRError

METRIC = "val/recall_at_1"


class OptunaBridge(OptunaSearch):
    """OptunaSearch that tells a stopped trial PRUNED and a failed one FAIL, with every epoch's value.

    Ray's own tells a stopped trial COMPLETE with its early value, misses the report that stopped it, and leaves a trial
    with NaN RUNNING. A suggestion is `{"trial": number, "leaves": {leaf: value}}`.
    """

    def __init__(
        self, space: Space, file: Path, name: str, base: TrialConfig, pinned: Mapping[str, Value], seed: int
    ) -> None:
        """file: the study's journal, read by optuna-dashboard; base: what a trial is before the space varies it.

        Raises ConfigError where the file exists: Ray's own would go on with the study in it, unasked.
        """
        if file.exists():
            raise ConfigError(f"{file} holds a study already; give another --name, or remove it")
        super().__init__(
            space=space.suggest,
            metric=METRIC,
            mode="max",
            points_to_evaluate=first_tries(space, pinned),
            sampler=LiveTPE(seed),
            study_name=name,
            storage=JournalStorage(JournalFileBackend(str(file))),
        )
        self.study = cast(optuna.Study, self._ot_study)
        self.space, self.base, self.pinned = space, base, pinned
        self.trials: dict[str, optuna.Trial] = {}
        self.reported: dict[str, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles the searcher to restore a run by itself, which a search does not use."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any]:
        if trial_id not in self.trials:
            self.trials[trial_id] = self.study.ask()
        trial = self.trials[trial_id]
        try:
            leaves = suggest_from(self.space, trial, self.pinned, self.base)
        except VPRError:  # the trial itself fails with this message; the others go on
            leaves = dict(trial.params)
        return {"trial": trial.number, "leaves": leaves}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._report(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self.trials[trial_id]
        if result and not error:
            self._report(trial_id, result)
        values = self.study.trials[trial.number].intermediate_values
        if error or not values or not all(map(math.isfinite, values.values())):
            self.study.tell(trial, state=TrialState.FAIL)
        elif self.reported[trial_id] < self.base.training.epochs:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, max(values.values()), state=TrialState.COMPLETE)

    def save(self, checkpoint_path: str) -> None:
        """Which Optuna trial is which Ray trial; the study itself is its journal."""
        numbers = {trial_id: trial.number for trial_id, trial in self.trials.items()}
        Path(checkpoint_path).write_text(json.dumps(numbers))

    def finish(self) -> None:
        """Tell of the trials that ended with the search itself (time budget, interruption), which Ray does not."""
        for trial_id, trial in self.trials.items():
            if self.study.trials[trial.number].state == TrialState.RUNNING:
                self.on_trial_complete(trial_id)

    def _report(self, trial_id: str, result: dict[str, Any]) -> None:
        # Ray shows the stopping report only at completion, and any other report at both moments.
        if result["epoch"] > self.reported.get(trial_id, 0):
            self.trials[trial_id].report(result[METRIC], result["epoch"])
            self.reported[trial_id] = result["epoch"]
