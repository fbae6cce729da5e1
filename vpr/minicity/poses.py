"""Where the pictures are taken: places to learn from, a database along the streets, queries near it."""

from dataclasses import dataclass

import numpy as np

from vpr.minicity.city import City
from vpr.minicity.frame import Camera
from vpr.minicity.ground import pavement_m
from vpr.minicity.light import HOURS, SEASONS, WEATHERS, Moment
from vpr.minicity.plan import Street

SPACING_M, SPACING_DEG = 36.0, 60.0
"""Two train places are this far apart, or look this differently. Views stray by up to 6 m, so views of two places that
look the same way stay more than 25 m apart."""
DATABASE_STEP_M = 18.0
TURNS_DEG = (-35.0, 35.0, 145.0, 215.0)
"""Directions from the street's own: half along the street, half at its houses, on either side."""
UNMAPPED_M = 42.0
"""The database leaves out one stretch of street this far each way, as real ones do: queries there have no positive."""

TRAIN_HOURS = (0.40, 0.40, 0.11, 0.09)
DAY_HOURS = (0.4, 0.6, 0.0, 0.0)
QUERY_HOURS = (0.43, 0.44, 0.08, 0.05)
NIGHT_HOURS = (0.05, 0.05, 0.20, 0.70)


@dataclass(frozen=True)
class Shot:
    """One picture to take; place is None outside the train set."""

    camera: Camera
    moment: Moment
    day: int
    place: int | None = None


def at_moment(
    rng: np.random.Generator, hours: tuple[float, ...], seasons: tuple[str, ...] = SEASONS, fair: float = 0.7
) -> Moment:
    """`hours`: chance of each of HOURS; `fair`: chance of clear weather."""
    weather = WEATHERS[int(rng.choice(3, p=(fair, (1 - fair) * 0.7, (1 - fair) * 0.3)))]
    return Moment(seasons[int(rng.integers(len(seasons)))], HOURS[int(rng.choice(4, p=hours))], weather)


def stand(rng: np.random.Generator, street: Street, along: float, across: float, heading_deg: float) -> Camera:
    """A camera on the carriageway, never among the parked cars."""
    room = max(0.5, street.width / 2 - pavement_m(street) - 3.4)
    x, y = street.point(float(np.clip(along, street.lo + 5, street.hi - 5)), float(np.clip(across, -room, room)))
    return Camera(x, y, rng.uniform(2.1, 2.5), heading_deg % 360, rng.uniform(0.57, 0.65))


def along_deg(street: Street) -> float:
    """Heading of the street's own direction."""
    return 90.0 if street.axis == 0 else 0.0


def apart(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    """Whether two (x, y, heading) are different places."""
    turn = abs((a[2] - b[2] + 180) % 360 - 180)
    return float(np.hypot(a[0] - b[0], a[1] - b[1])) > SPACING_M or turn > SPACING_DEG


def train_shots(rng: np.random.Generator, city: City, places: int, views: int) -> list[Shot]:
    """`views` pictures of each of up to `places` places: one spot and direction, through the seasons and hours."""
    spots = [
        (street, along, turn)
        for street in city.plan.streets
        for turn in TURNS_DEG
        for along in np.arange(street.lo + 10, street.hi - 10, 10.0)
    ]
    chosen: list[tuple[float, float, float]] = []
    shots = []
    for number in rng.permutation(len(spots)):
        street, along, turn = spots[number]
        heading = (along_deg(street) + turn + rng.uniform(-12, 12)) % 360
        spot = (*street.point(along), heading)
        if len(chosen) == places or not all(apart(spot, other) for other in chosen):
            continue
        chosen.append(spot)
        for _ in range(views):
            camera = stand(
                rng, street, along + rng.uniform(-4.5, 4.5), rng.uniform(-2, 2), heading + rng.uniform(-11, 11)
            )
            shots.append(Shot(camera, at_moment(rng, TRAIN_HOURS), int(rng.integers(8)), len(chosen) - 1))
    return shots


def eval_shots(
    rng: np.random.Generator, city: City, database: int, queries: int, night: bool
) -> tuple[list[Shot], list[Shot]]:
    """A database of one fair-weather campaign, and queries of all seasons, most within 6 m of it; about 2 % lie off the map."""
    streets = city.plan.streets
    lost = streets[int(rng.integers(len(streets)))]
    lost_at = 0.5 * (lost.crossings[0][0] + lost.crossings[1][0])
    hole = np.array(lost.point(lost_at))
    spots = []
    for street in streets:
        for along in np.arange(street.lo + 8, street.hi - 8, DATABASE_STEP_M):
            if np.hypot(*(np.array(street.point(along)) - hole)) > UNMAPPED_M - 12:
                spots += [(street, along, along_deg(street) + turn) for turn in TURNS_DEG]
    kept = [spots[i] for i in np.sort(rng.permutation(len(spots))[:database])]
    shots = [
        Shot(
            stand(rng, street, along, rng.uniform(-1, 1), heading + rng.uniform(-6, 6)),
            at_moment(rng, DAY_HOURS, ("spring", "summer"), 0.8),
            int(rng.integers(8)),
        )
        for street, along, heading in kept
    ]
    asked = []
    for number in range(queries):
        if number < round(0.02 * queries):
            street, along, heading = lost, lost_at + rng.uniform(-2, 2), along_deg(lost) + rng.choice((0, 180))
        else:
            street, along, heading = kept[int(rng.integers(len(kept)))]
            along += rng.choice((-1, 1)) * rng.uniform(2, 4.5)
        camera = stand(rng, street, along, rng.uniform(-1.2, 1.2), heading + rng.uniform(-7, 7))
        asked.append(Shot(camera, at_moment(rng, NIGHT_HOURS if night else QUERY_HOURS), int(rng.integers(8))))
    return shots, asked
