"""What is trained next: what an interruption cut off, what Optuna suggests, and then the best configurations with other seeds."""

import time
from typing import Any

from ray.tune.search import Searcher

from search.bridge import OptunaBridge
from search.history import History
from search.records import METRIC, TrialRecord


class Confirming(Searcher):
    """Suggests what Optuna does, and after that the K best configurations with S seeds each.

    A configuration is trained again as soon as it is certain to be a finalist: of those ranked, the first K less the
    number of trials that still run, each of which can pass it. So the slots that the last trials leave empty are used.
    """

    def __init__(
        self, bridge: OptunaBridge, history: History, trials: int, confirm: int, seeds: list[int], deadline: float
    ) -> None:
        """deadline: `time.monotonic` after which no new configuration is tried."""
        super().__init__(metric=METRIC, mode="max")
        self.bridge, self.history = bridge, history
        self.trials, self.confirm, self.seeds, self.deadline = trials, confirm, seeds, deadline
        self.live: set[str] = set()
        """Ray's ids of the trainings that have not ended."""
        self.running: set[str] = set()
        """Those of the search's own trials."""
        self.cut_off = [record for record in history.records.values() if not record.has_ended]
        """Trainings that ran when the search was interrupted."""

    def suggest(self, trial_id: str) -> Any:
        self.history.look()  # while nothing runs, Tune does nothing but ask here
        if not self.history.storage.has_room or len(self.live) >= self.history.nodes.fitting:
            return None
        found = self._next(trial_id)
        if isinstance(found, dict):
            self.live.add(trial_id)
        return found

    def _next(self, trial_id: str) -> Any:
        if self.cut_off:
            record = self.cut_off.pop(0)
            if record.seed is None:
                self.bridge.go_on(trial_id, record.number)
                self.running.add(trial_id)
            return _suggestion(record)
        while len(self.history.searched) < self.trials and time.monotonic() < self.deadline:
            found = self.bridge.suggest(trial_id)
            record = self.history.suggested(found["trial"], None, found["leaves"])
            if "fault" not in found:
                self.running.add(trial_id)
                return _suggestion(record)
            self.history.end(record, "failed", found["fault"])
        for record in self._certain():
            for seed in self.seeds:
                if (record.number, seed) not in self.history.records:
                    leaves = {**record.leaves, "training/seed": seed}
                    return _suggestion(self.history.suggested(record.number, seed, leaves))
        return None if self.running else Searcher.FINISHED

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if trial_id in self.running:
            self.bridge.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.live.discard(trial_id)
        if trial_id in self.running:
            self.running.remove(trial_id)
            self.bridge.on_trial_complete(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        self.bridge.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a search does not use Ray's own restoring."""

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def _certain(self) -> list[TrialRecord]:
        ended = [record for record in self.history.ranked() if record.state in ("completed", "pruned")]
        return ended[: max(self.confirm - len(self.running), 0)]


def _suggestion(record: TrialRecord) -> dict[str, Any]:
    return {"trial": record.number, "leaves": record.leaves, "seed": record.seed, "folder": record.folder}
