"""A whole city, ready to be looked at: upright walls, cut-out props, ground, and maps of shadow and lamp light."""

from dataclasses import dataclass, field

import numpy as np

from vpr.minicity.atlas import Atlas
from vpr.minicity.facade import bare_wall, paint_front
from vpr.minicity.ground import GRASS, PIXELS_PER_METRE, in_season, paint_ground, pavement_m
from vpr.minicity.houses import WALLS, House, draw_house, pick
from vpr.minicity.light import SEASONS, lamp_map, shadow_heights
from vpr.minicity.plan import LOT_DEPTH_M, Front, Plan, Street, make_plan
from vpr.minicity.props import Forest, paint_car, paint_hanging_sign, paint_lamp, paint_monument

DAYS = 8
"""Cars come and go: each stands in its bay on some of this many kinds of day."""
ALWAYS = 2**DAYS - 1


PAINTS = [(190, 192, 196), (60, 62, 66), (226, 226, 222), (112, 116, 122), (86, 40, 42), (44, 58, 82), (150, 146, 134)]
"""Of cars; sober, since cars do not mark a place."""


@dataclass
class Walls:
    """Upright rectangles on an axis, one per row; see `plan.Front` for the words."""

    rows: list[tuple] = field(default_factory=list)

    def add(
        self, axis: int, pos: float, lo: float, hi: float, sign: int, height: float, solid: float, picture: int
    ) -> None:
        self.rows.append((axis, pos, lo, hi, sign, height, solid, picture))

    def freeze(self) -> None:
        table = np.array(self.rows, np.float32)
        self.axis, self.sign, self.picture = (table[:, i].astype(np.int32) for i in (0, 4, 7))
        self.pos, self.lo, self.hi, self.height, self.solid = (table[:, i].copy() for i in (1, 2, 3, 5, 6))
        # From outside, left to right is the falling coordinate on these two of the four sides.
        self.flipped = (self.axis == 0) == (self.sign < 0)


