"""A search as its folder tells it, for the report: summary.json, history.jsonl and search.json, here or in a copy."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search.export import read_summary
from search.records import METRIC, Events, TrialRecord
from search.storage import read_lines
from vpr.config import Value
from vpr.errors import ConfigError
from vpr.leaves import to_text

GROUPINGS = ("loss/name", "optimizer/name", "scheduler/name", "model/aggregation", "model/backbone")
"""Choices by which trials are told apart in the charts: the first one that varied."""


@dataclass(frozen=True)
class Recorded:
    """What the files say; nothing is computed anew that summary.json has."""

    folder: Path
    summary: dict[str, Any]
    events: Events
    asked: dict[str, int]
    """The budget: trials, confirm, confirm_seeds; empty where search.json was left behind."""

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """The search's own, best first."""
        found = []
        for entry in self.summary["trials"]:
            record = self.events.records[entry["id"], None]
            record.state, record.stop_reason = entry["state"], entry["stop_reason"]
            found.append(record)
        return found

    @cached_property
    def varied(self) -> list[str]:
        """Leaves that differ between trials, in the order of the space."""
        names = {name: None for record in self.trials for name in record.leaves}
        return [name for name in names if len({record.leaves.get(name) for record in self.trials}) > 1]

    @cached_property
    def grouping(self) -> str | None:
        """The choice by which the charts tell trials apart."""
        return next((name for name in GROUPINGS if name in self.varied), None)

    @cached_property
    def groups(self) -> dict[str, list[TrialRecord]]:
        """Trials that have a result, by that choice, the group of the best one first."""
        groups: dict[str, list[TrialRecord]] = {}
        for record in self.trials:
            if record.epochs:
                name = "all trials" if self.grouping is None else str(record.leaves.get(self.grouping, "as it was set"))
                groups.setdefault(name, []).append(record)
        return groups

    @property
    def vals(self) -> dict[str, str]:
        """Return the folders of several val sets by name; empty for a single one, and for searches of version 0.5 and before."""
        vals = self.summary["data"].get("vals", {})
        return vals if len(vals) > 1 else {}

    @property
    def epochs(self) -> int:
        """Of a full training."""
        return self.summary.get("epochs") or max((len(record.epochs) for record in self.trials), default=1)

    @property
    def is_interrupted(self) -> bool:
        return not self.events.is_finished

    @property
    def unit(self) -> tuple[str, float]:
        """In what the time of trials is told, and how much of it a trial uses up in an hour."""
        slot = self.summary.get("slot")
        if not slot:
            return "slot-hours", 1.0
        return ("GPU-hours", slot["gpus"]) if slot["gpus"] else ("core-hours", slot["cpus"])

    def importance(self) -> dict[str, float]:
        """Of all trials, by leaf; empty where it is not known."""
        found = self.summary.get("importance", [])
        return found[0]["shares"] if found else {}


def read(folder: Path) -> Recorded:
    """Raises ConfigError where there is no summary of a search."""
    summary = read_summary(folder)
    events = Events()
    events.read(read_lines(folder / "history.jsonl"))
    missing = [entry["id"] for entry in summary["trials"] if (entry["id"], None) not in events.records]
    if missing:
        raise ConfigError(f"{folder}/history.jsonl does not know trial {missing[0]}; copy it along with summary.json")
    beginning = folder / "search.json"
    asked = json.loads(beginning.read_text())["budget"] if beginning.exists() else {}
    return Recorded(folder, summary, events, asked)


def recall(record: TrialRecord) -> float:
    """Best val recall@1 in per cent, of a trial that has a result."""
    assert record.best
    return record.best[METRIC]


def is_choice(name: str) -> bool:
    return name.endswith(("/name", "/aggregation", "/backbone"))


def to_short_text(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else to_text("", value)
