"""Between Ray Tune and Optuna: what was suggested, and the truth about how it ended."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search.optuna import OptunaSearch

from search.records import FAILED, METRIC, TrialRecord
from search.sampler import Drafts, LiveTPE
from search.space import Space, first_tries, suggest_from
from search.storage import mend_lines, patiently
from vpr.config import TrialConfig, Value
from vpr.errors import ConfigError, VPRError

DRAFTS = 300
"""Configurations that are drawn until one is new: the last one of 100 is found in 95 cases of 100."""
STATES = {"completed": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


class OptunaBridge(OptunaSearch):
    """OptunaSearch that tells a stopped trial PRUNED and a failed one FAIL, with every epoch's value.

    Ray's own tells a stopped trial COMPLETE with its early value, misses the report that stopped it, and leaves a trial
    with NaN RUNNING. A suggestion is `{"trial": number, "leaves": {leaf: value}}`, with a `"fault"` where it cannot be trained: such
    a trial has FAILed, and the others go on.
    """

    def __init__(
        self,
        space: Space,
        file: Path,
        name: str,
        base: TrialConfig,
        pinned: Mapping[str, Value],
        seed: int,
        is_resumed: bool = False,
        told: Callable[[OSError], None] = lambda fault: None,
    ) -> None:
        """file: the study's journal, read by optuna-dashboard; base: what a trial is before the space varies it;
        told: called while the journal waits for its disk.

        Raises ConfigError where the file exists and the search is not resumed: Ray's own would go on with the study in it, unasked.
        """
        if file.exists() and not is_resumed:
            raise ConfigError(f"{file} holds a study already; give another --name, or remove it")
        self.store = JournalStorage(PatientJournal(file, told))
        self.live = LiveTPE(seed)
        super().__init__(
            space=space.suggest,
            metric=METRIC,
            mode="max",
            points_to_evaluate=None if is_resumed else first_tries(space, pinned),
            sampler=self.live,
            study_name=name,
            storage=self.store,
        )
        self.study = cast(optuna.Study, self._ot_study)
        self.space, self.base, self.pinned = space, base, pinned
        self.trials: dict[str, optuna.Trial] = {}
        self.reported: dict[str, int] = {}
        self.begun: list[optuna.Trial] = []
        """Trials that were begun when a search was killed, before anyone else knew of them."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles the searcher to restore a run by itself, which a search does not use."""
        return {}

    def reconcile(self, records: Mapping[int, TrialRecord]) -> list[int]:
        """Tell the study what a search that was killed could not; returns the trials that failed in its last moment.

        records: the search's own, by number.
        """
        lost = []
        self.begun = []
        for trial in self.study.get_trials(deepcopy=False, states=[TrialState.RUNNING, TrialState.FAIL]):
            record = records.get(trial.number)
            if trial.state == TrialState.FAIL:
                lost += [trial.number] if record and not record.has_ended else []
            elif record is None:
                self.begun.append(self._again(trial.number))
            else:
                again = self._again(trial.number)
                for epoch in record.epochs:
                    if epoch["epoch"] not in trial.intermediate_values:
                        again.report(epoch[METRIC], int(epoch["epoch"]))
                if record.has_ended:
                    self._tell(again, STATES[record.state])
        return lost

    def go_on(self, trial_id: str, number: int) -> None:
        """Ray's trial of this id continues the study's trial of this number."""
        self.trials[trial_id] = self._again(number)
        self.reported[trial_id] = max(self._known(number).intermediate_values, default=0)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Leaves that no trial before has, as the same training would give the same numbers; None where none were found in DRAFTS draws."""
        trial = self.begun.pop(0) if self.begun else self._ask()
        if trial is None:
            return None
        self.trials[trial_id] = trial
        try:
            leaves = suggest_from(self.space, trial, self.pinned, self.base)
        except VPRError as fault:
            self._tell(self.trials.pop(trial_id), TrialState.FAIL)
            return {"trial": trial.number, "leaves": dict(trial.params), "fault": str(fault)}
        return {"trial": trial.number, "leaves": leaves}

    def _ask(self) -> optuna.Trial | None:
        trials = self.study.get_trials(deepcopy=False)
        if all(trial.state != TrialState.WAITING for trial in trials):  # the known-good configurations were tried
            params = self._new([trial.params for trial in trials])
            if params is None:
                return None
            self.study.enqueue_trial(params)
        return self.study.ask()

    def _new(self, known: list[dict[str, Any]]) -> dict[str, Any] | None:
        """What the study's next trial will be, drawn until it is not among the known; None after DRAFTS draws."""
        drafts = optuna.create_study(sampler=Drafts(self.live, self.study))
        for _ in range(DRAFTS):
            trial = drafts.ask()
            with contextlib.suppress(VPRError):  # the trial itself fails with it
                suggest_from(self.space, trial, self.pinned, self.base)
            if trial.params not in known:
                return trial.params
        return None

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._report(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        trial = self.trials[trial_id]
        if result and not error:
            self._report(trial_id, result)
        values = self._known(trial.number).intermediate_values
        if error or not values or not all(map(math.isfinite, values.values())):
            self._tell(trial, TrialState.FAIL)
        elif self.reported[trial_id] < self.base.training.epochs:
            self._tell(trial, TrialState.PRUNED)
        else:
            self._tell(trial, TrialState.COMPLETE)

    def prune(self, number: int) -> None:
        """A trial that waited was stopped; its epochs were told before."""
        self._tell(self._again(number), TrialState.PRUNED)

    def save(self, checkpoint_path: str) -> None:
        """Which Optuna trial is which Ray trial; the study itself is its journal."""
        numbers = {trial_id: trial.number for trial_id, trial in self.trials.items()}
        Path(checkpoint_path).write_text(json.dumps(numbers))

    def _report(self, trial_id: str, result: dict[str, Any]) -> None:
        # Ray shows the stopping report only at completion, and any other report at both moments.
        if FAILED not in result and result["epoch"] > self.reported.get(trial_id, 0):
            self.trials[trial_id].report(result[METRIC], result["epoch"])
            self.reported[trial_id] = result["epoch"]

    def _tell(self, trial: optuna.Trial, state: TrialState) -> None:
        known = self._known(trial.number)
        if known.state == TrialState.RUNNING:  # else it was told before the search was killed
            best = max(known.intermediate_values.values()) if state == TrialState.COMPLETE else None
            self.study.tell(trial, best, state=state)

    def _known(self, number: int) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[number]

    def _again(self, number: int) -> optuna.Trial:
        study = self.store.get_study_id_from_name(self.study.study_name)
        return optuna.Trial(self.study, self.store.get_trial_id_from_study_id_trial_number(study, number))


class PatientJournal(JournalFileBackend):
    """A journal that waits while its disk is full, and in which no half line is ever left."""

    def __init__(self, file: Path, told: Callable[[OSError], None]) -> None:
        super().__init__(str(file))
        self.file, self.told = file, told
        mend_lines(file)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        size = patiently(lambda: self.file.stat().st_size, told=self.told)

        def append() -> None:
            os.truncate(self.file, size)  # what an attempt before this one left
            super(PatientJournal, self).append_logs(logs)

        patiently(append, told=self.told)
