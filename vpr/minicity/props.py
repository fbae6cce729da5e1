"""Street furniture painted as cut-out pictures: trees through the seasons, cars, lamps, hanging signs, benches."""

import numpy as np
from PIL import Image, ImageDraw

from vpr.minicity.atlas import CLEAR, SNOWY, SOLID, Canvas, Colour
from vpr.minicity.houses import House, pick

LEAVES: dict[str, list[Colour]] = {
    "spring": [(150, 186, 84), (232, 176, 196), (176, 200, 110)],
    "summer": [(64, 110, 48), (84, 124, 52), (52, 96, 60)],
    "autumn": [(206, 120, 38), (188, 72, 36), (218, 168, 54)],
    "winter": [(0, 0, 0)] * 3,
}

Forest = dict[str, list[Canvas]]


def paint_tree(rng: np.random.Generator, species: int, season: str) -> Canvas:
    """Species 0 is round, 1 tall, 2 spreading, 3 a conifer that keeps its green."""
    width, height = ((4.6, 6.6), (3.0, 8.6), (6.4, 7.2), (3.6, 7.6))[species]
    canvas = Canvas(width, height, CLEAR)
    h, w = canvas.code.shape
    picture = Image.new("RGBA", (w, h), (0, 0, 0, CLEAR))
    draw = ImageDraw.Draw(picture)
    bark = (86, 70, 58, SOLID)
    crown = 0.36 if species != 3 else 0.14
    draw.rectangle((w / 2 - 2, h * (1 - crown) - 6, w / 2 + 2, h), fill=bark)
    for angle in rng.uniform(-1.0, 1.0, 26):
        x0, y0, reach = w / 2, h * rng.uniform(0.5, 1 - crown + 0.05), rng.uniform(0.25, 0.48) * h
        x1, y1 = x0 + np.sin(angle) * min(reach, 0.48 * w), max(2, y0 - np.cos(angle) * reach)
        draw.line((x0, y0, x1, y1), fill=bark, width=2 if reach < 0.36 * h else 1)
        for _ in range(3):
            draw.line((x1, y1, x1 + rng.normal(0, 6), y1 - rng.uniform(2, 9)), fill=bark)
        if season == "winter" and species != 3:
            draw.line((x0, y0 - 1, x1, y1 - 1), fill=(235, 238, 244, SOLID))
    if season != "winter" or species == 3:
        green = (44, 84, 58) if species == 3 else LEAVES[season][species]
        for _ in range(400):
            r, turn = np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
            up = 0.5 + 0.5 * r * np.sin(turn)
            spread = (1.04 - up) if species == 3 else 1.0
            x = w / 2 + r * np.cos(turn) * 0.44 * w * spread
            y = h * (1 - crown) - up * h * (1 - crown - 0.03)
            light = 0.62 + 0.5 * up + rng.normal(0, 0.13) - 0.12 * np.cos(turn)
            snow = season == "winter" and rng.random() < 0.35
            colour = (235, 239, 245) if snow else tuple(min(255, int(c * max(light, 0.1))) for c in green)
            size = rng.uniform(1.5, 4.5)
            draw.ellipse((x - size, y - size * 0.8, x + size, y + size * 0.8), fill=(*colour, SOLID))
    pixels = np.asarray(picture)
    canvas.colour[:], canvas.code[:] = pixels[..., :3], pixels[..., 3]
    return canvas


def paint_car(colour: Colour, end: bool, van: bool) -> Canvas:
    """A car from its side, or (end) from front and back."""
    width, height = (1.8, 2.1 if van else 1.5) if end else (4.9 if van else 4.3, 2.1 if van else 1.5)
    canvas = Canvas(width, height, CLEAR)
    dark, glass = tuple(0.7 * c for c in colour), (46, 58, 70)
    body = 0.95 if not van else 1.15
    canvas.rect(0.05, 0.3, width - 0.1, body - 0.3, colour, code=SOLID)
    canvas.rect(0.05, 0.3, width - 0.1, 0.2, dark)
    margin = 0.2 if end or van else 0.85
    for k in range(4):  # the cabin narrows toward its roof
        canvas.rect(
            margin + 0.06 * k,
            body + k * (height - body) / 4,
            width - 2 * margin - 0.12 * k - (0.0 if end else 0.25),
            (height - body) / 4,
            colour,
            code=SNOWY if k == 3 else SOLID,
        )
    if end:
        canvas.rect(margin + 0.16, body, width - 2 * margin - 0.32, (height - body) * 0.72, glass)
        canvas.rect(0.1, 0.62, 0.32, 0.2, (220, 60, 50), (255, 70, 50))
        canvas.rect(width - 0.42, 0.62, 0.32, 0.2, (220, 60, 50), (255, 70, 50))
        canvas.rect(width / 2 - 0.3, 0.42, 0.6, 0.16, (236, 232, 214))
        wheels = (0.12, width - 0.42, 0.3)
    else:
        canvas.rect(margin + 0.22, body, (width - 2 * margin) / 2 - 0.42, (height - body) * 0.74, glass)
        canvas.rect(width / 2 - 0.08, body, (width - 2 * margin) / 2 - 0.42, (height - body) * 0.74, glass)
        canvas.rect(width / 2 - 0.1, 0.4, 0.05, body - 0.4, dark)
        wheels = (0.55, width - 1.2, 0.66)
    for u in wheels[:2]:
        canvas.rect(u, 0, wheels[2], 0.6, (28, 28, 30), code=SOLID)
        if not end:
            canvas.rect(u + 0.2, 0.2, 0.26, 0.22, (150, 150, 152))
    return canvas


