"""House fronts, painted in metres: bare wall, roof line, windows, ground floor, sign."""

import numpy as np

from vpr.minicity.atlas import CLEAR, PIXELS_PER_METRE, SNOWY, SOLID, Canvas, Colour
from vpr.minicity.houses import VIVID, WARM, House, pick

GLASS: Colour = (58, 74, 92)


def wall_pattern(rng: np.random.Generator, material: str, shape: tuple[int, int]) -> np.ndarray:
    """(H, W, 1) brightness of bare wall: courses, boards, blocks or panes, with dirt toward the ground."""
    h, w = shape
    y, x = np.arange(h)[:, None], np.arange(w)[None, :]
    grain = 1 + 0.035 * rng.standard_normal((h, w), np.float32)
    if material == "brick":
        course = y // 3
        brick = (x + course % 2 * 4) // 8
        grain = grain * np.where(y % 3 == 0, 0.86, 1.0) * (1 + 0.13 * np.sin(brick * 12.9898 + course * 78.233))
    elif material == "wood":
        grain = grain * np.where(y % 5 == 0, 0.74, 1.0) * (1 + 0.05 * np.sin(y // 5 * 7.1))
    elif material == "stone":
        row = y // 7
        edge = (y % 7 == 0) | ((x + row % 2 * 8) % 16 == 0)
        grain = grain * np.where(edge, 0.8, 1.0) * (1 + 0.06 * np.sin((x + row % 2 * 8) // 16 * 5.3 + row * 3.7))
    elif material == "tile":
        grain = grain * np.where((y % 6 == 0) | (x % 6 == 0), 0.87, 1.03)
    elif material == "glass":
        pane = 1.1 - 0.25 * np.sin(x // 15 * 2.7 + y // 18 * 4.1) ** 2
        grain = grain * np.where((y % 18 < 2) | (x % 15 == 0), 0.62, 1.05) * pane
    else:
        stains = np.kron(rng.normal(0, 0.05, (h // 16 + 2, w // 8 + 2)), np.ones((16, 8)))[:h, :w]
        grain = grain + stains
    return (grain * (0.9 + 0.1 * np.clip((h - y) / (2.5 * PIXELS_PER_METRE), 0, 1)))[..., None]


def bare_wall(rng: np.random.Generator, house: House, width: float, height: float) -> Canvas:
    """A front of nothing but wall; also the blind side that shows above a lower neighbour."""
    canvas = Canvas(width, height)
    canvas.colour[:] = np.clip(wall_pattern(rng, house.material, canvas.code.shape) * np.array(house.wall), 0, 255)
    return canvas


def cut_roof(canvas: Canvas, house: House) -> None:
    """Paint the roof zone, and clear what lies outside its outline."""
    top, eaves = house.roof_m, house.eaves_m
    rows, _ = canvas.box(0, eaves, canvas.width_m, top)
    h, w = rows.stop - rows.start, canvas.code.shape[1]
    up = (h - np.arange(h))[:, None] / h  # 0 at the eaves, 1 at the ridge
    side = np.abs(np.linspace(-1, 1, w))[None, :]  # 0 in the middle, 1 at the party walls
    if house.roof in ("slate", "dormer"):
        stripes = np.where(np.arange(h)[:, None] % 3 == 0, 0.82, 1.0)[..., None]
        canvas.colour[rows] = np.clip(np.array(house.roof_colour) * stripes * np.ones((h, w, 1)), 0, 255)
        canvas.code[rows] = np.where(side > 1.0 - 0.10 * up, CLEAR, SNOWY)
    elif house.roof == "gable":
        canvas.code[rows] = np.where(side > 1.02 - up, CLEAR, np.where(side > 0.94 - up, SNOWY, SOLID))
    elif house.roof == "steps":
        step = np.ceil(up * 4) / 4
        canvas.code[rows] = np.where(side > 1.2 - step, CLEAR, SOLID)
    if house.roof == "flat":
        canvas.rect(0, eaves, canvas.width_m, top, house.trim)
        canvas.rect(0, eaves + top - 0.15, canvas.width_m, 0.15, house.trim, code=SNOWY)
    else:
        canvas.shade(0, eaves - 0.3, canvas.width_m, 0.3, 0.7)


def paint_window(
    rng: np.random.Generator, canvas: Canvas, house: House, box: tuple[float, float, float, float]
) -> None:
    """Frame, glass with a bit of sky in it, curtains, bars, sill; about half are lit at night."""
    u, v, w, h = box
    frame = 0.12
    canvas.rect(u - frame, v - frame, w + 2 * frame, h + 2 * frame, house.trim)
    lit = pick(rng, WARM) if rng.random() < 0.5 else None
    canvas.rect(u, v, w, h, GLASS, lit)
    canvas.rect(u, v + h * 0.55, w, h * 0.45, (112, 134, 156), lit)
    if rng.random() < 0.45:
        cloth = pick(rng, [(214, 206, 190), (188, 168, 150), (150, 160, 176)])
        glow = tuple(0.7 * c for c in lit) if lit else None
        canvas.rect(u, v, w * 0.28, h, cloth, glow)
        canvas.rect(u + w * 0.72, v, w * 0.28, h, cloth, glow)
    for k in range(1, house.panes):
        canvas.rect(u + w * k / house.panes - 0.04, v, 0.08, h, house.trim)
    if h > 1.4:
        canvas.rect(u, v + h * 0.62, w, 0.08, house.trim)
    canvas.rect(u - 0.2, v - 0.24, w + 0.4, 0.14, house.trim, code=SNOWY)
    canvas.shade(u - 0.2, v - 0.42, w + 0.4, 0.16, 0.72)
    if house.shutters:
        for left in (u - 0.12 - w * 0.42, u + w + 0.12):
            canvas.rect(left, v, w * 0.42, h, house.shutters)
            canvas.shade(left, v + h * 0.48, w * 0.42, 0.1, 0.6)


def paint_floors(rng: np.random.Generator, canvas: Canvas, house: House) -> None:
    """Rows of windows above the ground floor, with bands and balconies."""
    bays = max(1, round((canvas.width_m - 0.6) / house.bay_m))
    bay = canvas.width_m / bays
    w, h = bay * house.window[0], house.floor_m * house.window[1]
    if house.shutters:
        w = min(w, bay * 0.5)
    for floor in range(house.floors):
        v = house.ground_m + floor * house.floor_m
        if house.band:
            canvas.rect(0, v, canvas.width_m, 0.16, house.trim, code=SNOWY)
            canvas.shade(0, v - 0.2, canvas.width_m, 0.2, 0.75)
        for k in range(bays):
            u = (k + 0.5) * bay - w / 2
            paint_window(rng, canvas, house, (u, v + house.floor_m * 0.28, w, h))
        if house.balcony and floor % 2 == 0:
            for k in range(bays):
                u = k * bay + bay * 0.08
                canvas.shade(u, v - 0.35, bay * 0.84, 0.35, 0.6)
                canvas.rect(u, v, bay * 0.84, 0.18, (120, 116, 112), code=SNOWY)
                for bar in np.arange(u, u + bay * 0.84, 0.3):
                    canvas.rect(bar, v + 0.18, 0.09, 0.8, (52, 52, 56))
                canvas.rect(u, v + 0.95, bay * 0.84, 0.1, (52, 52, 56), code=SNOWY)
    for k in range(bays):
        if house.roof == "dormer":
            u = (k + 0.5) * bay - 0.65
            canvas.rect(u - 0.15, house.eaves_m + 0.3, 1.6, 1.7, house.trim, code=SOLID)
            canvas.rect(u, house.eaves_m + 0.5, 1.3, 1.2, GLASS, pick(rng, WARM) if rng.random() < 0.5 else None)
    if house.roof in ("gable", "steps"):
        paint_window(rng, canvas, house, (canvas.width_m / 2 - 0.5, house.eaves_m + 0.5, 1.0, 1.1))


def paint_door(canvas: Canvas, u: float, colour: Colour) -> None:
    """A door with a fanlight, on a step."""
    canvas.rect(u - 0.15, 0, 1.4, 2.75, (232, 226, 212))
    canvas.rect(u, 0.15, 1.1, 2.1, colour)
    canvas.shade(u + 0.2, 0.4, 0.7, 0.7, 0.7)
    canvas.shade(u + 0.2, 1.3, 0.7, 0.7, 0.7)
    canvas.rect(u, 2.3, 1.1, 0.35, GLASS, (255, 214, 150))
    canvas.rect(u - 0.2, 0, 1.5, 0.15, (170, 166, 160), code=SNOWY)


def paint_shop(rng: np.random.Generator, canvas: Canvas, house: House) -> None:
    """Display windows with goods, a door, a lettered board, perhaps an awning."""
    width, top = canvas.width_m, house.ground_m
    board = min(1.0, top * 0.26)
    canvas.rect(0.15, 0, width - 0.3, top - 0.1, tuple(0.55 * c + 20 for c in house.sign_colour))
    light = pick(rng, WARM)
    door = rng.uniform(0.35, width - 1.6)
    glass_top = top - board - 0.35
    for left, right in ((0.4, door - 0.15), (door + 1.25, width - 0.4)):
        if right - left < 0.7:
            continue
        canvas.rect(left, 0.5, right - left, glass_top - 0.5, (74, 88, 100), light)
        for u in np.arange(left + 0.1, right - 0.4, 0.55):
            tall, paint = rng.uniform(0.3, 1.3), pick(rng, VIVID)
            canvas.rect(u, 0.55, 0.42, tall, paint, tuple(0.5 * p + 60 for p in paint))
        for u in np.arange(left + 1.6, right - 0.3, 1.6):
            canvas.rect(u, 0.5, 0.08, glass_top - 0.5, house.trim)
    paint_door(canvas, door, tuple(0.4 * c for c in house.sign_colour))
    canvas.rect(
        0.15, top - board - 0.2, width - 0.3, board, house.sign_colour, tuple(0.75 * c for c in house.sign_colour)
    )
    words = house.sign if width < 9 or rng.random() < 0.5 else f"{house.sign} {rng.integers(1, 99)}"
    canvas.text(0.4, top - board - 0.2, width - 0.8, board, words, house.sign_ink, house.sign_ink)
    if house.awning:
        for k, u in enumerate(np.arange(0.2, width - 0.5, 0.45)):
            colour = house.awning if k % 2 else (240, 236, 226)
            canvas.rect(u, glass_top - 0.75, 0.45, 0.9, colour, tuple(0.35 * c for c in colour), code=SNOWY)
            canvas.rect(u + 0.06, glass_top - 0.95, 0.33, 0.2, colour, tuple(0.3 * c for c in colour))
        canvas.shade(0.2, glass_top - 1.3, width - 0.4, 0.35, 0.6)


def paint_ground_floor(rng: np.random.Generator, canvas: Canvas, house: House) -> None:
    """Shop, arcade, garage, or a front door between windows."""
    width, top = canvas.width_m, house.ground_m
    if house.ground == "shop":
        paint_shop(rng, canvas, house)
        return
    canvas.rect(0, 0, width, 0.5, tuple(0.62 * c for c in house.wall))
    if house.ground == "arches":
        count = max(1, round(width / 3.2))
        for k in range(count):
            u, w = (k + 0.18) * width / count, 0.64 * width / count
            canvas.rect(u - 0.15, 0, w + 0.3, top - 0.7, house.trim)
            for step, share in enumerate((1.0, 0.94, 0.8, 0.5)):  # four boxes make a round arch
                lift = top - 1.4 + 0.16 * step
                canvas.rect(u + w * (1 - share) / 2, 0, w * share, lift, (66, 60, 60), (150, 110, 66))
    elif house.ground == "garage":
        w = min(3.2, width * 0.5)
        canvas.rect(0.5, 0, w, 2.6, house.sign_colour)
        for v in np.arange(0.3, 2.6, 0.4):
            canvas.shade(0.5, v, w, 0.1, 0.65)
        paint_door(canvas, min(width - 1.5, w + 1.2), house.sign_colour)
    else:
        door = rng.uniform(0.4, max(0.5, width - 2.0))
        for u in np.arange(0.6, width - 1.6, 2.3):
            if abs(u - door) > 1.6:
                paint_window(rng, canvas, house, (u, 1.1, 1.2, top * 0.42))
        paint_door(canvas, door, house.sign_colour)


def paint_front(rng: np.random.Generator, house: House, width: float) -> Canvas:
    """The whole front of a house on a lot `width` metres wide."""
    canvas = bare_wall(rng, house, width, house.height_m)
    cut_roof(canvas, house)
    paint_floors(rng, canvas, house)
    paint_ground_floor(rng, canvas, house)
    canvas.shade(0, 0, 0.1, house.eaves_m, 0.7)  # the joint to the neighbour
    return canvas
