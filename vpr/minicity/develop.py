"""From what the rays met to a photograph: light, haze, sky, bloom, grain. Channels come first here; numpy is faster so."""

import numpy as np
from PIL import Image, ImageFilter

from vpr.minicity.frame import FINE, HEIGHT, SLOPES, WIDTH, Frame

LAMP_COLOUR = np.array((1.0, 0.74, 0.42), np.float32)


def each(colour: np.ndarray) -> np.ndarray:
    """(3,) -> (3, 1, 1), to meet a picture (3, HEIGHT, WIDTH)."""
    return colour.astype(np.float32)[:, None, None]


def quads(plane: np.ndarray) -> np.ndarray:
    """(ROWS, COLS) -> (HEIGHT, WIDTH): the sum of the rays of a pixel."""
    return plane[0::FINE, 0::FINE] + plane[1::FINE, 0::FINE] + plane[0::FINE, 1::FINE] + plane[1::FINE, 1::FINE]


def shrink_texels(plane: np.ndarray) -> np.ndarray:
    """(ROWS, COLS) packed -> (4, HEIGHT, WIDTH) in 0..1. Two channels are summed at a time in one 32-bit number."""
    red_blue = quads(plane & 0x00FF00FF).view(np.uint16)
    green_alpha = quads((plane >> 8) & 0x00FF00FF).view(np.uint16)
    channels = np.empty((4, HEIGHT, WIDTH), np.float32)
    for at, pair in ((0, red_blue), (1, green_alpha)):
        channels[at], channels[at + 2] = pair[:, 0::2], pair[:, 1::2]
    channels *= np.float32(0.25 / 255)
    return channels


def paint_sky(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """(3, HEIGHT, WIDTH): brighter toward the horizon, with a belt of clouds drifting round; stars at night."""
    look, belt = frame.look, frame.city.clouds
    up = np.clip((frame.horizon / FINE - np.arange(HEIGHT)) / (0.62 * HEIGHT), 0, 1).astype(np.float32)
    sky = each(look.horizon) + each(look.zenith - look.horizon) * np.sqrt(up)[:, None]  # (3, HEIGHT, 1)
    turn = np.degrees(np.arctan(SLOPES[::FINE])) + frame.camera.heading_deg
    cols = ((turn / 360 * 1024).astype(int) + int(rng.integers(1024))) % 1024
    cover = belt[np.clip((1 - up) * 127, 0, 127).astype(int)[:, None], cols]  # (HEIGHT, WIDTH)
    cover = np.clip((cover - np.float32(0.75 - 0.5 * look.clouds)) * 3, 0, np.float32(0.8))
    cloud = 0.5 * look.horizon + 0.5 * (look.ambient + 0.75 * look.sunlight)
    picture = sky + (each(cloud) - sky) * cover
    if frame.moment.hour == "night" and frame.moment.weather == "clear":
        picture[:, rng.integers(0, HEIGHT, 40), rng.integers(0, WIDTH, 40)] += 0.35
    return picture


def develop(frame: Frame, rng: np.random.Generator) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) uint8 from a finished frame."""
    look = frame.look
    colour = shrink_texels(frame.texel)  # (4, HEIGHT, WIDTH)
    picture, cover = colour[:3], colour[3]
    power = each(look.ambient) + each(look.sunlight / 4) * quads(frame.sun)
    if look.lamps:
        power += each(1.1 / 4 * look.lamps * LAMP_COLOUR) * quads(frame.lamp)
    picture *= power
    if look.glow:
        light = shrink_texels(frame.glow)[:3] * np.float32(look.glow)
        np.maximum(picture, light, out=picture)  # a sum would bleach lit signs under a lamp
    haze = np.exp(frame.depth[::FINE, ::FINE] * np.float32(-1 / look.haze_m))
    picture *= haze
    picture += each(look.horizon) * (cover * (1 - haze))
    picture += paint_sky(frame, rng) * (1 - cover)
    if look.glow:
        bright = Image.fromarray((np.minimum(light, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
        picture += np.asarray(bright.filter(ImageFilter.BoxBlur(5)), np.float32).transpose(2, 0, 1) * np.float32(
            0.6 / 255
        )
    picture *= each(rng.uniform(0.93, 1.07) * rng.normal(1, 0.02, 3))  # exposure and white balance
    picture += rng.standard_normal((HEIGHT, WIDTH), np.float32) * np.float32(
        0.018 if frame.moment.hour == "night" else 0.008
    )
    return np.ascontiguousarray((np.clip(picture, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
