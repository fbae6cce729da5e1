"""What sets one house apart from the next: material, colours, floors, window rhythm, roof, ground floor and sign."""

from dataclasses import dataclass

import numpy as np

from vpr.minicity.atlas import Colour

# Families of wall colours; a street prefers one, so that streets differ as well as houses.
WALLS: dict[str, list[Colour]] = {
    "brick": [(158, 84, 66), (132, 68, 58), (178, 112, 84), (112, 62, 60), (190, 132, 96), (146, 100, 82)],
    "plaster": [
        (226, 206, 160),
        (214, 172, 120),
        (200, 128, 110),
        (168, 190, 176),
        (152, 176, 204),
        (232, 224, 208),
        (222, 184, 186),
        (182, 196, 138),
        (238, 206, 112),
        (196, 148, 168),
    ],
    "stone": [(196, 188, 172), (176, 168, 156), (206, 192, 160), (156, 152, 150)],
    "wood": [(122, 148, 160), (196, 200, 190), (96, 116, 104), (150, 98, 76), (186, 160, 110), (84, 92, 116)],
    "tile": [(206, 206, 204), (164, 150, 136), (118, 134, 146), (184, 172, 150), (92, 84, 88), (150, 116, 100)],
    "glass": [(92, 118, 138), (76, 96, 104), (112, 126, 132), (70, 84, 110)],
}
TRIMS: list[Colour] = [(240, 236, 226), (90, 70, 58), (50, 62, 72), (206, 196, 176), (122, 44, 40), (58, 84, 70)]
VIVID: list[Colour] = [
    (196, 38, 44),
    (24, 92, 164),
    (20, 128, 84),
    (238, 180, 30),
    (112, 48, 132),
    (230, 104, 28),
    (24, 30, 42),
    (238, 236, 226),
    (12, 146, 158),
    (214, 66, 124),
]
WORDS = (
    "CAFE",
    "BAKERY",
    "BOOKS",
    "HOTEL",
    "PIZZA",
    "FLOWERS",
    "BANK",
    "SHOES",
    "BAR",
    "TEA",
    "CINEMA",
    "OPTIC",
    "FISH",
    "MUSIC",
    "TOYS",
    "HAIR",
    "WINE",
    "BIKES",
    "DELI",
    "MARKET",
    "NOODLES",
    "TAILOR",
    "PHARMACY",
    "ART",
    "GRILL",
    "POST",
    "SUSHI",
    "CAKES",
    "LAMPS",
    "TATTOO",
    "RECORDS",
    "YOGA",
    "KEYS",
    "RADIO",
    "THEATRE",
    "DENTIST",
)
ROOFS: list[Colour] = [(92, 84, 84), (136, 74, 58), (70, 78, 90), (110, 92, 78)]
WARM: list[Colour] = [(255, 206, 130), (255, 224, 164), (250, 190, 104), (214, 226, 255), (255, 170, 90)]


@dataclass(frozen=True)
class House:
    """What one house looks like; drawn once, so that both fronts of a corner house agree."""

    material: str
    wall: Colour
    trim: Colour
    floors: int
    floor_m: float
    ground_m: float
    bay_m: float
    """Distance from window to window."""
    window: tuple[float, float]
    """Width and height as shares of the bay and of the floor."""
    panes: int
    roof: str
    roof_m: float
    roof_colour: Colour
    ground: str
    sign: str
    sign_colour: Colour
    sign_ink: Colour
    awning: Colour | None
    balcony: bool
    shutters: Colour | None
    band: bool

    @property
    def eaves_m(self) -> float:
        return self.ground_m + self.floors * self.floor_m

    @property
    def height_m(self) -> float:
        return self.eaves_m + self.roof_m


def pick(rng: np.random.Generator, options):
    return options[int(rng.integers(len(options)))]


def draw_house(rng: np.random.Generator, taste: str, lean: np.ndarray, dense: bool) -> House:
    """A house after the taste of its street and row: mostly its material, and toward its colour `lean` (3,)."""
    material = taste if rng.random() < 0.6 else pick(rng, ["brick", "plaster", "stone", "wood", "tile", "glass"])
    floors = int(rng.integers(2, 8)) if dense else int(rng.integers(2, 6))
    roof = "flat" if dense or material == "glass" else pick(rng, ["flat", "slate", "gable", "steps", "slate", "dormer"])
    ground = pick(
        rng,
        ["shop", "shop", "shop", "shop", "arches", "door"]
        if dense
        else ["shop", "shop", "door", "arches", "garage", "door"],
    )
    wall = np.array(pick(rng, WALLS[material])) + rng.normal(0, 12, 3) + rng.normal(0, 10)
    paint = tuple(np.clip(wall + (0.6 if rng.random() < 0.85 else 0.0) * (lean - wall), 30, 246))
    sign_colour = pick(rng, VIVID)
    ink = (250, 246, 232) if sum(sign_colour) < 480 else pick(rng, [(30, 30, 40), (150, 20, 30), (20, 60, 120)])
    return House(
        material,
        paint,
        pick(rng, TRIMS),
        floors,
        rng.uniform(2.7, 3.7),
        rng.uniform(3.3, 4.4),
        rng.uniform(1.7, 4.2),
        (rng.uniform(0.34, 0.74), rng.uniform(0.42, 0.7)),
        int(rng.integers(1, 4)),
        roof,
        {"flat": 0.5, "slate": 2.6, "gable": 3.6, "steps": 3.4, "dormer": 3.0}[roof] * rng.uniform(0.85, 1.2),
        pick(rng, ROOFS),
        ground,
        pick(rng, WORDS),
        sign_colour,
        ink,
        pick(rng, VIVID) if rng.random() < 0.55 else None,
        bool(rng.random() < 0.3),
        pick(rng, VIVID) if rng.random() < 0.25 else None,
        bool(rng.random() < 0.5),
    )
