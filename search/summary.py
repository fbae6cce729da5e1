"""summary.json: everything that a search found, as a documented interface."""

import contextlib
import json
import os
import platform
import shlex
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from search.finals import Finalist
from search.ledger import head
from search.outcome import RECALLS, Outcome
from search.plan import Plan
from search.records import TrialRecord, recalls_by_set
from search.storage import patiently
from search.study import compare
from vpr.folders import Folders
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
PROJECT = Path(__file__).resolve().parent.parent


def as_json(outcome: Outcome) -> dict[str, Any]:
    """The documented interface of summary.json (README, "Two commands")."""
    plan, finals = outcome.plan, outcome.finals
    confirmed = [record for record in outcome.history.records.values() if record.seed is not None]
    tied = [] if finals.val is None else [f for f, tie in zip(finals.finalists, finals.val.is_tied, strict=True) if tie]
    return {
        "name": plan.name,
        "space": plan.space.name,
        "command": outcome.command,
        "seed": plan.seed,
        "git_commit": _commit(),
        "versions": _versions(),
        "data": {**_data(plan), **_vals(plan.folders)},
        "wall_seconds": round(outcome.wall_seconds, 1),
        "ray_seconds": round(outcome.ray_seconds, 1),
        "compute_share": round(outcome.compute_share, 3),
        "trial_seconds": round(sum(record.seconds for record in outcome.trials), 1),
        "confirm_seconds": round(sum(record.seconds for record in confirmed), 1),
        "saved_seconds": round(outcome.saved_seconds, 1),
        "saved_share": round(outcome.saved_share, 3),
        "seconds_to_first_step": outcome.seconds_to_first_step and round(outcome.seconds_to_first_step, 1),
        "slots": outcome.slots.count,
        "slot": {"cpus": outcome.slots.cpus, "gpus": outcome.slots.gpus},
        "epochs": plan.epochs,
        "sessions": len(outcome.history.events.sessions),
        "disk_bytes": outcome.disk_bytes,
        "early_stopping": {"rule": plan.early_stopping, "rungs": [vars(rung) for rung in outcome.rungs]},
        "trials": [_trial(outcome, record) for record in outcome.trials],
        "finalists": [_finalist(outcome, place, found) for place, found in enumerate(finals.finalists)],
        "tie_group": [finalist.record.number for finalist in tied],
        "importance": [vars(importance) for importance in outcome.importances],
        "study": compare(plan.space.tables, outcome.history, finals),
        "test": outcome.test(),
        "ledger": {"file": outcome.plan.ledger.name, "head": head(outcome.plan.ledger), "looks": outcome.looks()},
        "best": _best(outcome),
    }


def _data(plan: Plan) -> dict[str, Any]:
    """Return what is known of the sets; `overlap` holds all that a reader must know, in words."""
    sets = plan.sets
    return {
        "root": os.path.commonpath([plan.folders.train, *plan.folders.vals.values()]),
        "fingerprint": sets.fingerprint,
        "images": sets.images,
        "places": sets.places,
        "small_places": sets.small.places,
        "queries": {name: queries for name, (_, queries) in sets.ceilings.items()},
        "queries_without_positives": {name: missing for name, (missing, _) in sets.ceilings.items()},
        "overlap": sets.lines(),
    }


def _vals(folders: Folders) -> dict[str, Any]:
    """Return `vals`, the folder of each val set by name, and for a single one `val`, its folder."""
    vals = {name: str(folder) for name, folder in folders.vals.items()}
    return {"val": str(folders.first_val), "vals": vals} if len(vals) == 1 else {"vals": vals}


def _best(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.winner is None:
        return None
    run = outcome.finals.best.best_run if outcome.finals.best else outcome.winner
    export = str(outcome.finals.export) if outcome.finals.export else None
    return {"trial": outcome.winner.number, "seed": run.seed, "export": export}


def _trial(outcome: Outcome, record: TrialRecord) -> dict[str, Any]:
    return {
        "id": record.number,
        "state": record.state,
        "params": record.leaves,
        "epochs": len(record.epochs),
        **_times(record),
        "stop_reason": record.stop_reason,
        **_result(outcome, record),
        "train": train_command(outcome, record),
    }


def _result(outcome: Outcome, record: TrialRecord) -> dict[str, Any]:
    return {
        "best": record.best
        and {**{name: record.best[name] for name in ("epoch", *RECALLS)}, **recalls_by_set(record.best)},
        "checkpoint": record.checkpoint and str(record.checkpoint.relative_to(outcome.plan.folder)),
    }


def _finalist(outcome: Outcome, place: int, finalist: Finalist) -> dict[str, Any]:
    """recall@1 in per cent; the interval is of 95 %."""

    def known(name: str, certainty: Any) -> dict[str, Any]:
        low, high = certainty.intervals[place]
        figures = {"mean": certainty.means[place], "sd": certainty.spreads[place]}
        return {
            **{part: round(value, 4) for part, value in figures.items()},
            "interval": [round(low, 4), round(high, 4)],
        }

    finals = outcome.finals
    seeds = [
        {
            "seed": run.seed,
            **_times(run),
            **_result(outcome, run),
            "test": {name: found for name in finals.tests if (found := finals.recalls(run.key, name))},
            "train": train_command(outcome, run),
        }
        for run in finalist.runs
    ]
    return {
        "trial": finalist.record.number,
        "seeds": seeds,
        **(known("val", finals.val) if finals.val else {}),
        "vals": {name: known(name, certainty) for name, certainty in finals.vals.items()},
        "probability_best": finals.val and round(float(finals.val.probability_best[place]), 3),
        "test": {name: known(name, certainty) for name, certainty in finals.tests.items()},
    }


def train_command(outcome: Outcome, record: TrialRecord) -> str | None:
    """The command that trains this again, to the same numbers on a CPU; None for folders that are not one --data."""
    if outcome.plan.train_data is None or record.best is None:
        return None
    standard = to_leaves(from_leaves(dict(outcome.plan.preset)))
    leaves = to_leaves(from_leaves(record.leaves, outcome.plan.base))
    differing = {name: value for name, value in leaves.items() if standard.get(name) != value}
    settings = [
        f"--set={name}={value!r}" if isinstance(value, float) else f"--set={name}={to_text(name, value)}"
        for name, value in differing.items()
    ]
    where = [*outcome.plan.train_data, f"--threads={outcome.slots.cpus}", f"--device={outcome.slots.device}"]
    return shlex.join(["python", "-m", "vpr.train", *where, *settings])


def write_summary(file: Path, outcome: Outcome) -> None:
    """Write summary.json beside and rename."""
    content = json.dumps(as_json(outcome), indent=2) + "\n"

    def write() -> None:
        partial = file.with_suffix(f".partial-{os.getpid()}")
        partial.write_text(content)
        os.replace(partial, file)

    patiently(write)


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
