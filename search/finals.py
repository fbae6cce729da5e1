"""After the search: the finalists are weighed on val, meet the test sets, and the best seed of the best mean becomes the export."""

import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import ray
from rich.console import Console

from search import on_worker
from search.card import STAGED
from search.certainty import Certainty, weigh
from search.cluster import Slots, fetch
from search.history import History
from search.ledger import checkpoint_hash
from search.lost import RETRIES
from search.measurements import Measurements
from search.plan import Plan
from search.records import TrialKey, TrialRecord
from search.screen import told
from vpr.recall import recalls
from vpr.results import best_key


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
    """Of their val recall@1; of several val sets, of the mean over them."""
    vals: dict[str, Certainty] = field(default_factory=dict)
    """Of their recall@1 on each val set, by its name."""
    tests: dict[str, Certainty] = field(default_factory=dict)
    """Of their recall@1, by test set."""
    answers: dict[tuple[TrialKey, str], np.ndarray] = field(default_factory=dict)
    """Places of the first right answers (`search.measurements.Measurements.first`)."""
    export: Path | None = None
    wait_for_export: Callable[[Callable[[], None]], None] | None = None
    """Waits for the worker that writes it, as `fetch` does; None where none does."""

    @property
    def best(self) -> Finalist | None:
        return self.finalists[0] if self.finalists else None

    def recalls(self, key: TrialKey, name: str) -> dict[str, float] | None:
        """recall@1, 5, 10 and 20 of a model on a set, in per cent; None where it was not measured."""
        first = self.answers.get((key, name))
        return None if first is None else {f"recall_at_{n}": value for n, value in recalls(first).items()}


def weigh_on_val(plan: Plan, history: History, measurements: Measurements, slots: Slots, console: Console) -> Finals:
    """Weigh the finalists on val, whose answers their trainings have kept, and begin to export the best.

    Only answers that were not kept are measured here: of a search without confirmation, or of an earlier version.
    A failure is told in one line and costs only what failed.
    """
    ranked = sorted(choose(history, console), key=lambda found: found.mean_key, reverse=True)
    finals = Finals(ranked, answers=measurements.first)
    if finals.best is None:
        return finals
    with told(console, "the best model could not be exported"):
        finals.wait_for_export = _begin_export(slots, plan, finals.best.best_run)
    vals = plan.folders.reported_vals
    measurements.begin([run for finalist in finals.finalists for run in finalist.runs], vals)
    measurements.finish(vals, history.look)
    measured = [
        found
        for found in finals.finalists
        if all((run.key, name) in finals.answers for run in found.runs for name in vals)
    ]
    if finals.best in measured:  # which is the one that is exported
        finals.finalists = measured
    finals.val = _weighed(finals, *vals)
    for name, reported in zip(plan.folders.vals, vals, strict=True):
        if found := finals.val if len(vals) == 1 else _weighed(finals, reported):
            finals.vals[name] = found
    return finals


def meet_tests(plan: Plan, finals: Finals, history: History, measurements: Measurements) -> None:
    """Measure the finalists on the test sets. What an earlier session measured is not measured again."""
    if finals.best is None:
        return
    models = [run for finalist in finals.finalists for run in finalist.runs]
    if plan.space.fixed_trials:  # its table is the answer, so that all of it is measured
        models += [record for record in history.ranked() if record.state == "completed" and record.checkpoint]
    measurements.begin(models, plan.folders.held_out)
    measurements.finish(plan.folders.held_out, history.look)
    for name in plan.folders.tests:
        if found := _weighed(finals, name):
            finals.tests[name] = found


def finish_export(plan: Plan, finals: Finals, history: History, console: Console) -> None:
    """Wait for the worker that writes the export."""
    if finals.wait_for_export is not None:
        with told(console, "the best model could not be exported"):
            finals.wait_for_export(history.look)
            finals.export = plan.folder / "export"


def _begin_export(slots: Slots, plan: Plan, run: TrialRecord) -> Callable[[Callable[[], None]], None]:
    """Begin to write the export without its card, and return what waits for its end, as `fetch` does.

    An export of the same model that an earlier session has written is copied instead.
    """
    checkpoint, metrics = _model(run)
    digest = checkpoint_hash(checkpoint)
    export, staged = plan.folder / "export", plan.folder / STAGED
    if _is_written(export, digest, plan.formats):
        shutil.rmtree(staged, ignore_errors=True)  # of a session that was killed
        shutil.copytree(export, staged)
        return lambda look: None
    given = plan.source, plan.train_and_val.first_val, plan.cache_budget, plan.on_bad_image, plan.formats, slots.cpus
    # Without a slot the export begins before the measurements. On a cluster such a task would run on the head, so it takes a slot.
    cpus = slots.cpus if slots.is_cluster else 0
    task = ray.remote(num_cpus=cpus, max_retries=RETRIES)(on_worker.export).remote(
        staged, checkpoint, {**metrics, "checkpoint": digest}, *given
    )
    return partial(fetch, task)


def _is_written(export: Path, checkpoint: str, formats: Collection[str]) -> bool:
    """Tell whether an export is whole, of this checkpoint, and has these formats besides model.safetensors and no other."""
    try:
        metrics = json.loads((export / "metrics.json").read_text())
        proved = {name for name in metrics["formats"] if name.startswith("model.")}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    wanted = {"model.safetensors", *(f"model.{name}" for name in formats)}
    is_whole = all((export / name).is_file() for name in (*wanted, "config.json"))
    return metrics.get("checkpoint") == checkpoint and proved == wanted and is_whole


def choose(history: History, console: Console) -> list[Finalist]:
    """The configurations that were trained again with every seed; the best trial where there is none."""
    usable = [record for record in history.ranked() if record.best and record.state != "failed"]
    finalists = []
    for record in usable:
        runs = history.confirmed(record.number)
        failed = [run for run in runs if run.state != "completed" or not run.checkpoint]
        if failed:
            reason = f"{failed[0].state} with seed {failed[0].seed} ({failed[0].stop_reason})"
            console.print(f"trial {record.number} is no finalist: {reason}", soft_wrap=True)
        elif runs:
            finalists.append(Finalist(record, runs))
    # A budget that was raised leaves former finalists with fewer seeds: they cannot be compared.
    most = max((len(finalist.runs) for finalist in finalists), default=0)
    finalists = [finalist for finalist in finalists if len(finalist.runs) == most]
    return finalists or [Finalist(record, [record]) for record in usable if record.checkpoint][:1]


def _weighed(finals: Finals, *names: str) -> Certainty | None:
    """Return the certainty of the finalists' mean recall@1 over the sets; None where one was not measured on all of them."""
    hits = []
    for name in names:
        found = [[finals.answers.get((run.key, name)) for run in finalist.runs] for finalist in finals.finalists]
        if any(first is None for runs in found for first in runs):
            return None
        hits.append(np.array(found) < 1)  # (F, S, Q)
    return weigh(*hits)


def _model(record: TrialRecord) -> tuple[Path, dict[str, float]]:
    assert record.checkpoint and record.best
    return record.checkpoint, record.best
