"""Season, hour and weather, and what they do to colours: sun, sky, haze, street lamps."""

from dataclasses import dataclass

import numpy as np

SEASONS = ("spring", "summer", "autumn", "winter")
HOURS = ("morning", "noon", "evening", "night")
WEATHERS = ("clear", "overcast", "fog")


@dataclass(frozen=True)
class Moment:
    """When a picture was taken."""

    season: str
    hour: str
    weather: str


@dataclass(frozen=True)
class Look:
    """The light of a moment; colours are RGB factors of about 0 to 1.3."""

    sun: tuple[float, float, float]
    """Unit vector toward the sun: east, north, up."""
    sunlight: np.ndarray
    ambient: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    clouds: float
    haze_m: float
    """Distance at which two thirds of a colour is lost."""
    glow: float
    """Brightness of lit windows and signs."""
    lamps: float


# hour: azimuth deg, elevation deg, sunlight, ambient, zenith, horizon, glow, lamps
SKIES = {
    "morning": (105, 28, (0.46, 0.40, 0.32), (0.69, 0.68, 0.71), (0.40, 0.58, 0.86), (0.93, 0.84, 0.74), 0.10, 0.0),
    "noon": (190, 50, (0.42, 0.40, 0.37), (0.69, 0.69, 0.71), (0.26, 0.50, 0.90), (0.76, 0.86, 0.95), 0.0, 0.0),
    "evening": (258, 13, (0.50, 0.34, 0.22), (0.63, 0.56, 0.59), (0.30, 0.32, 0.58), (0.98, 0.62, 0.40), 0.35, 0.25),
    "night": (0, -90, (0.0, 0.0, 0.0), (0.20, 0.21, 0.29), (0.03, 0.04, 0.10), (0.11, 0.12, 0.20), 1.0, 1.0),
}
SEASON_TINT = {
    "spring": (1.0, 1.02, 0.98),
    "summer": (1.04, 1.01, 0.95),
    "autumn": (1.03, 0.98, 0.92),
    "winter": (0.94, 0.98, 1.05),
}


def look_of(moment: Moment) -> Look:
    """The light of a moment: overcast skies swallow the sun, fog the distance."""
    azimuth, elevation, *rgb, glow, lamps = SKIES[moment.hour]
    sunlight, ambient, zenith, horizon = (np.array(c, np.float32) for c in rgb)
    tint = np.array(SEASON_TINT[moment.season], np.float32)
    clouds, haze_m = {"spring": 0.5, "summer": 0.25, "autumn": 0.55, "winter": 0.4}[moment.season], 320.0
    if moment.weather != "clear":
        grey = float(horizon.mean())
        ambient = ambient + 0.3 * sunlight.mean()
        zenith, horizon = 0.25 * zenith + 0.75 * 0.92 * grey, 0.25 * horizon + 0.75 * grey
        sunlight, clouds, haze_m = 0.06 * sunlight, 0.9, 190.0
    if moment.weather == "fog":
        haze_m = 75.0
    a, e = np.radians(azimuth), np.radians(elevation)
    sun = float(np.sin(a) * np.cos(e)), float(np.cos(a) * np.cos(e)), float(np.sin(e))
    return Look(sun, sunlight * tint, ambient * tint, zenith, horizon, clouds, haze_m, glow, lamps)


def shadow_heights(heights: np.ndarray, sun: tuple[float, float, float]) -> np.ndarray:
    """How high the shadow reaches above every square metre of the city.

    heights: (H, W) metres of building on each square metre, row 0 in the south.
    """
    reach = np.zeros_like(heights)
    flat = max(1e-3, float(np.hypot(sun[0], sun[1])))
    if sun[2] <= 0:
        return reach
    slope, (dx, dy) = sun[2] / flat, (sun[0] / flat, sun[1] / flat)
    rows, cols = np.indices(heights.shape)
    for step in np.arange(1.0, min(60.0, heights.max() / slope) + 1.0, 1.0):
        y = np.clip(np.rint(rows + step * dy).astype(int), 0, heights.shape[0] - 1)
        x = np.clip(np.rint(cols + step * dx).astype(int), 0, heights.shape[1] - 1)
        np.maximum(reach, heights[y, x] - step * slope, out=reach)
    return reach


def lamp_map(shape: tuple[int, int], lamps: list[tuple[float, float]]) -> np.ndarray:
    """(H, W) lamp light on every square metre; 1 right below a lamp."""
    light = np.zeros(shape, np.float32)
    rows, cols = np.indices(shape)
    for x, y in lamps:
        square = slice(max(0, int(y) - 14), int(y) + 15), slice(max(0, int(x) - 14), int(x) + 15)
        light[square] += np.exp(-((cols[square] - x) ** 2 + (rows[square] - y) ** 2) / 50.0)
    return np.minimum(light, 1.2)
