"""How far a search has come, at one moment: what the live screen and the lines of a log tell of it."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from search.history import History
from search.records import Report, TrialKey, TrialRecord
from vpr.results import best_key

SHOWN_IMPROVEMENTS = 4


@dataclass(frozen=True)
class Standing:
    """Copied from a History, which another thread may change meanwhile."""

    name: str
    trials: int
    """Asked for."""
    confirmations: int
    """Trainings of finalists that were asked for."""
    epochs: int
    """Of a full training."""
    slots: int
    """Trainings that may run at once now."""
    records: Sequence[TrialRecord]
    reports: Sequence[Report]
    """As they came."""
    running: dict[TrialKey, float]
    """Unix seconds when a worker began the training, in this session, or when it told its last epoch."""
    seconds: float
    """That the search took so far, those of earlier sessions included."""
    budget_s: float | None
    """Seconds of the search after which no trial begins another epoch."""
    now: float
    """Unix seconds."""

    @property
    def searched(self) -> list[TrialRecord]:
        return [record for record in self.records if record.seed is None]

    @property
    def confirmed(self) -> list[TrialRecord]:
        return [record for record in self.records if record.seed is not None]

    @property
    def live(self) -> list[TrialRecord]:
        """Those that run, in the order in which they began."""
        return [record for record in self.records if record.key in self.running and not record.has_ended]

    @property
    def waiting(self) -> int:
        """Trials that wait for others to be compared with."""
        return sum(record.waits for record in self.records)

    @property
    def states(self) -> Counter[str]:
        """How many of the search's own trials ended how."""
        return Counter(record.state for record in self.searched if record.has_ended)

    @property
    def best(self) -> TrialRecord | None:
        """By the project's one rule, of the trials that did not fail."""
        usable = [record for record in self.searched if record.best and record.state != "failed"]
        return max(usable, key=lambda record: (*best_key(record.best or {}), -record.number), default=None)


def standing_of(history: History, budget_s: float | None) -> Standing:
    """Of this moment; may be called from any thread."""
    now = time.time()
    records = list(history.records.values())
    begun = dict(history.begun)
    return Standing(
        name=history.folder.name,
        trials=history.trials,
        confirmations=history.confirmations,
        epochs=history.epochs,
        slots=history.nodes.fitting,
        records=records,
        reports=list(history.events.reports),
        running={
            record.key: max(begun[record.key], record.reported_at or 0.0)
            for record in records
            if record.key in begun and not record.has_ended
        },
        seconds=history.events.seconds_before() + now - history.events.sessions[-1][0],
        budget_s=budget_s,
        now=now,
    )


def improvements(standing: Standing) -> list[tuple[float, int]]:
    """Each trial that raised the best val recall@1 so far (per cent), with what it raised it to, in order."""
    steps: list[tuple[float, int]] = []
    failed = {record.number for record in standing.searched if record.state == "failed"}
    for report in standing.reports:
        if report.trial in failed or (steps and report.recall <= steps[-1][0]):
            continue
        if steps and steps[-1][1] == report.trial:
            steps.pop()
        steps.append((report.recall, report.trial))
    return steps


def epoch_seconds(standing: Standing, record: TrialRecord | None = None) -> float | None:
    """What an epoch takes: the last one of this training, else the mean of all; None before there was any."""
    if record and record.epochs:
        return record.epochs[-1]["train/seconds"] + record.epochs[-1]["val/seconds"]
    seconds = [record.compute_seconds / len(record.epochs) for record in standing.records if record.epochs]
    return fmean(seconds) if seconds else None


def epochs_done(standing: Standing, record: TrialRecord) -> float:
    """Of a running training, with the share of the present epoch that its seconds suggest."""
    expected = epoch_seconds(standing, record)
    elapsed = standing.now - standing.running[record.key]
    share = min(max(elapsed, 0.0) / expected, 0.95) if expected else 0.0
    return min(len(record.epochs) + share, standing.epochs)


