"""summary.json: everything that a search found, as a documented interface."""

import contextlib
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from search.cluster import Slots
from search.finals import Finalist, Finals
from search.history import History, TrialRecord
from search.importance import Importance
from search.ledger import read_ledger
from search.plan import Plan, overlap_lines
from search.rungs import Rung, rungs_of, saved_seconds
from search.study import compare
from vpr.leaves import from_leaves, to_leaves, to_text

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
PROJECT = Path(__file__).resolve().parent.parent


@dataclass
class Outcome:
    """All that summary.json says of a search."""

    plan: Plan
    slots: Slots
    command: str
    history: History
    wall_seconds: float
    ray_seconds: float
    """Of these, Ray's own start."""
    seconds_to_first_step: float | None
    """From the command to the beginning of the first optimizer step of any trial."""
    finals: Finals = field(default_factory=lambda: Finals([]))
    importances: list[Importance] = field(default_factory=list)

    @property
    def trials(self) -> list[TrialRecord]:
        """The search's own, best first."""
        return self.history.ranked()

    @property
    def winner(self) -> TrialRecord | None:
        """The finalist with the best mean; before there are finalists, the best trial that did not fail."""
        if self.finals.best:
            return self.finals.best.record
        return next((record for record in self.trials if record.best and record.state != "failed"), None)

    @property
    def compute_share(self) -> float:
        """Of the slots' time, Ray's start apart, what was spent in training and validating trials."""
        compute = sum(record.compute_seconds for record in self.history.records.values())
        return compute / (self.slots.count * (self.wall_seconds - self.ray_seconds))

    @property
    def saved_seconds(self) -> float:
        return saved_seconds(self.trials, self.plan.epochs)

    @property
    def saved_share(self) -> float:
        """Of the trial seconds that full trainings would have taken, what early stopping saved."""
        spent = sum(record.seconds for record in self.trials)
        return self.saved_seconds / (self.saved_seconds + spent) if spent else 0.0

    @property
    def rungs(self) -> list[Rung]:
        return rungs_of(self.trials, self.plan.epochs)

    @property
    def ledger(self) -> Path:
        return self.plan.folder.parent / "test-ledger.jsonl"

    def test(self) -> dict[str, dict[str, Any]]:
        """recall@N of the exported model in per cent, by test set."""
        best = self.finals.best
        found = {name: best and self.finals.recalls(best.best_run.key, name) for name in self.plan.folders.tests}
        return {name: recalls for name, recalls in found.items() if recalls}

    def figures(self) -> dict[str, float]:
        """Numbers for the search's own MLflow run."""
        tests = {f"test/{name}/{n}": value for name, found in self.test().items() for n, value in found.items()}
        best = self.winner.best if self.winner else None
        recalls = {f"best/{name.replace('/', '_')}": best[name] for name in RECALLS} if best else {}
        shares = {
            f"importance/{importance.of}/{leaf}": share
            for importance in self.importances
            for leaf, share in importance.shares.items()
        }
        saved = {"saved_seconds": self.saved_seconds, "saved_share": self.saved_share}
        known = {"wall_seconds": self.wall_seconds, "trials": len(self.trials)}
        return {**recalls, **tests, **shares, **saved, **known}

    def as_json(self) -> dict[str, Any]:
        """The documented interface of summary.json (README, "Two commands")."""
        plan, finals = self.plan, self.finals
        confirmed = [record for record in self.history.records.values() if record.seed is not None]
        tied = (
            []
            if finals.val is None
            else [f for f, tie in zip(finals.finalists, finals.val.is_tied, strict=True) if tie]
        )
        return {
            "name": plan.name,
            "space": plan.space.name,
            "command": self.command,
            "seed": plan.seed,
            "git_commit": _commit(),
            "versions": _versions(),
            "data": {**plan.data, "overlap": overlap_lines(plan.overlap)},
            "wall_seconds": round(self.wall_seconds, 1),
            "ray_seconds": round(self.ray_seconds, 1),
            "compute_share": round(self.compute_share, 3),
            "trial_seconds": round(sum(record.seconds for record in self.trials), 1),
            "confirm_seconds": round(sum(record.seconds for record in confirmed), 1),
            "saved_seconds": round(self.saved_seconds, 1),
            "saved_share": round(self.saved_share, 3),
            "seconds_to_first_step": self.seconds_to_first_step and round(self.seconds_to_first_step, 1),
            "slots": self.slots.count,
            "early_stopping": {"rule": plan.early_stopping, "rungs": [vars(rung) for rung in self.rungs]},
            "trials": [self._trial(record) for record in self.trials],
            "finalists": [self._finalist(place, found) for place, found in enumerate(finals.finalists)],
            "tie_group": [finalist.record.number for finalist in tied],
            "importance": [vars(importance) for importance in self.importances],
            "study": compare(plan.space.tables, self.history, finals),
            "test": self.test(),
            "ledger": {"file": self.ledger.name, "looks": self.looks()},
            "best": self._best(),
        }

    def looks(self) -> dict[str, dict[str, int]]:
        """How often each test set was looked at, by this search and by all that share its storage."""
        looks = read_ledger(self.ledger)
        return {
            name: {
                "this_search": sum(look["set"] == name and look["search"] == self.plan.name for look in looks),
                "all": sum(look["set"] == name for look in looks),
            }
            for name in self.plan.folders.tests
        }

    def _best(self) -> dict[str, Any] | None:
        if self.winner is None:
            return None
        run = self.finals.best.best_run if self.finals.best else self.winner
        export = str(self.finals.export) if self.finals.export else None
        return {"trial": self.winner.number, "seed": run.seed, "export": export}

    def _trial(self, record: TrialRecord) -> dict[str, Any]:
        return {
            "id": record.number,
            "state": record.state,
            "params": record.leaves,
            "epochs": len(record.epochs),
            **_times(record),
            "stop_reason": record.stop_reason,
            **self._result(record),
            "train": self.train_command(record),
        }

    def _result(self, record: TrialRecord) -> dict[str, Any]:
        return {
            "best": record.best and {name: record.best[name] for name in ("epoch", *RECALLS)},
            "checkpoint": record.checkpoint and str(record.checkpoint.relative_to(self.plan.folder)),
        }

    def _finalist(self, place: int, finalist: Finalist) -> dict[str, Any]:
        """recall@1 in per cent; the interval is of 95 %."""

        def known(name: str, certainty: Any) -> dict[str, Any]:
            low, high = certainty.intervals[place]
            figures = {"mean": certainty.means[place], "sd": certainty.spreads[place]}
            return {
                **{part: round(value, 2) for part, value in figures.items()},
                "interval": [round(low, 2), round(high, 2)],
            }

        finals = self.finals
        seeds = [
            {
                "seed": run.seed,
                **_times(run),
                **self._result(run),
                "test": {name: found for name in finals.tests if (found := finals.recalls(run.key, name))},
                "train": self.train_command(run),
            }
            for run in finalist.runs
        ]
        return {
            "trial": finalist.record.number,
            "seeds": seeds,
            **(known("val", finals.val) if finals.val else {}),
            "probability_best": finals.val and round(float(finals.val.probability_best[place]), 3),
            "test": {name: known(name, certainty) for name, certainty in finals.tests.items()},
        }

    def train_command(self, record: TrialRecord) -> str | None:
        """The command that trains this again, to the same numbers on a CPU; None for folders that are not one --data."""
        if self.plan.train_data is None or record.best is None:
            return None
        standard = to_leaves(from_leaves(dict(self.plan.preset)))
        leaves = to_leaves(from_leaves(record.leaves, self.plan.base))
        differing = {name: value for name, value in leaves.items() if standard.get(name) != value}
        settings = [
            f"--set={name}={value!r}" if isinstance(value, float) else f"--set={name}={to_text(name, value)}"
            for name, value in differing.items()
        ]
        where = [*self.plan.train_data, f"--threads={self.slots.cpus}", f"--device={self.slots.device}"]
        return shlex.join(["python", "-m", "vpr.train", *where, *settings])


def write_summary(file: Path, outcome: Outcome) -> None:
    """Write summary.json beside and rename."""
    partial = file.with_suffix(f".partial-{os.getpid()}")
    partial.write_text(json.dumps(outcome.as_json(), indent=2) + "\n")
    os.replace(partial, file)


def _times(record: TrialRecord) -> dict[str, Any]:
    return {
        "seconds": round(record.seconds, 2),
        "compute_seconds": round(record.compute_seconds, 2),
        "first_step_at": record.first_step_at,
        "reported_at": record.reported_at,
        "worker": record.worker,
    }


def _versions() -> Mapping[str, str]:
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):  # one of the two faiss packages
            found[name] = version(name)
    return {"python": platform.python_version(), **found}


def _commit() -> str | None:
    """Of this project's code, with `-dirty` where files differ from it; None outside of a git clone."""
    describe = ["git", "-C", str(PROJECT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    with contextlib.suppress(OSError):
        done = subprocess.run(describe, capture_output=True, text=True)
        return done.stdout.strip() or None
    return None
