"""Learning curves with a known truth: the study's own rows, and a family of surfaces over the space `full`."""

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution

from search.conditions import draw
from search.space import load_space
from spaces import paper
from vpr.leaves import from_leaves

EPOCHS = 10
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
    curves = {row.run: row.val for table in paper.TABLES for row in table.rows}

    def suggest(trial: optuna.Trial) -> None:
        trial.suggest_categorical("run", sorted(curves))

    return Problem(
        "the study's runs", suggest, lambda params: np.array(curves[params["run"]]), max(map(max, curves.values()))
    )


def surface_problem(number: int) -> Problem:
    """A surface over `full`: choices cost points, each loss and optimizer has its own learning rate, each knob its best value.

    Curves rise to their end as the study's do, epoch^-0.6, from 45 to 85 % of it.
    """
    space = load_space("full")
    ranges: dict[str, BaseDistribution] = {}
    for trial in draw(space, from_leaves({}), {}, 1000, seed=0):
        ranges.update(trial.distributions)

    def chance(*key: Any) -> float:
        """In 0..1, the same for this surface and key every time."""
        return zlib.crc32(repr((number, *key)).encode()) / 2**32

    def cost(leaf: str, value: Any, params: Mapping[str, Any]) -> float:
        if isinstance(ranges[leaf], CategoricalDistribution) or isinstance(value, int):
            return COSTS.get(leaf, 0.5) * max(0, 2 * chance(leaf, value) - 1)
        optimizer, loss = params["optimizer/name"], params["loss/name"]
        if leaf == "optimizer/lr":
            away = math.log10(value) + 3.5 - 2.5 * chance(leaf, optimizer) - 0.6 * (chance(leaf, loss) - 0.5)
            return (3 if away < 0 else 6) * away**2
        span = ranges[leaf]
        share = (
            math.log(value / span.low) / math.log(span.high / span.low)
            if span.log
            else (value - span.low) / (span.high - span.low)
        )
        return (share - 0.2 - 0.6 * chance(leaf, optimizer if leaf.startswith("optimizer") else loss)) ** 2

    def course(params: Mapping[str, Any]) -> np.ndarray:
        end = max(BEST - sum(cost(leaf, value, params) for leaf, value in params.items()), 2.0)
        start = end * (0.45 + 0.4 * chance("start", params["loss/name"], params["optimizer/name"]))
        epochs = np.arange(1, EPOCHS + 1)
        return end - (end - start) * (epochs**-0.6 - EPOCHS**-0.6) / (1 - EPOCHS**-0.6)

    return Problem(f"surface {number}", space.suggest, course, BEST)