def seconds_left(standing: Standing) -> float | None:
    """An estimate from the epochs that were seen and from how often trials were stopped; None before the first epoch.

    All slots are taken as busy to the end, or the longest training that is left as alone, whichever lasts longer. Measuring the
    finalists on the test sets is not in it.
    """
    seconds = epoch_seconds(standing)
    if seconds is None:
        return None
    going_on = _going_on(standing)
    own = [sum(going_on)] * max(standing.trials - len(standing.searched), 0)
    again = [float(standing.epochs)] * max(standing.confirmations - len(standing.confirmed), 0)
    for record in standing.records:
        if not record.has_ended:
            is_again = record.seed is not None
            left = _epochs_left(standing, record, [1.0] * standing.epochs if is_again else going_on)
            (again if is_again else own).append(left)
    searching = _spread(own, standing.slots) * seconds
    if standing.budget_s is not None:
        # Epochs that have begun are finished.
        searching = min(searching, max(standing.budget_s - standing.seconds, 0.0) + seconds * bool(own))
    return max(searching + sum(again) / max(standing.slots, 1) * seconds, max(again, default=0.0) * seconds)


def _going_on(standing: Standing) -> list[float]:
    """The chance to reach epoch 1, 2, ... of those that begin (Kaplan and Meier 1958, counting one more that goes on)."""
    chances = [1.0]
    for epoch in range(1, standing.epochs):
        went_on = sum(len(record.epochs) > epoch for record in standing.searched)
        stopped = sum(len(record.epochs) == epoch and record.has_ended for record in standing.searched)
        chances.append(chances[-1] * (went_on + 1) / (went_on + stopped + 1))
    return chances


def _epochs_left(standing: Standing, record: TrialRecord, going_on: list[float]) -> float:
    reached = len(record.epochs)
    if reached >= standing.epochs:
        return 0.0
    in_it = epochs_done(standing, record) - reached if record.key in standing.running else 0.0
    return sum(chance / going_on[reached] for chance in going_on[reached:]) - in_it


def _spread(epochs: list[float], slots: int) -> float:
    """Epochs of time that trainings with so many epochs take on the slots."""
    return max([sum(epochs) / max(slots, 1), *epochs], default=0.0)


def describe_best(standing: Standing) -> str:
    """`54.0 trial 3, epoch 8`."""
    best = standing.best
    if best is None or best.best is None:
        return "none yet"
    return f"{best.best['val/recall_at_1']:.1f} trial {best.number}, epoch {int(best.best['epoch'])}"


def describe_improvements(standing: Standing) -> str:
    """`21.0 trial 0 -> 47.0 trial 1 -> 54.0 trial 3`; the last few."""
    steps = improvements(standing)
    shown = [f"{recall:.1f} trial {number}" for recall, number in steps[-SHOWN_IMPROVEMENTS:]]
    return " -> ".join(["..."] * (len(steps) > SHOWN_IMPROVEMENTS) + shown)


def describe_left(standing: Standing) -> str:
    """`about 3 min left`."""
    left = seconds_left(standing)
    return "time left not known yet" if left is None else f"about {duration(left)} left"


def describe(standing: Standing) -> str:
    """One line for a log: `progress  5/12 trials, 0/4 again, 2 running; best 54.0 trial 3, epoch 8; 2 min, about 3 min left`."""
    ended = sum(record.has_ended for record in standing.searched)
    again = sum(record.has_ended for record in standing.confirmed)
    at = [f"{record.title.strip()} at epoch {len(record.epochs)}" for record in standing.live[:2]]
    more = f" ({', '.join(at)}{', ...' if len(standing.live) > 2 else ''})" if at else ""
    counts = (
        f"{ended}/{standing.trials} trials, {again}/{standing.confirmations} again, {len(standing.live)} running{more}"
        + (f", {standing.waiting} waiting to be compared" if standing.waiting else "")
    )
    return (
        f"progress  {counts}; best {describe_best(standing)}; {duration(standing.seconds)}, {describe_left(standing)}"
    )


def duration(seconds: float) -> str:
    """`40 s`, `3 min`, `2 h 05 min`, `3 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
