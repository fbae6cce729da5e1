"""Minicity: a made-up city to try everything on, without a download and within half a minute.

Four small cities are drawn from a seed and photographed from their streets: one to train on (`gsv_xs`), one to validate
(`sf_xs/val`) and two to test (`sf_xs/test`, and `tokyo_xs/test`: dense, neon, asked at night). Houses, trees and cars are made up,
but the geometry is not: views are in perspective, near things hide far ones, and 25 m on the map are 25 m in the picture.

`plan` lays out streets and lots, `houses` and `facade` draw the fronts, `props` the trees and cars, `ground` the streets, `city` puts
them together, `light` holds seasons and hours, `frame`, `render` and `develop` take a picture, `poses` says from where.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import utm
from PIL import Image

from vpr.minicity.city import City
from vpr.minicity.poses import Shot, eval_shots, train_shots
from vpr.minicity.props import plant_forest
from vpr.minicity.render import render

VIEWS_PER_PLACE = 6
JPEG_QUALITY = 90
MONTHS = {"spring": (3, 5), "summer": (6, 8), "autumn": (9, 11), "winter": (12, 2)}


@dataclass(frozen=True)
class Site:
    """One of the four cities: where it lies on Earth, and how many pictures of it are taken."""

    folder: str
    train: bool
    zone: int
    origin: tuple[float, float]
    """UTM east and north of its south-west corner, in metres; sites lie kilometres apart."""
    images: tuple[int, int]
    """Places and views of each for training; database and queries else."""
    streets_each_way: int = 3
    dense: bool = False


SITES = (
    Site("gsv_xs/train/Minicity", True, 10, (543_000.0, 4_178_000.0), (168, VIEWS_PER_PLACE), streets_each_way=6),
    Site("sf_xs/val", False, 10, (549_000.0, 4_183_000.0), (200, 200)),
    Site("sf_xs/test", False, 10, (555_000.0, 4_175_000.0), (200, 200)),
    Site("tokyo_xs/test", False, 54, (388_000.0, 3_948_000.0), (150, 120), dense=True),
)

REST = (1, 2, 3)
"""Of `SITES`, those that `draw_rest` draws."""


def write(root: Path, seed: int = 0, progress: Callable[[int, int], None] | None = None, scale: float = 1.0) -> None:
    """Write all three sets below `root`, which must not exist yet; the same seed and scale give the same bytes.

    The cities that are not trained on are drawn by a process of their own: together they have as many images as the other.

    progress: called with (images written, images in all). scale: below 1 gives fewer images, of smaller cities.
    """
    aside = root.with_name(f"{root.name}.partial-{os.getpid()}")
    total = sum(a * b if site.train else a + b for site in SITES for a, b in [size_of(site, scale)])
    command = [sys.executable, "-m", "vpr.minicity.draw_rest", str(aside), str(seed), str(scale)]
    rest = None
    try:
        aside.mkdir(parents=True)
        rest = subprocess.Popen(command, start_new_session=True)  # Ctrl-C is for this process, which ends that one
        for done, _ in enumerate(draw(aside, seed, scale, 0), 1):
            if done % 20 == 0:
                if rest.poll():
                    break
                if progress:
                    progress(done + sum(_written(aside, number) for number in REST), total)
        if rest.wait():
            raise OSError(
                errno.EIO, f"the process that draws three of the cities ended with {rest.returncode}", str(aside)
            )
        if progress:
            progress(total, total)
        os.replace(aside, root)
    finally:
        if rest:
            rest.kill()
            rest.wait()
        shutil.rmtree(aside, ignore_errors=True)


def size_of(site: Site, scale: float) -> tuple[int, int]:
    """Return what `Site.images` is at a scale."""
    first, second = site.images
    return max(24, round(first * scale)), second if site.train else max(24, round(second * scale))


def draw(root: Path, seed: int, scale: float, number: int) -> Iterator[Path]:
    """Draw one of `SITES` below `root`; yields each image's file when it is written."""
    site = SITES[number]
    forest = plant_forest(np.random.default_rng([seed, len(SITES)]))
    rng = np.random.default_rng([seed, number])
    city = City(rng, forest, site.streets_each_way if scale > 0.5 else 2, site.dense)
    size = size_of(site, scale)
    if site.train:
        folders = {"": train_shots(rng, city, *size)}
    else:
        folders = dict(zip(("database", "queries"), eval_shots(rng, city, *size, night=site.dense), strict=True))
    for folder, shots in folders.items():
        target = root / site.folder / folder
        target.mkdir(parents=True)
        for tile, shot in enumerate(shots):
            picture = Image.fromarray(render(city, shot.camera, shot.moment, shot.day, rng))
            file = target / file_name(rng, site, shot, f"{number}{folder[:1]}{tile:05d}", tile)
            picture.save(file, quality=JPEG_QUALITY)
            yield file


def _written(root: Path, number: int) -> int:
    return sum(len(files) for _, _, files in os.walk(root / SITES[number].folder))


def file_name(rng: np.random.Generator, site: Site, shot: Shot, pano: str, tile: int) -> str:
    """The community's name: @-separated UTM, zone, latitude, longitude, panorama, tile, heading, time and (train) place."""
    east, north = site.origin[0] + shot.camera.x, site.origin[1] + shot.camera.y
    latitude, longitude = utm.to_latlon(east, north, site.zone, northern=True)
    first, last = MONTHS[shot.moment.season]
    month = int(rng.choice((first, last)))
    place = "" if shot.place is None else f"{shot.place:06d}"
    return (
        f"@{east:010.2f}@{north:010.2f}@{site.zone}@S@{latitude:09.5f}@{longitude:010.5f}@{pano}@{tile:04d}"
        f"@{round(shot.camera.heading_deg) % 360:03d}@@@@{rng.integers(2014, 2024)}{month:02d}@{place}@.jpg"
    )
