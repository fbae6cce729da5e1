"""One camera at one moment, and the planes that its rays fill."""

from dataclasses import dataclass

import numpy as np

from vpr.minicity.atlas import SNOWY
from vpr.minicity.city import City
from vpr.minicity.light import Look, Moment, look_of

WIDTH, HEIGHT = 192, 112
FINE = 2
"""Rays per pixel each way; averaged away at the end."""
FIELD_OF_VIEW_DEG = 80.0
SNOW = np.uint32(0xFFF8F0EC)
"""A snowy texel, packed as ABGR."""

ROWS, COLS = HEIGHT * FINE, WIDTH * FINE
FOCAL = COLS / 2 / np.tan(np.radians(FIELD_OF_VIEW_DEG / 2))
SLOPES = ((np.arange(COLS) + 0.5 - COLS / 2) / FOCAL).astype(np.float32)  # (COLS,) sideways metres per metre of depth
ROW_CENTRES = np.arange(ROWS, dtype=np.float32) + 0.5


@dataclass(frozen=True)
class Camera:
    """East, north and up in metres; heading in degrees clockwise from north; horizon as a share of the picture's height from its top."""

    x: float
    y: float
    z: float
    heading_deg: float
    horizon: float = 0.6


class Frame:
    """What the rays have met so far; everything (ROWS, COLS)."""

    def __init__(self, city: City, camera: Camera, moment: Moment, day: int):
        self.city, self.camera, self.moment, self.day = city, camera, moment, day
        self.look: Look = look_of(moment)
        heading = np.radians(camera.heading_deg)
        self.forward = np.array([np.sin(heading), np.cos(heading)], np.float32)
        self.right = np.array([np.cos(heading), -np.sin(heading)], np.float32)
        self.position = np.array([camera.x, camera.y], np.float32)
        self.rays = self.forward[:, None] + self.right[:, None] * SLOPES  # (2, COLS), one metre deep
        self.horizon = np.float32(camera.horizon * ROWS)
        self.texel = np.zeros((ROWS, COLS), np.uint32)  # colour, and code 0 where only sky is
        self.glow = np.zeros((ROWS, COLS), np.uint32)
        self.sun = np.zeros((ROWS, COLS), np.float32)  # share of the sunlight
        self.lamp = np.zeros((ROWS, COLS), np.float32)
        self.depth = np.full((ROWS, COLS), 1e4, np.float32)
        self.wall_depth = np.full(COLS, 1e4, np.float32)
        self.shadows = city.shadows_at(self.look.sun)

    def on_map(self, grid: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Look positions in metres up in a map with one cell per square metre."""
        rows = np.clip(y, 0, grid.shape[0] - 1).astype(np.int32)
        cols = np.clip(x, 0, grid.shape[1] - 1).astype(np.int32)
        return grid.ravel().take(rows * grid.shape[1] + cols)

    def put(
        self,
        rows: slice,
        cols: slice,
        seen: np.ndarray,
        index: np.ndarray,
        texel: np.ndarray,
        sun: np.ndarray | float,
        depth: np.ndarray,
        lamp: np.ndarray | float,
    ) -> None:
        """Lay texels (and what the hour needs of the other planes) over a rectangle of the frame where `seen`.

        index, texel: where the picture's texels are in the atlas, and what they are there; the rest broadcasts to them.
        """
        if self.moment.season == "winter":
            texel = np.where(texel >> 24 == SNOWY, SNOW, texel)
        np.copyto(self.texel[rows, cols], texel, where=seen)
        np.copyto(self.depth[rows, cols], depth, where=seen)
        if self.look.sun[2] > 0:
            np.copyto(self.sun[rows, cols], sun, where=seen)
        if self.look.lamps:
            np.copyto(self.lamp[rows, cols], lamp, where=seen)
        if self.look.glow:
            np.copyto(self.glow[rows, cols], self.city.atlas.light.take(index), where=seen)
