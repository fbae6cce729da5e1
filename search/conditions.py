"""The conditional tree of a space, learnt by drawing from it: a space is code, and code does not say its conditions."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from rich.tree import Tree

from search.space import Space, suggest_from
from vpr.config import TrialConfig, Value
from vpr.errors import VPRError
from vpr.leaves import to_text

DRAWS = 1000
FEW = 12
"""Values up to which an integer is taken for a choice on which other leaves may depend."""


@dataclass(frozen=True)
class Condition:
    """A choice, and its values under which a leaf exists."""

    leaf: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.leaf} is {', '.join(to_text(self.leaf, value) for value in self.values)}"


def draw(space: Space, base: TrialConfig, pinned: Mapping[str, Value], count: int, seed: int) -> list[optuna.Trial]:
    """Random configurations of the space, of which a trial's `params` has the leaves."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trials = [study.ask() for _ in range(count)]
    for trial in trials:
        with contextlib.suppress(VPRError):  # such a trial fails by itself, and the others go on
            suggest_from(space, trial, pinned, base)
    return trials


def tree_of(title: str, trials: Sequence[optuna.Trial]) -> Tree:
    """Every leaf with its range, below the choice and the values that it depends on."""
    known = [(trial.params, trial.distributions) for trial in trials]
    leaves = {leaf: distribution for _, found in known for leaf, distribution in found.items()}
    root = Tree(title)
    branches: dict[tuple[Condition, ...], Tree] = {(): root}
    lines: dict[str, Tree] = {}
    for leaf in sorted(leaves, key=lambda leaf: len(_conditions(leaf, [params for params, _ in known]))):
        conditions = _conditions(leaf, [params for params, _ in known])
        for depth, condition in enumerate(conditions, start=1):
            path = conditions[:depth]
            if path not in branches:
                above = lines[condition.leaf] if depth == 1 else branches[path[:-1]]
                label = ", ".join(to_text(condition.leaf, value) for value in condition.values)
                branches[path] = above.add(label if depth == 1 else f"and {condition}", style="not bold")
        lines[leaf] = branches[conditions].add(f"{leaf}  {_range(leaf, leaves[leaf])}")
    return root


def _conditions(leaf: str, draws: list[dict[str, Any]]) -> tuple[Condition, ...]:
    """The choices that explain where the leaf is, the one that explains most first."""
    found: list[Condition] = []
    while not all(leaf in params for params in draws):
        options = {other: _presence(leaf, other, draws) for other in draws[0] if _is_choice(leaf, other, draws)}
        if not options:
            break
        best = min(options, key=lambda other: sum(n * p * (1 - p) for n, p in options[other].values()))
        values = tuple(value for value, (_, share) in options[best].items() if share > 0)
        if len(values) == len(options[best]):
            break  # no value rules it out: it depends on something that is no choice
        found.append(Condition(best, values))
        draws = [params for params in draws if params[best] in values]
    return tuple(found)


def _is_choice(leaf: str, other: str, draws: list[dict[str, Any]]) -> bool:
    return other != leaf and all(other in params for params in draws) and len({p[other] for p in draws}) <= FEW + 2


def _presence(leaf: str, choice: str, draws: list[dict[str, Any]]) -> dict[Any, tuple[int, float]]:
    """For each value of the choice, how often it was drawn, and in what share of these the leaf was there."""
    values = {params[choice]: None for params in draws}
    counts = {}
    for value in values:
        own = [leaf in params for params in draws if params[choice] == value]
        counts[value] = len(own), sum(own) / len(own)
    return counts


def _range(leaf: str, distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return "one of " + ", ".join(to_text(leaf, value) for value in distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    scale = ", log scale" if distribution.log else ""
    kind = "whole, " if isinstance(distribution, IntDistribution) else ""
    return f"{kind}{distribution.low:g} to {distribution.high:g}{scale}"
