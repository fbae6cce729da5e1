"""Learning curves with a known truth: the study's own rows, and a family of surfaces over the space `full`."""

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.conditions import draw
from search.space import Space, load_space
from spaces import paper
from vpr.leaves import from_leaves

EPOCHS = 10
GOOD = 0.001
"""Share of random configurations that are within a point of the best; every surface is stretched to it."""
NOISE = 0.7
"""Standard deviation of val recall@1 (points) from epoch to epoch: the study's curves around their smooth course."""
BEST = 69.0
COSTS = {"loss/name": 10.0, "optimizer/name": 6.0, "model/aggregation": 4.0, "scheduler/name": 3.0}
"""Points that the worst choice of a leaf costs; 0.5 for any other leaf. Half of the choices cost nothing."""


@dataclass(frozen=True)
class Problem:
    """A space, and the recall@1 (per cent) that training of a configuration really has after each epoch."""

    name: str
    suggest: Callable[[optuna.Trial], None]
    course: Callable[[Mapping[str, Any]], np.ndarray]
    """(EPOCHS,) without noise."""
    best: float
    """The highest end of any course."""


def study_problem() -> Problem:
    """Which of the study's fourteen runs, each with the curve that the study printed."""
    by_run = {row.run: row.val for table in paper.TABLES for row in table.rows}
    curves = [by_run[run] for run in sorted(by_run)]
    leaf = "training/seed"  # which run it is; any leaf with whole numbers would do

    def suggest(trial: optuna.Trial) -> None:
        trial.suggest_categorical(leaf, list(range(len(curves))))

    return Problem("the study's runs", suggest, lambda params: np.array(curves[params[leaf]]), max(map(max, curves)))


def surface_problem(number: int) -> Problem:
    """A surface over `full`: choices cost points, each loss and optimizer has its own learning rate, each knob its best value.

    Fitted to the study's fourteen curves: the first epoch has 45 % of an end at 28 and 1 % more for each point of it, give
    or take 12 by loss and optimizer; the rest comes as epoch^-0.3.
    """
    space, draws, ranges = _drawn()

    def chance(*key: Any) -> float:
        """In 0..1, the same for this surface and key every time."""
        return zlib.crc32(repr((number, *key)).encode()) / 2**32

    def cost(leaf: str, value: Any, params: Mapping[str, Any]) -> float:
        if isinstance(ranges[leaf], CategoricalDistribution) or isinstance(value, int):
            return COSTS.get(leaf, 0.5) * max(0, 2 * chance(leaf, value) - 1)
        optimizer, loss = params["optimizer/name"], params["loss/name"]
        if leaf == "optimizer/lr":
            away = math.log10(value) + 3.5 - 2.5 * chance(leaf, optimizer) - 0.6 * (chance(leaf, loss) - 0.5)
            return (4 if away < 0 else 8) * away**2
        span = ranges[leaf]
        share = (
            math.log(value / span.low) / math.log(span.high / span.low)
            if span.log
            else (value - span.low) / (span.high - span.low)
        )
        return 1.5 * (share - 0.2 - 0.6 * chance(leaf, optimizer if leaf.startswith("optimizer") else loss)) ** 2

    def costs(params: Mapping[str, Any]) -> float:
        return sum(cost(leaf, value, params) for leaf, value in params.items())

    scale = 1 / np.quantile([costs(params) for params in draws], GOOD)

    def course(params: Mapping[str, Any]) -> np.ndarray:
        end = max(BEST - scale * costs(params), 2.0)
        share = 0.45 + 0.01 * (end - 28) + 0.24 * (chance("start", params["loss/name"], params["optimizer/name"]) - 0.5)
        epochs = np.arange(1.0, EPOCHS + 1)
        left = (epochs**-0.3 - EPOCHS**-0.3) / (1 - EPOCHS**-0.3)
        return end - end * (1 - np.clip(share, 0.3, 0.95)) * left

    return Problem(f"surface {number}", space.suggest, course, BEST)


@cache
def _drawn() -> tuple[Space, list[dict[str, Any]], dict[str, BaseDistribution]]:
    """The space `full`, 10,000 random configurations of it, and its ranges."""
    space = load_space("full")
    trials = draw(space, from_leaves({}), {}, 10_000, seed=0)
    ranges = {leaf: distribution for trial in trials for leaf, distribution in trial.distributions.items()}
    return space, [dict(trial.params) for trial in trials], ranges
