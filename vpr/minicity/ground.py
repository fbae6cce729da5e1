"""The ground from above: carriageways, markings, pavements, grass; one picture per season, with mip levels."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from vpr.minicity.atlas import LEVELS, pack
from vpr.minicity.houses import pick
from vpr.minicity.plan import Plan, Street

PIXELS_PER_METRE = 6
# The fourth channel says what lies there, and is also how much snow stays on it (of 255).
ROAD, PAVED, GRASS = 70, 165, 250
SURFACES = {
    "asphalt": (84, 84, 88),
    "worn": (112, 110, 108),
    "cobbles": (126, 116, 106),
    "brick": (146, 98, 82),
    "concrete": (150, 148, 142),
}
PAVINGS = [(168, 164, 156), (150, 146, 142), (182, 168, 148), (164, 140, 126), (140, 146, 150)]


def pavement_m(street: Street) -> float:
    """Width of the pavement on each side."""
    return min(3.4, 0.21 * street.width)


class Drawing:
    """Rectangles in metres on the ground; y runs north, the picture's rows run north too."""

    def __init__(self, plan: Plan):
        step = 2 ** (LEVELS - 1)
        size = [int(np.ceil(m * PIXELS_PER_METRE / step)) * step for m in (plan.width, plan.height)]
        self.picture = Image.new("RGBA", tuple(size), (120, 118, 114, PAVED))
        self.pen = ImageDraw.Draw(self.picture)

    def rect(self, x0: float, y0: float, x1: float, y1: float, colour: Sequence[float], code: int) -> None:
        p = PIXELS_PER_METRE
        self.pen.rectangle(
            (round(x0 * p), round(y0 * p), round(x1 * p) - 1, round(y1 * p) - 1), fill=(*map(int, colour), code)
        )

    def strip(
        self,
        street: Street,
        along0: float,
        along1: float,
        across0: float,
        across1: float,
        colour: Sequence[float],
        code: int,
    ) -> None:
        """A rectangle in a street's own coordinates; across is measured from its centre line."""
        (x0, y0), (x1, y1) = street.point(along0, across0), street.point(along1, across1)
        self.rect(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), colour, code)


def draw_street(rng: np.random.Generator, drawing: Drawing, street: Street) -> None:
    """Paving slabs, kerbs, carriageway, patches, a centre line where there is room, zebra crossings."""
    half, walk = street.width / 2, pavement_m(street)
    name = pick(rng, list(SURFACES))
    colour = SURFACES[name]
    drawing.strip(street, street.lo, street.hi, walk - half, half - walk, colour, ROAD)
    for _ in range(int((street.hi - street.lo) / 6)):
        at, across = rng.uniform(street.lo, street.hi), rng.uniform(walk - half, half - walk - 1.2)
        shade = rng.uniform(0.8, 1.1)
        drawing.strip(
            street,
            at,
            at + rng.uniform(0.6, 4),
            across,
            across + rng.uniform(0.5, 1.2),
            [c * shade for c in colour],
            ROAD,
        )
    if name in ("cobbles", "brick"):
        for at in np.arange(street.lo, street.hi, 0.5):
            drawing.strip(street, at, at + 0.17, walk - half, half - walk, [c * 0.82 for c in colour], ROAD)
    elif street.width > 11:
        marks = pick(rng, [(232, 230, 222), (226, 190, 70)])
        for at in np.arange(street.lo, street.hi, 5.0):
            drawing.strip(street, at, at + 2.4, -0.1, 0.1, marks, ROAD)
    if street.width > 15:
        lane = pick(rng, [(156, 70, 58), (74, 122, 92)])
        for side in (-1, 1):
            near, far = sorted((side * (half - walk - 1.4), side * (half - walk)))
            drawing.strip(street, street.lo, street.hi, near, far, lane, ROAD)


