"""What is trained next: what was cut off, who has waited for others, what Optuna suggests, and then the best configurations with other seeds."""

import time
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from search.bridge import OptunaBridge
from search.early_stopping import EarlyStopping
from search.history import History
from search.records import METRIC, TrialRecord


class Confirming(Searcher):
    """Suggests what Optuna does, and after that the K best configurations with S seeds each.

    A configuration is trained again as soon as it is certain to be a finalist: of those ranked, the first K less the
    number of trials that still run, each of which can pass it. So the slots that the last trials leave empty are used.
    """

    def __init__(
        self,
        bridge: OptunaBridge,
        history: History,
        early_stopping: EarlyStopping,
        confirm: int,
        seeds: list[int],
        was_interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        """early_stopping: after its deadline no new configuration is tried; was_interrupted: then nothing starts any more."""
        super().__init__(metric=METRIC, mode="max")
        self.bridge, self.history, self.early_stopping = bridge, history, early_stopping
        self.confirm, self.seeds = confirm, seeds
        self.was_interrupted = was_interrupted
        self.live: dict[str, TrialRecord] = {}
        """Trainings that Ray has, by its id."""
        self.cut_off = [record for record in history.records.values() if not record.has_ended and not record.waits]
        """Trainings that ran when the search was interrupted, or whose worker was lost: each goes on as another trial of Ray's.

        Ray's own retry takes a worker that dies between two trials for two failures of the second, and gives that one up.
        """
        self.is_settled = False
        """Nothing changes the ranking any more, and each finalist's trainings have begun."""

    @property
    def running(self) -> int:
        """How many of the search's own trials Ray has."""
        return sum(record.seed is None for record in self.live.values())

    def suggest(self, trial_id: str) -> Any:
        self.history.look()  # while nothing runs, Tune does nothing but ask here
        if self.was_interrupted():
            return Searcher.FINISHED
        if not self.history.storage.has_room or len(self.live) >= self.history.nodes.fitting:
            return None
        record = self._next(trial_id)
        if record is None:
            return None if self.live else Searcher.FINISHED
        self.live[trial_id] = record
        return {"trial": record.number, "leaves": record.leaves, "seed": record.seed, "folder": record.folder}

    def _next(self, trial_id: str) -> TrialRecord | None:
        if self.cut_off:
            return self._going_on(trial_id, self.cut_off.pop(0))
        if self.is_settled:
            return None
        while self.early_stopping.waiting or self.has_more:
            found = self._released(trial_id) or (self._new(trial_id) if self.has_more else None)
            if found:
                return found
        for record in self._certain():
            for seed in self.seeds:
                if (record.number, seed) not in self.history.records:
                    return self.history.suggested(record.number, seed, {**record.leaves, "training/seed": seed})
        self.is_settled = not self.running
        return None

    @property
    def has_more(self) -> bool:
        """Whether another configuration will be tried."""
        return len(self.history.searched) < self.history.trials and time.monotonic() < self.early_stopping.deadline

    def _going_on(self, trial_id: str, record: TrialRecord) -> TrialRecord:
        if record.seed is None:
            self.bridge.go_on(trial_id, record.number)
        return record

    def _released(self, trial_id: str) -> TrialRecord | None:
        """A trial that has waited and goes on; those that do not are ended."""
        while (number := self.early_stopping.release(not self.has_more)) is not None:
            record = self.history.records[number, None]
            if number not in self.early_stopping.reasons:
                self.history.released(record)
                return self._going_on(trial_id, record)
            self.history.end(record, "pruned", self.early_stopping.reasons[number])
            self.bridge.prune(number)
        return None

    def _new(self, trial_id: str) -> TrialRecord | None:
        """The next configuration; None if it cannot be trained, or there is no other."""
        found = self.bridge.suggest(trial_id)
        if found is None:
            self.history.exhausted()
            return None
        record = self.history.suggested(found["trial"], None, found["leaves"])
        if "fault" in found:
            self.history.end(record, "failed", found["fault"])
            return None
        return record

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if self.live[trial_id].seed is None:
            self.bridge.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Of an error Ray tells the history after this, which counts the loss."""
        record = self.live[trial_id]
        if error and self.history.goes_on(record):
            self.cut_off.append(record)
        elif record.seed is None and record.number in self.early_stopping.waiting:
            assert result
            self.bridge.on_trial_result(trial_id, result)
        elif record.seed is None:
            self.bridge.on_trial_complete(trial_id, result, error)
            if error:
                self.early_stopping.give_up(record.number)
        del self.live[trial_id]  # last: where the bridge could not write, Ray comes again with an error

    def save(self, checkpoint_path: str) -> None:
        self.bridge.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search does not use Ray's own restoring."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def _certain(self) -> list[TrialRecord]:
        ended = [record for record in self.history.ranked() if record.state in ("completed", "pruned")]
        return ended[: max(self.confirm - self.running, 0)]
