"""TPE that learns from trials while they run, and from stopped and failed ones what they are worth."""

import copy
import zlib
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

RANDOM_TRIALS = 8
"""First trials, known-good ones included, that are drawn without TPE's model."""
DRAFT = "vpr:draft"
"""Attribute of a draft: how many were made for the same trial before it."""
MODELLED_DRAFTS = 10
"""Drafts of a configuration that TPE makes; those after them are random."""


class LiveTPE(BaseSampler):
    """Optuna's TPE, shown every trial with the best value that it has had so far.

    Optuna's own ranks any completed trial above any stopped one, does not see failed ones, takes running ones for bad however
    well they do, and starts at random until trials have ended: with 64 slots all that the first wave learns goes unused.
    A trial without a value yet counts as the worst (the constant liar of Ginsbourger et al. 2010), and so does a failed one.
    What is drawn depends on the seed, the trial's number, the leaf, the draft and the trials before alone, so that a search which is
    resumed anywhere draws the same.
    """

    def __init__(self, seed: int, random_trials: int = RANDOM_TRIALS) -> None:
        self.seed, self.random_trials = seed, random_trials
        self.shown = Shown()
        self.sketch = optuna.create_study(direction="maximize", storage=self.shown)
        self.sketched = -1
        """Number of the trial that the sketch is for."""
        self.ended: dict[int, FrozenTrial] = {}
        """What was made of trials that will not change any more."""
        self.common = IntersectionSearchSpace()

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        found = self.common.calculate(self._before(study, trial))
        return {name: distribution for name, distribution in found.items() if not distribution.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler(trial, "").sample_relative(self._before(study, trial), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        sampler = self._sampler(trial, param_name)
        return sampler.sample_independent(self._before(study, trial), trial, param_name, param_distribution)

    def _sampler(self, trial: FrozenTrial, leaf: str) -> BaseSampler:
        # Leaves that all trials have are modelled jointly, conditional ones each by itself: in simulated searches that needed
        # a quarter less than `group=True`, which models each branch jointly from the few trials that it has.
        draft = trial.system_attrs.get(DRAFT, 0)
        seed = zlib.crc32(f"{self.seed} {trial.number} {leaf}{f' draft {draft}' if draft else ''}".encode())
        if draft >= MODELLED_DRAFTS:
            return RandomSampler(seed=seed)
        return TPESampler(seed=seed, n_startup_trials=self.random_trials, constant_liar=False)

    def _before(self, study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
        """The study as it was when this trial began, all trials complete."""
        if self.sketched != trial.number:
            self.sketched = trial.number
            others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
            # Known-good configurations that wait for their turn have no leaves yet.
            # A study remembers what its storage showed it.
            self.sketch = optuna.Study(self.sketch.study_name, self.shown)
            self.shown.trials = [self._as_complete(other) for other in others if other.state != TrialState.WAITING]
        return self.sketch

    def _as_complete(self, trial: FrozenTrial) -> FrozenTrial:
        if trial.number in self.ended:
            return self.ended[trial.number]
        is_known = trial.intermediate_values and trial.state != TrialState.FAIL
        found = optuna.create_trial(
            params=trial.params,
            distributions=trial.distributions,
            value=max(trial.intermediate_values.values()) if is_known else 0.0,
        )
        found.number = trial.number
        if trial.state.is_finished():
            self.ended[trial.number] = found
        return found


class Drafts(BaseSampler):
    """Draws what a LiveTPE would draw for a study's next trial, in studies that are thrown away."""

    def __init__(self, live: LiveTPE, study: optuna.Study) -> None:
        self.live, self.study, self.number = live, study, len(study.get_trials(deepcopy=False))

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.live.infer_relative_search_space(self.study, self._next(trial))

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self.live.sample_relative(self.study, self._next(trial), search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self.live.sample_independent(self.study, self._next(trial), param_name, param_distribution)

    def _next(self, draft: FrozenTrial) -> FrozenTrial:
        trial = copy.copy(draft)
        trial.number, trial.system_attrs = self.number, {DRAFT: draft.number}
        return trial


class Shown(InMemoryStorage):
    """Trials that are read and not kept: copying a thousand of them for each suggestion would cost a quarter of a second."""

    trials: Sequence[FrozenTrial] = ()

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [trial for trial in self.trials if states is None or trial.state in states]