@dataclass
class Props:
    """Cut-out pictures, one per row; a picture without direction turns to face the camera."""

    rows: list[tuple] = field(default_factory=list)

    def add(
        self,
        xy: tuple[float, float],
        picture: np.ndarray | int,
        direction: tuple[float, float] = (0.0, 0.0),
        foot_m: float = 0.0,
        days: int = ALWAYS,
        normal: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """`picture` may hold one number per season."""
        self.rows.append((*xy, *direction, *normal, foot_m, days, *np.broadcast_to(picture, 4)))

    def freeze(self) -> None:
        table = np.array(self.rows, np.float32).reshape(-1, 12)
        self.xy, self.direction, self.normal, self.foot = table[:, 0:2], table[:, 2:4], table[:, 4:6], table[:, 6]
        self.days, self.picture = table[:, 7].astype(np.int32), table[:, 8:12].astype(np.int32)


class City:
    """Drawn from `rng` alone; `dense` gives narrow streets, tall houses and neon."""

    def __init__(self, rng: np.random.Generator, forest: Forest, streets_each_way: int, dense: bool = False):
        self.dense = dense
        self.plan: Plan = make_plan(rng, streets_each_way, dense)
        self.atlas, self.walls, self.props = Atlas(), Walls(), Props()
        self.lamps: list[tuple[float, float]] = []
        self.trees = {season: [self.atlas.add(tree) for tree in trees] for season, trees in forest.items()}
        self.tree_feet: list[tuple[float, float]] = []
        self.heights = np.zeros((int(np.ceil(self.plan.height)) + 1, int(np.ceil(self.plan.width)) + 1), np.float32)
        self.blind: dict[House, int] = {}
        self._build_houses(rng)
        self._furnish(rng)
        self.ground = paint_ground(rng, self.plan)
        self.leaf_fall = self._leaf_fall(rng)
        self.clouds = cloud_belt(rng)
        self.lamp_light = lamp_map(self.heights.shape, self.lamps)
        for part in (self.atlas, self.walls, self.props):
            part.freeze()
        self._grounds: dict[str, list[np.ndarray]] = {}
        self._shadows: dict[tuple[float, float, float], np.ndarray] = {}

    def ground_in(self, season: str) -> list[np.ndarray]:
        if season not in self._grounds:
            self._grounds[season] = in_season(self.ground, season, self.leaf_fall)
        return self._grounds[season]

    def shadows_at(self, sun: tuple[float, float, float]) -> np.ndarray:
        if sun not in self._shadows:
            self._shadows[sun] = shadow_heights(self.heights, sun)
        return self._shadows[sun]

    def _build_houses(self, rng: np.random.Generator) -> None:
        tastes = [pick(rng, list(WALLS)) for _ in self.plan.streets]
        leans = row_colours(rng, sorted({front.row for front in self.plan.fronts}))
        houses: dict[int, House] = {}
        for number, front in enumerate(self.plan.fronts):
            if front.house not in houses:
                houses[front.house] = draw_house(rng, tastes[front.street], leans[front.row], self.dense)
            house = houses[front.house]
            picture = self.atlas.add(paint_front(rng, house, front.hi - front.lo))
            solid = house.eaves_m if house.roof != "flat" else house.height_m
            self.walls.add(front.normal_axis, front.pos, front.lo, front.hi, front.sign, house.height_m, solid, picture)
            self._raise(front, house.eaves_m)
            self._hang_sign(rng, front, house)
            if front.joined:
                self._blind_side(rng, front, houses[self.plan.fronts[number - 1].house], house)

    def _blind_side(self, rng: np.random.Generator, front: Front, before: House, after: House) -> None:
        """The bare wall of the taller of two neighbours, where it shows above the lower one."""
        house, sign = (before, 1) if before.eaves_m > after.eaves_m else (after, -1)
        lo, hi = sorted((front.pos, front.pos - front.sign * LOT_DEPTH_M))
        if house not in self.blind:
            self.blind[house] = self.atlas.add(bare_wall(rng, house, LOT_DEPTH_M, house.eaves_m))
        self.walls.add(1 - front.normal_axis, front.lo, lo, hi, sign, house.eaves_m, house.eaves_m, self.blind[house])

    def _raise(self, front: Front, height: float) -> None:
        deep = sorted((front.pos, front.pos - front.sign * LOT_DEPTH_M))
        along = slice(int(front.lo), int(np.ceil(front.hi)))
        across = slice(max(0, round(deep[0])), max(0, round(deep[1])))
        where = (along, across) if front.normal_axis == 0 else (across, along)
        self.heights[where] = np.maximum(self.heights[where], height)

    def _hang_sign(self, rng: np.random.Generator, front: Front, house: House) -> None:
        if house.ground != "shop" or rng.random() > (0.9 if self.dense else 0.6):
            return
        canvas = paint_hanging_sign(rng, house, neon=self.dense)
        foot = min(house.ground_m - 0.3, max(2.6, house.eaves_m - canvas.height_m))
        out, along = front.pos + front.sign * (0.15 + canvas.width_m / 2), rng.uniform(front.lo + 1, front.hi - 1)
        xy, direction = ((out, along), (1.0, 0.0)) if front.normal_axis == 0 else ((along, out), (0.0, 1.0))
        self.props.add(xy, self.atlas.add(canvas), direction, foot)

    def _furnish(self, rng: np.random.Generator) -> None:
        cars = [
            [self.atlas.add(paint_car(pick(rng, PAINTS), end, van)) for end in (False, True)]
            for van in (False, False, False, True)
            for _ in range(4)
        ]
        lamps = [self.atlas.add(paint_lamp(style)) for style in range(3)]
        for street in self.plan.streets:
            self._furnish_street(rng, street, cars, lamps)
        monument = paint_monument(rng)
        for x0, y0, x1, y1 in self.plan.parks:
            self.props.add(((x0 + x1) / 2, (y0 + y1) / 2), self.atlas.add(monument))
            for _ in range(26):
                xy = rng.uniform(x0 + 2, x1 - 2), rng.uniform(y0 + 2, y1 - 2)
                if min(abs(xy[0] - (x0 + x1) / 2), abs(xy[1] - (y0 + y1) / 2)) > 2.5:
                    self._plant(rng, xy, int(rng.integers(4)))

    def _plant(self, rng: np.random.Generator, xy: tuple[float, float], species: int) -> None:
        variant = species * 2 + int(rng.integers(2))
        self.props.add(xy, np.array([self.trees[season][variant] for season in SEASONS]))
        self.tree_feet.append(xy)

    def _furnish_street(
        self, rng: np.random.Generator, street: Street, cars: list[list[int]], lamps: list[int]
    ) -> None:
        walk, half = pavement_m(street), street.width / 2
        free = [
            at
            for at in np.arange(street.lo + 3, street.hi - 3, 1.0)
            if all(abs(at - centre) > width / 2 + 4 for centre, width in street.crossings)
        ]
        species, style = int(rng.integers(4)), int(rng.integers(3))
        planted = rng.random() < (0.3 if self.dense else 0.45) and street.width > 11
        tree_step, lamp_step = int(rng.integers(12, 20)), int(rng.integers(17, 26))
        for side in (-1, 1):
            kerb = side * (half - walk)
            for at in free:
                if planted and int(at) % tree_step == 0 and rng.random() < 0.8:
                    self._plant(rng, street.point(at, kerb + side * 0.7), species)
                elif int(at + side * lamp_step // 2) % lamp_step == 0:
                    self.props.add(street.point(at, kerb + side * 0.5), lamps[style])
                    self.lamps.append(street.point(at, kerb + side * 0.5))
            if street.width > 12:
                for at in free[2::6]:
                    self._park(rng, street, at, kerb - side * 1.1, cars)

    def _park(self, rng: np.random.Generator, street: Street, at: float, across: float, cars: list[list[int]]) -> None:
        side_picture, end_picture = pick(rng, cars)
        length, width = self.atlas.sizes[side_picture][0], self.atlas.sizes[end_picture][0]
        days = sum(1 << day for day in range(DAYS) if rng.random() < 0.25)
        forward, left = ((1.0, 0.0), (0.0, 1.0)) if street.axis == 0 else ((0.0, 1.0), (1.0, 0.0))
        for end in (-1, 1):
            self.props.add(
                street.point(at, across + end * width / 2),
                side_picture,
                forward,
                days=days,
                normal=(left[0] * end, left[1] * end),
            )
            self.props.add(
                street.point(at + end * (length / 2 - 0.15), across),
                end_picture,
                left,
                days=days,
                normal=(forward[0] * end, forward[1] * end),
            )

    def _leaf_fall(self, rng: np.random.Generator) -> np.ndarray:
        fall = np.zeros(self.ground.shape[:2], bool)
        for x, y in self.tree_feet:
            spots = (rng.normal(0, 2.2, (260, 2)) + (y, x)) * PIXELS_PER_METRE
            rows, cols = np.clip(spots, 0, np.array(fall.shape) - 1).astype(int).T
            fall[rows, cols] = True
        return fall | ((self.ground[..., 3] == GRASS) & (rng.random(fall.shape, np.float32) < 0.06))


def cloud_belt(rng: np.random.Generator) -> np.ndarray:
    """(128, 1024) in 0..1: clouds around the whole horizon, row 0 at the top; it closes on itself."""
    belt = np.zeros((128, 1024), np.float32)
    for cells, weight in ((8, 1.0), (16, 0.6), (32, 0.35), (64, 0.2)):
        coarse = rng.random((cells, cells * 2)).astype(np.float32)
        rows, cols = np.linspace(0, cells - 1.001, 128), np.arange(1024) * cells * 2 / 1024
        r, c = rows.astype(int)[:, None], cols.astype(int)[None, :]
        fr, fc = rows[:, None] - r, cols[None, :] - c
        right = (c + 1) % (cells * 2)
        belt += weight * (
            (coarse[r, c] * (1 - fc) + coarse[r, right] * fc) * (1 - fr)
            + (coarse[r + 1, c] * (1 - fc) + coarse[r + 1, right] * fc) * fr
        )
    belt -= belt.min()
    return belt / belt.max()


def row_colours(rng: np.random.Generator, rows: list[int]) -> dict[int, np.ndarray]:
    """A colour (3,) for every row of houses; hues go round by the golden section, so that no two rows share one."""
    hue, colours = rng.random(), {}
    for row in rows:
        hue = (hue + 0.618034) % 1
        pure = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
        colours[row] = 255 * rng.uniform(0.5, 0.95) * (1 - rng.uniform(0.2, 0.75) * (1 - pure))
    return colours
