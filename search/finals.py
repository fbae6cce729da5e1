"""After the search: the finalists are weighed, meet the test sets, and the best seed of the best mean becomes the export."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import ray
from rich.console import Console

from search.certainty import Certainty, weigh
from search.cluster import Slots
from search.history import History, TrialRecord
from search.ledger import checkpoint_hash, record_look
from search.plan import Plan
from search.tracking import TrialKey
from vpr.datasets import find_images, fingerprint
from vpr.recall import recalls
from vpr.results import best_key

VAL = "val"


@dataclass(frozen=True)
class Finalist:
    """One of the best configurations."""

    record: TrialRecord
    """The search's own training of it."""
    runs: list[TrialRecord]
    """What it is judged by: a training for each seed, or the search's own where nothing was trained again."""

    @property
    def mean_key(self) -> tuple[float, ...]:
        """Larger is better: mean val recall@1, mean recall@5, the earlier trial."""
        keys = np.array([best_key(run.best)[:2] for run in self.runs if run.best])
        return (*keys.mean(axis=0), -self.record.number)

    @property
    def best_run(self) -> TrialRecord:
        """The best of its seeds."""
        return max(self.runs, key=lambda run: best_key(run.best or {}))


@dataclass
class Finals:
    """What is known of the finalists, best mean first."""

    finalists: list[Finalist]
    val: Certainty | None = None
    """Of their val recall@1."""
    tests: dict[str, Certainty] = field(default_factory=dict)
    """Of their recall@1, by test set."""
    answers: dict[tuple[TrialKey, str], np.ndarray] = field(default_factory=dict)
    """(Q,) place of the first right answer of each query (`vpr.recall.answers`), by model and set."""
    export: Path | None = None

    @property
    def best(self) -> Finalist | None:
        return self.finalists[0] if self.finalists else None

    def recalls(self, key: TrialKey, name: str) -> dict[str, float] | None:
        """recall@1, 5, 10 and 20 of a model on a set, in per cent; None where it was not measured."""
        first = self.answers.get((key, name))
        return None if first is None else {f"recall_at_{n}": value for n, value in recalls(first).items()}


def run(slots: Slots, plan: Plan, history: History, console: Console) -> Finals:
    """A failure is told in one line and costs only what failed. An interrupted search looks at no test set."""
    finals = Finals(sorted(choose(history, console), key=lambda found: found.mean_key, reverse=True))
    if finals.best is None:
        return finals
    exporting = _on_worker(slots)(_export).remote(plan.folder / "export", *_model(finals.best.best_run))
    models = [run for finalist in finals.finalists for run in finalist.runs]
    if plan.space.fixed_trials:  # its table is the answer, so that all of it is measured
        models += [record for record in history.ranked() if record.state == "completed"]
    tests = {} if history.is_interrupted else plan.folders.tests
    _measure_all(slots, plan, finals, models, tests, console)
    with _told(console, "the best model could not be exported"):
        ray.get(exporting)
        finals.export = plan.folder / "export"
    finals.val = _weighed(finals, VAL)
    for name in tests:
        if found := _weighed(finals, name):
            finals.tests[name] = found
    return finals


def choose(history: History, console: Console) -> list[Finalist]:
    """The configurations that were trained again with every seed; the best trial where there is none."""
    usable = [record for record in history.ranked() if record.checkpoint and record.state != "failed"]
    finalists = []
    for record in usable:
        runs = history.confirmed(record.number)
        failed = [run for run in runs if run.state != "completed" or not run.checkpoint]
        if failed:
            reason = f"{failed[0].state} with seed {failed[0].seed} ({failed[0].stop_reason})"
            console.print(f"trial {record.number} is no finalist: {reason}", soft_wrap=True)
        elif runs:
            finalists.append(Finalist(record, runs))
    # An interruption leaves some finalists with fewer seeds: they cannot be compared.
    most = max((len(finalist.runs) for finalist in finalists), default=0)
    finalists = [finalist for finalist in finalists if len(finalist.runs) == most]
    return finalists or [Finalist(record, [record]) for record in usable[:1]]


def _measure_all(
    slots: Slots, plan: Plan, finals: Finals, models: Iterable[TrialRecord], tests: dict[str, Path], console: Console
) -> None:
    measure = _on_worker(slots)(_measure)
    facts = {name: {"set": name, "data": _data_hash(folder)} for name, folder in tests.items()}
    measuring = {}
    for model in {model.key: model for model in models}.values():
        checkpoint, _ = _model(model)
        for name, folder in {VAL: plan.folders.val, **tests}.items():
            with _told(console, f"{name} could not be measured"):
                if name != VAL:
                    who = {"search": plan.name, "trial": model.number, "seed": model.seed}
                    record_look(plan.ledger, **who, checkpoint=checkpoint_hash(checkpoint), **facts[name])
                task = measure.remote(checkpoint, folder, plan.cache_budget, slots.cpus, slots.device)
                measuring[model.key, name] = task
    for (key, name), task in measuring.items():
        # Also an unreadable test picture, which nobody looked at before.
        with _told(console, f"{name} could not be measured for trial {key[0]}"):
            finals.answers[key, name] = ray.get(task)


def _weighed(finals: Finals, name: str) -> Certainty | None:
    found = [[finals.answers.get((run.key, name)) for run in finalist.runs] for finalist in finals.finalists]
    if any(first is None for runs in found for first in runs):
        return None
    return weigh(np.array(found) < 1)


def _data_hash(folder: Path) -> str:
    return fingerprint(find_images(folder / "database") + find_images(folder / "queries"))


def _model(record: TrialRecord) -> tuple[Path, dict[str, float]]:
    assert record.checkpoint and record.best
    return record.checkpoint, record.best


@contextlib.contextmanager
def _told(console: Console, what: str) -> Any:
    try:
        yield
    except Exception as fault:  # a lost worker, a full disk, a broken picture: the summary still stands
        # Ray's text of a remote fault is a traceback; the fault itself is its cause.
        reason = " ".join(str(getattr(fault, "cause", None) or fault).split())[:300]
        console.print(f"{what}: {reason}", soft_wrap=True)


def _on_worker(slots: Slots) -> Any:
    return ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, max_retries=0)


def _export(folder: Path, checkpoint: Path, metrics: dict[str, Any]) -> None:
    from vpr.export import write_export

    write_export(folder, checkpoint, metrics)


def _measure(checkpoint: Path, folder: Path, budget_gb: float | None, cpus: int, device: str) -> np.ndarray:
    import torch

    from vpr.data import open_retrieval
    from vpr.evaluate import answer
    from vpr.export import load_model
    from vpr.precision import pick_device

    torch.set_num_threads(cpus)
    model, config = load_model(checkpoint)
    where = pick_device(device)
    retrieval = open_retrieval(folder, config.data, budget_gb)
    return answer(model.to(where), retrieval, config.training.precision, where)
