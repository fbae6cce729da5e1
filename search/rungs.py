"""Whether early stopping was safe: what each rung stopped, and how well it foretold the end."""

from collections.abc import Iterable
from dataclasses import dataclass

from scipy.stats import spearmanr

from search.early_stopping import OUT_OF_TIME, is_rung, rung_before
from search.records import TrialRecord


@dataclass(frozen=True)
class Rung:
    """One epoch at which trials are compared."""

    epoch: int
    reached: int
    """Trials that trained so far."""
    stopped: int
    """Trials that the rule stopped here, or before the next rung: who came early is judged later."""
    completed: int
    """Trials that ran to their end: those of which the correlation is."""
    rank_correlation: float | None
    """Spearman's, of the best val recall@1 up to here and in the end; None for fewer than three or all equal."""


def rungs_of(trials: Iterable[TrialRecord], epochs: int) -> list[Rung]:
    """At epochs 1, 4, 16, ... below the last. Only survivors have an end, so a correlation here is of a narrowed field."""
    trials = [record for record in trials if record.state != "failed"]
    found = []
    for epoch in filter(is_rung, range(1, epochs)):
        reached = [record for record in trials if len(record.epochs) >= epoch]
        completed = [record for record in reached if record.state == "completed" and record.best]
        here = [max(at["val/recall_at_1"] for at in record.epochs[:epoch]) for record in completed]
        there = [record.best["val/recall_at_1"] for record in completed if record.best]
        is_defined = len(completed) > 2 and len(set(here)) > 1 and len(set(there)) > 1
        correlation = round(float(spearmanr(here, there).statistic), 3) if is_defined else None
        stopped = sum(is_stopped(record) and rung_before(len(record.epochs)) == epoch for record in reached)
        found.append(Rung(epoch, len(reached), stopped, len(completed), correlation))
    return found


def saved_seconds(trials: Iterable[TrialRecord], epochs: int) -> float:
    """Trial seconds that early stopping did not spend: each stopped trial's missing epochs at its own mean pace."""
    stopped = [record for record in trials if is_stopped(record)]
    return sum(record.seconds / len(record.epochs) * (epochs - len(record.epochs)) for record in stopped)


def is_stopped(record: TrialRecord) -> bool:
    """By the early-stopping rule, and not because time was up."""
    return record.state == "pruned" and record.stop_reason != OUT_OF_TIME
