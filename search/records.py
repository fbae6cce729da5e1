"""What is known of a trial, and the lines of history.jsonl from which it is known again after any interruption."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vpr.config import Value
from vpr.leaves import to_text
from vpr.results import best_key

METRIC = "val/recall_at_1"
FAILED = "failed"
"""In a report: why the trial will end now, instead of an epoch's metrics."""
State = Literal["running", "completed", "pruned", "failed", "interrupted"]
ALIKE = ("loss/lr", "loss/alpha", "optimizer/alpha")
"""Leaves that share their last name with another."""
TrialKey = tuple[int, int | None]
"""Trial and, for a finalist that is trained again, seed."""


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
    waits: bool = False
    """For others to be compared with, after its last epoch."""
    epochs: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each finished epoch, by `EpochResult.metrics`' names."""
    usage: list[dict[str, float]] = field(default_factory=list)
    """Of the worker's machine in each of these epochs (`search.usage`)."""
    times: list[float] = field(default_factory=list)
    """Unix seconds, when each epoch was reported, with the checkpoint written."""
    seconds: float = 0.0
    """On its workers, to its last report."""
    first_step_at: float | None = None
    """Unix seconds, when its first step began."""
    ended_at: float | None = None
    """Unix seconds of its end."""
    worker: str = ""
    """Process that ran it last."""
    checkpoint: Path | None = None
    """File with the state after the best epoch, while it is kept."""

    @property
    def key(self) -> TrialKey:
        return self.number, self.seed

    @property
    def folder(self) -> str:
        """Where its checkpoints lie, below `trials/`."""
        return f"trial-{self.number:04d}" + ("" if self.seed is None else f"-seed-{self.seed}")

    @property
    def title(self) -> str:
        return f"trial {self.number:<3}" if self.seed is None else f"trial {self.number} again, seed {self.seed}"

    @property
    def reported_at(self) -> float | None:
        """Unix seconds of its last epoch."""
        return self.times[-1] if self.times else None

    @property
    def has_ended(self) -> bool:
        return self.state in ("completed", "pruned", "failed")

    @property
    def compute_seconds(self) -> float:
        """Training and validating, without what lies between."""
        return sum(epoch["train/seconds"] + epoch["val/seconds"] for epoch in self.epochs)

    @property
    def best(self) -> dict[str, float] | None:
        """The metrics of the best epoch by the project's one rule."""
        return max(self.epochs, key=best_key, default=None)


def recalls_by_set(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return recall@N on each val set, `val/NAME/recall_at_N`; empty in a search with one val set."""
    return {name: value for name, value in metrics.items() if name.startswith("val/") and name.count("/") > 1}


class Report(NamedTuple):
    """An epoch of one of the search's own trials."""

    trial: int
    epoch: int
    recall: float
    """val recall@1 in per cent."""
    waits: bool = False
    """For others to be compared with."""


@dataclass
class Events:
    """A search's history.jsonl, read line by line: trials and the sessions in which they ran."""

    records: dict[TrialKey, TrialRecord] = field(default_factory=dict)
    sessions: list[list[float]] = field(default_factory=list)
    """Unix seconds of the first and the last line of each run of the command."""
    reports: list[Report] = field(default_factory=list)
    """In the order in which they came."""
    is_finished: bool = False

    def read(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.apply(json.loads(line))

    def apply(self, event: dict[str, Any]) -> None:
        """One line: `session`, `suggested`, `epoch`, `again`, `released`, `ended` or `finished`, with its time `at`."""
        if event["event"] == "session":
            self.sessions.append([event["at"], event["at"]])
            self.is_finished = False
        self.sessions[-1][1] = event["at"]
        getattr(self, f"_{event['event']}")(event)

    def seconds_before(self) -> float:
        """What the sessions before this one took."""
        return sum(last - first for first, last in self.sessions[:-1])

    def _session(self, event: dict[str, Any]) -> None:
        pass

    def _suggested(self, event: dict[str, Any]) -> None:
        leaves = {name: tuple(value) if isinstance(value, list) else value for name, value in event["leaves"].items()}
        record = TrialRecord(event["trial"], leaves, event["seed"])
        self.records[record.key] = record

    def _epoch(self, event: dict[str, Any]) -> None:
        record = self.records[event["trial"], event["seed"]]
        waits = event.get("waits", False)  # before version 0.6 nobody did
        record.epochs.append(event["metrics"])
        record.usage.append(event.get("usage", {}))  # searches of version 0.5 did not note it
        if record.seed is None:
            metrics = event["metrics"]
            self.reports.append(Report(record.number, int(metrics["epoch"]), metrics[METRIC], waits))
        record.times.append(event["reported_at"])
        record.seconds += event["seconds"]
        record.first_step_at = record.first_step_at or event["first_step_at"]
        record.worker = event["worker"]
        record.stop_reason = event["stop"] or ""
        record.waits = waits

    def _again(self, event: dict[str, Any]) -> None:
        """A training that was cut off went on after this epoch."""

    def _released(self, event: dict[str, Any]) -> None:
        self.records[event["trial"], None].waits = False

    def _ended(self, event: dict[str, Any]) -> None:
        record = self.records[event["trial"], event["seed"]]
        record.waits = False
        record.state, record.stop_reason, record.ended_at = event["state"], event["reason"], event["at"]

    def _finished(self, event: dict[str, Any]) -> None:
        self.is_finished = True


def short(name: str) -> str:
    """A leaf's name as tables and axes show it: `lr`, `loss`, and whole where another would look the same."""
    branch, _, leaf = name.partition("/")
    return branch if leaf == "name" else name if name in ALIKE else leaf


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
            others.append(f"{short(name)} {text}")
    return " · ".join(choices + others)


def note(record: TrialRecord) -> str:
    """A trial in Markdown."""
    lines = [f"**{record.state}**: {record.stop_reason}"]
    if record.best:
        lines.append(f"best epoch {record.best['epoch']:g}: recall@1 {record.best['val/recall_at_1']:.1f} % on val")
    lines.append(f"{what_varied(record.leaves)}; {record.seconds:.0f} s on {record.worker}")
    return "\n\n".join(lines)