def draw_crossings(rng: np.random.Generator, drawing: Drawing, street: Street) -> None:
    """Clear the junctions of pavement, then stripe the zebra crossings on this street's arms."""
    half = street.width / 2 - pavement_m(street)
    for centre, width in street.crossings:
        drawing.strip(street, centre - width / 2, centre + width / 2, -half, half, SURFACES["asphalt"], ROAD)
        for side in (-1, 1):
            if rng.random() < 0.6:
                at = centre + side * (width / 2 + 2.0)
                for across in np.arange(-half + 0.3, half - 0.5, 1.1):
                    drawing.strip(street, at - 1.5, at + 1.5, across, across + 0.55, (228, 226, 220), ROAD)


def draw_pavement(rng: np.random.Generator, drawing: Drawing, street: Street) -> None:
    """Slabs with joints, and a pale kerb; drawn before the carriageways, which cut through at crossings."""
    half, walk, slab = street.width / 2, pavement_m(street), pick(rng, [0.8, 1.2, 1.6])
    colour = pick(rng, PAVINGS)
    for near, far, kerb in ((-half, walk - half, walk - half - 0.2), (half - walk, half, half - walk)):
        drawing.strip(street, street.lo, street.hi, near, far, colour, PAVED)
        for at in np.arange(street.lo, street.hi, slab):
            drawing.strip(street, at, at + 0.17, near, far, [c * 0.84 for c in colour], PAVED)
        drawing.strip(street, street.lo, street.hi, kerb, kerb + 0.25, (202, 200, 194), PAVED)


def paint_ground(rng: np.random.Generator, plan: Plan) -> np.ndarray:
    """(H, W, 4) uint8: the city from above in summer, row 0 in the south."""
    drawing = Drawing(plan)
    for x0, y0, x1, y1 in plan.parks:
        drawing.rect(x0, y0, x1, y1, (98, 136, 66), GRASS)
        xm, ym = (x0 + x1) / 2, (y0 + y1) / 2
        drawing.rect(x0, ym - 1.3, x1, ym + 1.3, (196, 178, 140), PAVED)
        drawing.rect(xm - 1.3, y0, xm + 1.3, y1, (196, 178, 140), PAVED)
    for draw in (draw_pavement, draw_street, draw_crossings):
        for street in plan.streets:
            draw(rng, drawing, street)
    ground = np.array(drawing.picture)
    grain = rng.normal(0, 6, ground.shape[:2]).astype(np.float32)
    ground[..., :3] = np.clip(ground[..., :3] + grain[..., None], 0, 255)
    return ground


def in_season(ground: np.ndarray, season: str, leaf_fall: np.ndarray) -> list[np.ndarray]:
    """The ground in one season, as LEVELS flat uint32 pictures, each half the size of the one before.

    ground: (H, W, 4) from `paint_ground`; leaf_fall: (H, W) bool, where fallen leaves lie in autumn.
    """
    colour, code = ground[..., :3].astype(np.float32), ground[..., 3]
    grass = code == GRASS
    if season == "winter":
        stay = (code / 255.0 * (0.85 + 0.15 * np.sin(np.arange(code.shape[1]) * 0.21)))[..., None].astype(np.float32)
        colour += (np.array((236, 240, 247), np.float32) - colour) * stay
    elif season == "autumn":
        colour[grass] *= np.array((1.25, 0.92, 0.7), np.float32)
        colour[leaf_fall] = (192, 106, 36)
    elif season == "spring":
        colour[grass] *= np.array((1.12, 1.18, 0.9), np.float32)
    levels = []
    for _ in range(LEVELS):
        levels.append(pack(np.clip(colour, 0, 255).astype(np.uint8), np.full(colour.shape[:2], 255, np.uint8)))
        h, w, _ = colour.shape
        h, w = h // 2 * 2, w // 2 * 2
        colour = (colour[0:h:2, 0:w:2] + colour[1:h:2, 0:w:2] + colour[0:h:2, 1:w:2] + colour[1:h:2, 1:w:2]) * 0.25
    return levels