def paint_lamp(style: int) -> Canvas:
    """A lamp post: a bracket, a globe, or a lantern."""
    canvas = Canvas(1.4, (6.4, 4.4, 5.2)[style], CLEAR)
    high, pole, bulb = canvas.height_m, ((70, 76, 80), (40, 62, 52), (52, 46, 44))[style], (255, 236, 190)
    canvas.rect(0.62, 0, 0.16, high - 0.4, pole, code=SOLID)
    canvas.rect(0.52, 0, 0.36, 0.6, pole, code=SOLID)
    if style == 0:
        canvas.rect(0.1, high - 0.4, 1.2, 0.12, pole, code=SOLID)
        for u in (0.05, 1.0):
            canvas.rect(u, high - 0.62, 0.35, 0.22, (240, 236, 220), bulb, SOLID)
    else:
        canvas.rect(0.42, high - 0.75, 0.56, 0.6, (244, 240, 222), bulb, SOLID)
        canvas.rect(0.36 if style == 2 else 0.46, high - 0.15, 0.68 if style == 2 else 0.48, 0.12, pole, code=SNOWY)
    return canvas


def paint_hanging_sign(rng: np.random.Generator, house: House, neon: bool) -> Canvas:
    """A board that stands out from the wall: a plate, or (neon) a tall strip with a letter per row."""
    glow = 1.0 if neon else 0.55
    if neon or rng.random() < 0.3:
        word = house.sign[:6]
        canvas = Canvas(0.95, 0.9 * len(word) + 0.2)
        canvas.rect(0, 0, 0.95, canvas.height_m, house.sign_colour, tuple(glow * c for c in house.sign_colour))
        for k, letter in enumerate(word):
            canvas.text(0.1, canvas.height_m - 0.95 - 0.9 * k, 0.75, 0.78, letter, house.sign_ink, house.sign_ink)
        return canvas
    canvas = Canvas(1.3, 1.0)
    canvas.rect(0, 0, 1.3, 1.0, house.sign_ink, tuple(0.4 * c for c in house.sign_ink))
    canvas.rect(0.1, 0.1, 1.1, 0.8, house.sign_colour, tuple(glow * c for c in house.sign_colour))
    canvas.text(0.12, 0.2, 1.06, 0.6, house.sign[:4], house.sign_ink, house.sign_ink)
    return canvas


def paint_monument(rng: np.random.Generator) -> Canvas:
    """A column with a figure on a stepped base: one per park."""
    canvas = Canvas(4.0, 11.0, CLEAR)
    stone = pick(rng, [(186, 178, 164), (126, 142, 132), (168, 120, 96)])
    for k in range(4):
        canvas.rect(
            0.4 * k,
            0.5 * k,
            4.0 - 0.8 * k,
            0.5,
            tuple(c * (0.8 + 0.08 * k) for c in stone),
            code=SNOWY if k == 3 else SOLID,
        )
    canvas.rect(1.5, 2.0, 1.0, 6.0, stone, code=SOLID)
    canvas.shade(1.5, 2.0, 0.35, 6.0, 0.75)
    canvas.rect(1.2, 8.0, 1.6, 0.4, stone, code=SNOWY)
    canvas.rect(1.7, 8.4, 0.6, 1.7, (70, 110, 96), code=SOLID)
    canvas.rect(1.8, 10.1, 0.4, 0.5, (70, 110, 96), code=SOLID)
    return canvas


def plant_forest(rng: np.random.Generator) -> Forest:
    """Two trees of each of four species in every season; painted once and planted in every city."""
    return {season: [paint_tree(rng, k // 2, season) for k in range(8)] for season in LEAVES}
