"""The end of a search: summary.json, the ranked table, and what to type next."""

import contextlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from search.cluster import Slots
from search.history import TrialRecord, what_varied
from vpr.datasets import Folders

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "pytorch-metric-learning",
    "faiss-cpu",
    "faiss-gpu",
    "ray",
    "optuna",
    "mlflow",
    "numpy",
)
RECALLS = tuple(f"val/recall_at_{n}" for n in (1, 5, 10, 20))


@dataclass
class Outcome:
    """All that summary.json says of a search."""

    name: str
    folder: Path
    space: str
    command: str
    seed: int
    data: Mapping[str, str]
    slots: Slots
    epochs: int
    """Of a trial that runs to its end."""
    trials: list[TrialRecord]
    """Best first."""
    wall_seconds: float
    ray_seconds: float
    """Of these, Ray's own start."""
    seconds_to_first_step: float | None
    """From the command to the beginning of the first optimizer step of any trial."""
    test: dict[str, dict[str, float]] = field(default_factory=dict)
    """recall@N of the export in per cent, by test set."""
    export: Path | None = None

    @property
    def winner(self) -> TrialRecord | None:
        """The best trial that did not fail."""
        return next((record for record in self.trials if record.best and record.state != "failed"), None)

    @property
    def compute_share(self) -> float:
        """Of the slots' time, Ray's start apart, what was spent in training and validating trials."""
        compute = sum(record.compute_seconds for record in self.trials)
        return compute / (self.slots.count * (self.wall_seconds - self.ray_seconds))

    def figures(self) -> dict[str, float]:
        """Numbers for the search's own MLflow run."""
        tests = {f"test/{name}/{metric}": value for name, found in self.test.items() for metric, value in found.items()}
        best = self.winner.best if self.winner else None
        recalls = {f"best/{name.replace('/', '_')}": best[name] for name in RECALLS} if best else {}
        return {**recalls, **tests, "wall_seconds": self.wall_seconds, "trials": len(self.trials)}

    def as_json(self) -> dict[str, Any]:
        """The documented interface of summary.json (README, "Two commands")."""
        return {
            "name": self.name,
            "space": self.space,
            "command": self.command,
            "seed": self.seed,
            "versions": _versions(),
            "data": self.data,
            "wall_seconds": round(self.wall_seconds, 1),
            "ray_seconds": round(self.ray_seconds, 1),
            "compute_share": round(self.compute_share, 3),
            "trial_seconds": round(sum(record.seconds for record in self.trials), 1),
            "saved_seconds": round(saved_seconds(self.trials, self.epochs), 1),
            "seconds_to_first_step": self.seconds_to_first_step and round(self.seconds_to_first_step, 1),
            "slots": self.slots.count,
            "trials": [_trial_json(record, self.folder) for record in self.trials],
            "finalists": [],
            "tie_group": [],
            "test": self.test,
            "best": self.winner and {"trial": self.winner.number, "export": str(self.export) if self.export else None},
        }


def saved_seconds(trials: Iterable[TrialRecord], epochs: int) -> float:
    """Trial seconds that early stopping did not spend: each stopped trial's missing epochs at its own mean pace."""
    pruned = [record for record in trials if record.state == "pruned" and record.epochs]
    return sum(record.seconds / len(record.epochs) * (epochs - len(record.epochs)) for record in pruned)


def write_summary(file: Path, outcome: Outcome) -> None:
    """Write summary.json beside and rename."""
    partial = file.with_suffix(f".partial-{os.getpid()}")
    partial.write_text(json.dumps(outcome.as_json(), indent=2) + "\n")
    os.replace(partial, file)


def print_table(console: Console, outcome: Outcome) -> None:
    """The ranked trials: what varied, best recalls (per cent), epochs, state."""
    table = Table(title=f"{outcome.name}: {len(outcome.trials)} trials, best val recall@1 first", title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("what varied", overflow="fold")
    for heading in ("R@1", "R@5", "R@10", "epochs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for record in outcome.trials:
        recalls = [f"{record.best[name]:.1f}" if record.best else "-" for name in RECALLS[:3]]
        state = record.state if record.state != "failed" else f"failed: {record.stop_reason[:40]}"
        table.add_row(str(record.number), what_varied(record.leaves), *recalls, str(len(record.epochs)), state)
    console.print(table)


def print_next_steps(console: Console, outcome: Outcome, tracking: str, folders: Folders) -> None:
    """Test recalls, where the export is, and the commands to look further."""
    for name, recalls in outcome.test.items():
        figures = "  ".join(f"R@{metric.rsplit('_', 1)[1]} {value:.1f}" for metric, value in recalls.items())
        console.print(f"test      {name}  {figures}")
    if outcome.winner is None:
        console.print("no trial succeeded; the table says why")
        return
    mlflow = shlex.join([str(Path(sys.executable).with_name("mlflow")), "ui", "--backend-store-uri", tracking])
    measured = next(iter(folders.tests.values()), folders.val)
    split = "/".join(measured.parts[-2:])
    evaluate = [sys.executable, "-m", "vpr.evaluate", str(outcome.export), "--data", str(measured.parents[1])]
    for label, text in (
        ("export", str(outcome.export)),
        ("summary", str(outcome.export.with_name("summary.json")) if outcome.export else ""),
        ("look", mlflow),
        ("measure", shlex.join([*evaluate, "--split", split])),
    ):
        console.print(f"{label:<9} {text}", soft_wrap=True)


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):  # one of the two faiss packages
            found[name] = version(name)
    return {"python": platform.python_version(), **found}


def _trial_json(record: TrialRecord, folder: Path) -> dict[str, Any]:
    best = record.best and {name: record.best[name] for name in ("epoch", *RECALLS)}
    return {
        "id": record.number,
        "state": record.state,
        "params": record.leaves,
        "epochs": len(record.epochs),
        "seconds": round(record.seconds, 2),
        "compute_seconds": round(record.compute_seconds, 2),
        "first_step_at": record.first_step_at,
        "reported_at": record.reported_at,
        "worker": record.worker,
        "stop_reason": record.stop_reason,
        "best": best,
        "checkpoint": record.checkpoint and str(record.checkpoint.relative_to(folder)),
    }
