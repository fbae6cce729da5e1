"""What happened in a search, as Ray Tune tells it: the one source of the table, summary.json and MLflow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console

from search.tracking import Tracker, TrialKey
from vpr.config import TrialConfig, Value
from vpr.errors import VPRError
from vpr.leaves import from_leaves, to_leaves, to_text
from vpr.results import best_key

INTERRUPTED = "interrupted"
State = Literal["running", "completed", "pruned", "failed"]


@dataclass
class TrialRecord:
    """One trial."""

    number: int
    leaves: dict[str, Any]
    """What the space suggested."""
    seed: int | None = None
    """training/seed of a finalist that is trained again; None for a trial of the search."""
    state: State = "running"
    stop_reason: str = ""
    epochs: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each finished epoch, by `EpochResult.metrics`' names."""
    seconds: float = 0.0
    """From the start of the trial on its worker to its last report."""
    first_step_at: float | None = None
    """Unix seconds, when its first step began."""
    reported_at: float | None = None
    """Unix seconds, when its last epoch was reported, with the checkpoint written."""
    worker: str = ""
    """Process that ran it."""
    checkpoint: Path | None = None
    """File with the state after the best epoch."""

    @property
    def key(self) -> TrialKey:
        return self.number, self.seed

    @property
    def title(self) -> str:
        return f"trial {self.number:<3}" if self.seed is None else f"trial {self.number} again, seed {self.seed}"

    @property
    def compute_seconds(self) -> float:
        """Training and validating, without what lies between."""
        return sum(epoch["train/seconds"] + epoch["val/seconds"] for epoch in self.epochs)

    @property
    def best(self) -> dict[str, float] | None:
        """The metrics of the best epoch by the project's one rule."""
        return max(self.epochs, key=best_key, default=None)


class History(Callback):
    """Records every trial, prints a line when one ends, and passes everything on to MLflow."""

    def __init__(
        self,
        base: TrialConfig,
        tracker: Tracker,
        console: Console,
        trials: int,
        confirmations: int,
        stops: Mapping[int, str],
    ) -> None:
        """base: what a trial is before the space varies it; trials, confirmations: how many there will be; stops: why, by trial."""
        self.base, self.epochs = base, base.training.epochs
        self.trials, self.confirmations = trials, confirmations
        self.tracker, self.console, self.stops = tracker, console, stops
        self.records: dict[TrialKey, TrialRecord] = {}

    @property
    def first_step_at(self) -> float | None:
        """Unix seconds of the first optimizer step of any trial."""
        return min((record.first_step_at for record in self.records.values() if record.first_step_at), default=None)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks to restore a run by itself, which a search does not use."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        if (trial.config["trial"], trial.config["seed"]) not in self.records:
            record = self._record(trial)
            try:
                leaves = to_leaves(from_leaves(record.leaves, self.base))
            except VPRError:  # the trial itself fails with this message; the others go on
                leaves = record.leaves
            self.tracker.start(record.key, what_varied(record.leaves), leaves)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        record = self._record(trial)
        names = [name for name in result if name == "epoch" or name.startswith(("train/", "val/"))]
        record.epochs.append({name: result[name] for name in names})
        record.seconds = result["time_total_s"]
        record.first_step_at = record.first_step_at or result["first_step_at"]
        record.reported_at, record.worker = result["reported_at"], f"{result['hostname']}:{result['pid']}"
        assert record.best
        self.tracker.epoch(record.key, record.epochs[-1], record.best)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        record = self._record(trial)
        if len(record.epochs) >= self.epochs:
            self._end(record, "completed", "all epochs")
        elif not record.epochs:
            self._end(record, "failed", "ended without a report")
        else:
            self._end(record, "pruned", self.stops.get(record.number, "ended early"))

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        # The last line of a traceback is the error itself; our own types need no name before their message.
        lines = Path(trial.error_file).read_text().split("\n") if trial.error_file else []
        last = next((line for line in reversed(lines) if line.strip()), "the worker died")
        self._end(self._record(trial), "failed", re.sub(r"^vpr\.errors\.\w+: ", "", last.strip())[:300])

    def finish(self, reason: str) -> None:
        """End the trials that were still running when the search was over."""
        for record in self.records.values():
            if record.state == "running":
                self._end(record, "pruned" if record.epochs else "failed", reason)

    @property
    def searched(self) -> list[TrialRecord]:
        """The search's own trials, as they started."""
        return [record for record in self.records.values() if record.seed is None]

    def confirmed(self, number: int) -> list[TrialRecord]:
        """The trainings of a finalist, by seed."""
        mine = [record for record in self.records.values() if record.number == number and record.seed is not None]
        return sorted(mine, key=lambda record: record.seed or 0)

    @property
    def is_interrupted(self) -> bool:
        return any(record.stop_reason == INTERRUPTED for record in self.records.values())

    @property
    def missing(self) -> int:
        """Trainings, of finalists too, that were asked for and did not run to their own end."""
        ended = sum(record.state != "running" and record.stop_reason != INTERRUPTED for record in self.records.values())
        return self.trials + self.confirmations - ended

    def ranked(self) -> list[TrialRecord]:
        """Best first by the one rule, then the earlier trial; trials without any epoch last."""

        def key(record: TrialRecord) -> tuple[float, ...]:
            return (*best_key(record.best), -record.number) if record.best else (-1.0, -1.0, 0.0, -record.number)

        return sorted(self.searched, key=key, reverse=True)

    def _record(self, trial: Trial) -> TrialRecord:
        number, leaves, seed = (trial.config[part] for part in ("trial", "leaves", "seed"))
        return self.records.setdefault((number, seed), TrialRecord(number, leaves, seed))

    def _end(self, record: TrialRecord, state: State, reason: str) -> None:
        record.state, record.stop_reason = state, reason
        self.tracker.end(record.key, state, reason)
        is_again = record.seed is not None
        peers = [other for other in self.records.values() if (other.seed is not None) == is_again]
        ended = sum(other.state != "running" for other in peers)
        recall = f"recall@1 {record.best['val/recall_at_1']:5.1f}" if record.best else "no result"
        self.console.print(
            f"{ended:>3}/{self.confirmations if is_again else self.trials}  {record.title} {state:<9} {recall}"
            f"  {what_varied(record.leaves)}" + (f"  ({reason})" if state != "completed" else ""),
            soft_wrap=True,
        )


def what_varied(leaves: dict[str, Value]) -> str:
    """`circle · lr 0.0025 · margin 0.25`: choices by value alone and first, names without their branch where that is clear."""
    choices, others = [], []
    for name, value in leaves.items():
        if name == "training/seed":  # of a finalist that is trained again: its title says it
            continue
        text = f"{value:.3g}" if isinstance(value, float) else to_text(name, value)
        if name.endswith(("/name", "/aggregation", "/backbone")):
            choices.append(text)
        else:
            others.append(f"{name if name == 'loss/lr' else name.split('/')[1]} {text}")
    return " · ".join(choices + others)
