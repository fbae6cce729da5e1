"""Painted pictures for the ray caster: a canvas measured in metres, and an atlas of their mip levels."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[float, ...]
"""Red, green, blue in 0..255."""

PIXELS_PER_METRE = 12
LEVELS = 4
"""Mip levels; level L has PIXELS_PER_METRE / 2**L pixels per metre."""

# What the fourth channel of a texel says. Winter paints SNOWY texels white.
CLEAR, SNOWY, SOLID = 0, 254, 255

FONT = ImageFont.load_default(11)


class Canvas:
    """A picture of `width_m` x `height_m` metres; u runs right from the left edge, v up from the ground.

    colour (H, W, 3) uint8 by daylight, glow (H, W, 3) uint8 the light it gives off by night, code (H, W) uint8.
    """

    def __init__(self, width_m: float, height_m: float, code: int = SOLID):
        step = 2 ** (LEVELS - 1)  # so that every level halves exactly
        w, h = (max(step, round(metres * PIXELS_PER_METRE / step) * step) for metres in (width_m, height_m))
        self.width_m, self.height_m = width_m, height_m
        self.sx, self.sy = w / width_m, h / height_m
        self.colour = np.zeros((h, w, 3), np.uint8)
        self.glow = np.zeros((h, w, 3), np.uint8)
        self.code = np.full((h, w), code, np.uint8)

    def box(self, u: float, v: float, width: float, height: float) -> tuple[slice, slice]:
        """The texels of a rectangle in metres whose lower left corner is (u, v); at least one texel each way."""
        h = len(self.code)
        left, top = round(u * self.sx), round(h - (v + height) * self.sy)
        right, bottom = max(left + 1, round((u + width) * self.sx)), max(top + 1, round(h - v * self.sy))
        return slice(max(0, top), max(0, bottom)), slice(max(0, left), max(0, right))

    def rect(
        self,
        u: float,
        v: float,
        width: float,
        height: float,
        colour: Colour,
        glow: Colour | None = None,
        code: int | None = None,
    ) -> None:
        """Fill a rectangle; it gives off no light unless `glow` says so."""
        where = self.box(u, v, width, height)
        self.colour[where] = colour
        self.glow[where] = glow or (0, 0, 0)
        if code is not None:
            self.code[where] = code

    def shade(self, u: float, v: float, width: float, height: float, factor: float) -> None:
        """Darken (or lighten) a rectangle: recesses, and shadows below ledges."""
        where = self.box(u, v, width, height)
        self.colour[where] = np.clip(self.colour[where] * factor, 0, 255)

    def text(self, u: float, v: float, width: float, height: float, words: str, colour: Colour, glow: Colour) -> None:
        """Write `words` as large as the rectangle allows, once in paint and once in light."""
        rows, cols = self.box(u, v, width, height)
        shape = self.code[rows, cols].shape
        left, top, right, bottom = FONT.getbbox(words)
        stencil = Image.new("L", (int(right - left), int(bottom - top)))
        ImageDraw.Draw(stencil).text((-left, -top), words, fill=255, font=FONT)
        scale = min(shape[1] / stencil.width, shape[0] / stencil.height)
        size = max(1, int(stencil.width * scale)), max(1, int(stencil.height * scale))
        y, x = rows.start + (shape[0] - size[1]) // 2, cols.start + (shape[1] - size[0]) // 2
        ink = np.asarray(stencil.resize(size, Image.Resampling.BILINEAR), np.float32)[..., None] / 255
        where = slice(y, y + size[1]), slice(x, x + size[0])
        self.colour[where] = self.colour[where] * (1 - ink) + ink * np.array(colour)
        self.glow[where] = self.glow[where] * (1 - ink) + ink * np.array(glow)


def halve(colour: np.ndarray, code: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3), (H, W) -> half the size. Clear texels lend no colour, so that silhouettes get no dark rim."""
    corners = [(slice(i, None, 2), slice(j, None, 2)) for i in (0, 1) for j in (0, 1)]
    none = np.zeros((), np.uint16)
    if code.all():
        return (sum((colour[c].astype(np.uint16) for c in corners), none) >> 2).astype(np.uint8), code[corners[0]]
    weight = [(code[c] > CLEAR).astype(np.uint16) for c in corners]
    count = sum(weight, none)
    mean = (
        sum((colour[c] * w[..., None] for c, w in zip(corners, weight, strict=True)), none)
        // np.maximum(count, 1)[..., None]
    )
    codes = np.maximum.reduce([code[c] for c in corners])
    return mean.astype(np.uint8), np.where(count >= 2, codes, CLEAR).astype(np.uint8)


def pack(colour: np.ndarray, code: np.ndarray) -> np.ndarray:
    """(H, W, 3) and (H, W) uint8 -> (H, W) uint32, so that one look-up fetches all four."""
    texels = np.empty((*code.shape, 4), np.uint8)
    texels[..., :3], texels[..., 3] = colour, code
    return texels.view(np.uint32)[..., 0]


@dataclass
class Atlas:
    """All pictures of a city, flat: texel (row, col) of picture i at level l is `colour[base[i, l] + row*width[i, l] + col]`."""

    rows: list[list[tuple[int, int, int]]] = field(default_factory=list)
    sizes: list[tuple[float, float]] = field(default_factory=list)
    chunks: list[np.ndarray] = field(default_factory=list)
    glows: list[np.ndarray] = field(default_factory=list)
    length: int = 0

    def add(self, canvas: Canvas) -> int:
        """Keep the canvas at every level; returns its number."""
        colour, glow, code = canvas.colour, canvas.glow, canvas.code
        levels = []
        for level in range(LEVELS):
            if level:
                glow, _ = halve(glow, code)
                colour, code = halve(colour, code)
            levels.append((self.length, *code.shape))
            self.chunks.append(pack(colour, code).ravel())
            self.glows.append(pack(glow, code).ravel())
            self.length += code.size
        self.rows.append(levels)
        self.sizes.append((canvas.width_m, canvas.height_m))
        return len(self.rows) - 1

    def freeze(self) -> None:
        """Lay the pictures end to end: base, height, width (T, LEVELS) in texels; size (T, 2) in metres."""
        self.colour, self.light = np.concatenate(self.chunks), np.concatenate(self.glows)
        table = np.array(self.rows, np.int32)
        self.base, self.height, self.width = (np.ascontiguousarray(table[..., i]) for i in range(3))
        self.size = np.array(self.sizes, np.float32)
        self.chunks, self.glows = [], []
