"""The plan of a city: streets on an uneven grid, blocks between them, and a row of lots along every street front.

x is east and y is north, in metres from the south-west corner. Everything upright stands on an axis.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

LOT_DEPTH_M = 9.0
STUB_M = 34.0
"""How far a street runs on beyond the last crossing, to a house that closes the view."""


@dataclass(frozen=True)
class Street:
    """A straight street; `axis` is the coordinate that runs along it (0 east-west, 1 north-south)."""

    axis: int
    centre: float
    lo: float
    hi: float
    width: float
    """Between the house fronts."""
    crossings: tuple[tuple[float, float], ...]
    """(centre, width) of the streets that cross it, in order."""

    def point(self, along: float, across: float = 0.0) -> tuple[float, float]:
        return (along, self.centre + across) if self.axis == 0 else (self.centre + across, along)


@dataclass(frozen=True)
class Front:
    """One upright rectangle to build on: the plane `normal_axis` = pos between lo and hi, seen from side `sign`."""

    normal_axis: int
    pos: float
    lo: float
    hi: float
    sign: int
    street: int
    """Neighbourhood: fronts of one street share a taste."""
    row: int
    """Fronts in one row, from corner to corner, share the number; neighbours lean to a common colour."""
    house: int
    """Fronts of one house (on a corner: two) share the number."""
    joined: bool = False
    """The front before it in the plan stands beside it, at its `lo` end."""


@dataclass
class Plan:
    width: float
    height: float
    streets: list[Street]
    fronts: list[Front] = field(default_factory=list)
    parks: list[tuple[float, float, float, float]] = field(default_factory=list)
    """(x0, y0, x1, y1)"""


def grid_lines(rng: np.random.Generator, count: int, dense: bool) -> tuple[list[tuple[float, float]], float]:
    """Centres and widths of parallel streets, and where the city ends."""
    narrow, wide = (9.5, 14.0) if dense else (10.5, 15.5)
    lines, at = [], STUB_M
    for _ in range(count):
        width = rng.uniform(narrow, wide)
        lines.append((at + width / 2, width))
        at += width + rng.uniform(34, 48)
    return lines, lines[-1][0] + lines[-1][1] / 2 + STUB_M


def split(rng: np.random.Generator, length: float, dense: bool) -> np.ndarray:
    """Cut a block side into lots of uneven width; (n + 1,) offsets from its start."""
    mean = 8.0 if dense else 9.5
    widths = rng.uniform(0.7, 1.35, max(1, round(length / mean)))
    return np.concatenate([[0.0], np.cumsum(widths)]) / widths.sum() * length


def make_plan(rng: np.random.Generator, streets_each_way: int, dense: bool) -> Plan:
    """Streets, then lots around every block, then a house at the end of every street."""
    xs, width = grid_lines(rng, streets_each_way, dense)
    ys, height = grid_lines(rng, streets_each_way, dense)
    streets = [Street(1, x, 0.0, height, w, tuple(ys)) for x, w in xs]
    streets += [Street(0, y, 0.0, width, w, tuple(xs)) for y, w in ys]
    plan = Plan(width, height, streets)

    def gaps(lines: list[tuple[float, float]], end: float) -> list[tuple[float, float]]:
        edges = [0.0] + [edge for c, w in lines for edge in (c - w / 2, c + w / 2)] + [end]
        return list(zip(edges[0::2], edges[1::2], strict=True))

    columns, rows = gaps(xs, width), gaps(ys, height)
    inner = [(i, j) for i in range(1, len(columns) - 1) for j in range(1, len(rows) - 1)]
    park = inner[int(rng.integers(len(inner)))]
    for i, (x0, x1) in enumerate(columns):
        for j, (y0, y1) in enumerate(rows):
            if (i, j) == park:
                plan.parks.append((x0, y0, x1, y1))
                continue
            add_block(rng, plan, (x0, y0, x1, y1), (i, j), streets_each_way, dense)
    for number, street in enumerate(streets):
        lo, hi = street.centre - street.width / 2 - 2, street.centre + street.width / 2 + 2
        for pos, sign in ((street.lo, 1), (street.hi, -1)):
            house = len(plan.fronts) + 10_000
            plan.fronts.append(Front(street.axis, pos, lo, hi, sign, number, house, house))
    return plan


def add_block(
    rng: np.random.Generator,
    plan: Plan,
    block: tuple[float, float, float, float],
    cell: tuple[int, int],
    count: int,
    dense: bool,
) -> None:
    """Lots on the sides of a block that have a street; side by side lots at a corner belong to one house."""
    x0, y0, x1, y1 = block
    i, j = cell
    sides = []  # (normal axis, position, from, to, sign, street number)
    if i > 0:
        sides.append((0, x0, y0, y1, -1, i - 1))
    if i < count:
        sides.append((0, x1, y0, y1, 1, i))
    if j > 0:
        sides.append((1, y0, x0, x1, -1, count + j - 1))
    if j < count:
        sides.append((1, y1, x0, x1, 1, count + j))
    first = len(plan.fronts)
    corner = {(0, 0): 0, (0, 1): 1, (1, 0): 2, (1, 1): 3}
    for axis, pos, lo, hi, sign, street in sides:
        cuts = lo + split(rng, hi - lo, dense)
        for k, (a, b) in enumerate(pairwise(cuts)):
            house = len(plan.fronts) + 100
            if k in (0, len(cuts) - 2):
                end, outward = int(k > 0), int(sign > 0)
                house = 1_000_000 + first * 4 + corner[(outward, end) if axis == 0 else (end, outward)]
            plan.fronts.append(
                Front(axis, pos, a, b, sign, street, first * 4 + 2 * axis + (sign > 0), house, joined=k > 0)
            )
