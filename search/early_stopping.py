"""Which trials are stopped early, and why: ASHA (Li et al. 2020) or the median rule (Golovin et al. 2017), both patient.

Ray's ASHA stops its second trial because of the first, keeps its reasons to itself, and its median rule pauses trials; the
rules here are functions, and a decision is a sentence.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from search.records import FAILED, METRIC

REDUCTION = 4
"""A rung keeps one in so many: in simulated searches 3, the paper's other choice, needs a third more at 64 slots and a fifth more at one."""
MINIMUM_RESULTS = REDUCTION
"""Trials that are compared at least, the one in question included, so that the part that goes on is one trial or more."""
MOST_WAITING = MINIMUM_RESULTS - 1
"""Trials that wait for others at once."""
OUT_OF_TIME = "the time budget was used up"

Curve = Mapping[int, float]
"""val recall@1 in per cent by epoch."""


@dataclass(frozen=True)
class Comparison:
    """What a trial is judged by."""

    epoch: int
    """At which it is compared: the last rung, or now."""
    own: float
    others: list[float]
    cut: float
    """Below it a trial is stopped, per cent."""


Rule = Callable[[int, Curve, list[Curve]], Comparison]
"""Epoch, own curve and those of the others -> the comparison that is due."""


def asha(epoch: int, own: Curve, others: list[Curve]) -> Comparison:
    """At epochs 1, 4, 16, ... the best quarter of those that came so far goes on, each with its best value up to there.

    That value is what a search ranks by, and one epoch's noise cannot undo it.
    """
    rung = rung_before(epoch)
    values = [_best(curve, rung) for curve in others if rung in curve]
    return Comparison(rung, _best(own, rung), values, float(np.percentile(values or [0.0], 100 * (1 - 1 / REDUCTION))))


def median(epoch: int, own: Curve, others: list[Curve]) -> Comparison:
    """After any epoch, the best so far must reach the median of the others' means up to there."""
    means = [
        float(np.mean([value for at, value in curve.items() if at <= epoch])) for curve in others if epoch in curve
    ]
    return Comparison(epoch, max(own.values()), means, float(np.median(means or [0.0])))


def never(epoch: int, own: Curve, others: list[Curve]) -> Comparison:
    """Nobody is stopped."""
    return Comparison(epoch, own[epoch], [], 0.0)


RULES: dict[str, Rule] = {"asha": asha, "median": median, "none": never}


def is_rung(epoch: int) -> bool:
    """Whether ASHA compares after this epoch: 1, 4, 16, ..."""
    while epoch % REDUCTION == 0 and epoch:
        epoch //= REDUCTION
    return epoch == 1


def rung_before(epoch: int) -> int:
    """The last rung that a trial of so many epochs has reached."""
    return max(filter(is_rung, range(1, epoch + 1)))


class EarlyStopping(FIFOScheduler):
    """Applies a rule to the trials of a search, and leaves the confirmation of finalists alone.

    The first trials of a search with few slots wait after their first epoch until there are enough to compare, so that no
    slot trains the first to its end before the second has begun. Any later comparison with too few others is put off: the trial
    goes on, and is judged after its next epoch that finds enough.
    """

    def __init__(self, rule: str, epochs: int, trials: int, deadline: float = math.inf) -> None:
        """epochs: of a full trial, which is not stopped after its last; trials: of the search; deadline: `time.monotonic` after which all are stopped."""
        super().__init__()
        self.rule, self.epochs, self.deadline = RULES[rule], epochs, deadline
        self.waited_for = MINIMUM_RESULTS if self.rule is not never and trials >= MINIMUM_RESULTS else 0
        """Trials that have to begin until none waits for others."""
        self.begun: set[int] = set()
        """Trials that have a first epoch, or may still have one."""
        self.curves: dict[int, dict[int, float]] = {}
        self.judged: set[tuple[int, int]] = set()
        """Trial and epoch of the comparisons that were made."""
        self.waiting: set[int] = set()
        """Trials that have left their slot to others, until `release`."""
        self.reasons: dict[int, str] = {}
        """Why a trial was stopped, by its number."""

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.begun.add(trial.config["trial"])

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """STOP for a trial that waits, too: another training of Ray's takes it up where it is."""
        if trial.config["seed"] is not None or FAILED in result:
            return TrialScheduler.CONTINUE
        number, epoch = trial.config["trial"], int(result["epoch"])
        if epoch not in self.curves.get(number, {}):  # a trial that goes on tells its last epoch again
            self.take_in(number, epoch, result[METRIC], len(self.begun) < self.waited_for)
            if number not in self.reasons and epoch < self.epochs and time.monotonic() > self.deadline:
                self.reasons[number] = OUT_OF_TIME
                self.waiting.discard(number)
        return TrialScheduler.STOP if number in self.reasons or number in self.waiting else TrialScheduler.CONTINUE

    def give_up(self, number: int) -> None:
        """A trial has failed: nobody waits for its first epoch."""
        if number not in self.curves:
            self.begun.discard(number)

    def take_in(self, number: int, epoch: int, value: float, may_wait: bool) -> None:
        """A trial's next epoch: it goes on, has a reason not to, or waits, if it may and there are too few others."""
        self.begun.add(number)
        self.let_go(number)  # it went on before the search was interrupted
        self.curves.setdefault(number, {})[epoch] = value
        if epoch < self.epochs and not self._judge(number) and may_wait and epoch == 1:
            self.waiting.add(number)

    def release(self, is_last: bool) -> int | None:
        """The first trial whose wait is over: it goes on, unless it is in `reasons` now. None where all have to wait on.

        is_last: no other trial will begin, so that whoever cannot be compared goes on.
        """
        is_late = time.monotonic() > self.deadline
        for number in sorted(self.waiting):
            if is_late:
                self.reasons[number] = OUT_OF_TIME
            if is_late or self._judge(number) or is_last:
                self.let_go(number)
                return number
        return None

    def let_go(self, number: int) -> None:
        """A trial does not wait any more, nor is it compared again where it did."""
        if number in self.waiting:
            self.waiting.remove(number)
            self.judged.add((number, max(self.curves[number])))

    def _judge(self, number: int) -> bool:
        """Compare a trial where that is due, and give it a reason if it is stopped; whether there were enough others."""
        own = self.curves[number]
        epoch = max(own)
        found = self.rule(epoch, own, [curve for other, curve in self.curves.items() if other != number])
        if (number, found.epoch) in self.judged:
            return True
        if len(found.others) + 1 < MINIMUM_RESULTS:
            return False
        self.judged.add((number, found.epoch))
        if found.own < found.cut:
            place = f"{_ordinal(1 + sum(value > found.own for value in found.others))} of {len(found.others) + 1}"
            when = "" if found.epoch == epoch else f" by epoch {found.epoch}"
            self.reasons[number] = (
                f"stopped after epoch {epoch}: recall@1{when} {found.own:.1f}, cut {found.cut:.1f}, {place}"
            )
        return True


def _best(curve: Curve, epoch: int) -> float:
    return max(value for at, value in curve.items() if at <= epoch)


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
