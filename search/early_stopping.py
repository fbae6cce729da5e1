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

MINIMUM_RESULTS = 6
"""Trials that are compared at least, the one in question included, so that its cut lies between two of them."""
REDUCTION = 4
"""A rung keeps one in so many: in simulated searches 3, the paper's other choice, needs a third more at 64 slots and a fifth more at one."""
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
    """At epochs 1, 4, 16, ... the best quarter of those that came so far goes on."""
    rung = rung_before(epoch)
    values = [curve[rung] for curve in others if rung in curve]
    return Comparison(rung, own[rung], values, float(np.percentile(values or [0.0], 100 * (1 - 1 / REDUCTION))))


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

    A comparison with too few others waits: the trial goes on, and is judged after its next epoch that finds enough.
    """

    def __init__(self, rule: str, epochs: int, deadline: float = math.inf) -> None:
        """epochs: of a full trial, which is not stopped after its last; deadline: `time.monotonic` after which all are."""
        super().__init__()
        self.rule, self.epochs, self.deadline = RULES[rule], epochs, deadline
        self.curves: dict[int, dict[int, float]] = {}
        self.judged: set[tuple[int, int]] = set()
        """Trial and epoch of the comparisons that were made."""
        self.reasons: dict[int, str] = {}
        """Why a trial was stopped, by its number."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if trial.config["seed"] is not None or FAILED in result:
            return TrialScheduler.CONTINUE
        number, epoch = trial.config["trial"], int(result["epoch"])
        if epoch not in self.curves.get(number, {}):  # a trial that goes on tells its last epoch again
            reason = self.judge(number, epoch, result[METRIC])
            if reason is None and epoch < self.epochs and time.monotonic() > self.deadline:
                reason = OUT_OF_TIME
            if reason is not None:
                self.reasons[number] = reason
        return TrialScheduler.STOP if number in self.reasons else TrialScheduler.CONTINUE

    def judge(self, number: int, epoch: int, value: float) -> str | None:
        """Take in a trial's next epoch; why it is stopped, or None."""
        own = self.curves.setdefault(number, {})
        own[epoch] = value
        if epoch >= self.epochs:
            return None
        found = self.rule(epoch, own, [curve for other, curve in self.curves.items() if other != number])
        if (number, found.epoch) in self.judged or len(found.others) + 1 < MINIMUM_RESULTS:
            return None
        self.judged.add((number, found.epoch))
        if found.own >= found.cut:
            return None
        place = f"{_ordinal(1 + sum(value > found.own for value in found.others))} of {len(found.others) + 1}"
        when = "" if found.epoch == epoch else f" at epoch {found.epoch}"
        return f"stopped after epoch {epoch}: recall@1{when} {found.own:.1f}, cut {found.cut:.1f}, {place}"


def _ordinal(number: int) -> str:
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
