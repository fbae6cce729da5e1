"""What must not be in two sets: a picture, and a training place near a picture that is searched or measured on."""

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import utm

from vpr.datasets import Folders, position, retrieval_images, train_images
from vpr.errors import DataError

ZONE_M = 1e8
"""Metres put between two UTM zones, more than any zone is wide or high."""


@dataclass(frozen=True)
class Overlap:
    """Between train, val and the test sets."""

    same_pictures: list[tuple[Path, Path]]
    """Files of two sets with the same content."""
    near_train: list[tuple[Path, Path, float]]
    """A training picture and a val or test picture for which it is the nearest, in metres, up to the radius; nearest first."""
    near_val: dict[str, int]
    """Val pictures with a picture of the test set within the radius, by test set; counted, not refused."""
    train_without_position: int
    """Training pictures whose names say no position, so that nothing is known of their neighbours."""

    @property
    def is_clean(self) -> bool:
        return not self.same_pictures and not self.near_train

    def describe(self) -> str:
        """The faults in one line, with the first pair of each."""
        faults = []
        if self.same_pictures:
            first, second = self.same_pictures[0]
            faults.append(f"{len(self.same_pictures)} pictures stand in two sets, first {first} and {second}")
        if self.near_train:
            train, other, metres = self.near_train[0]
            faults.append(
                f"{len(self.near_train)} val or test pictures have a training picture near, first {other} and {train} ({metres:.1f} m)"
            )
        return "; ".join(faults)


def find_overlap(folders: Folders, radius_m: float) -> Overlap:
    """Compare the sets' files and positions. Only files of one size in two sets are read, and none is decoded.

    Raises DataError for a val or test picture whose name says no position.
    """
    from scipy.spatial import cKDTree  # only here: its import would delay the first line of a search

    sets = {"train": train_images(folders.train), "val": retrieval_images(folders.val)}
    sets |= {name: retrieval_images(folder) for name, folder in folders.tests.items()}
    place_of = {name: _train_place if name == "train" else _place for name in sets}
    places = _flatten({name: np.array([place_of[name](path) for path in paths]) for name, paths in sets.items()})
    is_known = np.isfinite(places["train"][:, 0])
    train, known = cKDTree(places["train"][is_known]), np.flatnonzero(is_known)
    near = []
    for name in sets.keys() - {"train"} if len(known) else ():
        distances, nearest = train.query(places[name])
        near += [
            (sets["train"][known[nearest[row]]], sets[name][row], float(distances[row]))
            for row in np.flatnonzero(distances <= radius_m)
        ]
    near.sort(key=lambda pair: (pair[2], pair[1]))
    near_val = {
        name: int((cKDTree(places[name]).query(places["val"])[0] <= radius_m).sum())
        for name in sets
        if name not in ("train", "val")
    }
    return Overlap(_same(sets), near, near_val, len(is_known) - len(known))


def _same(sets: Mapping[str, list[Path]]) -> list[tuple[Path, Path]]:
    by_size: dict[int, list[tuple[str, Path]]] = defaultdict(list)
    for name, paths in sets.items():
        for path in paths:
            by_size[path.stat().st_size].append((name, path))
    pairs = []
    for alike in by_size.values():
        if len({name for name, _ in alike}) > 1:
            owners: dict[bytes, tuple[str, Path]] = {}
            for name, path in alike:
                owner, first = owners.setdefault(hashlib.sha256(path.read_bytes()).digest(), (name, path))
                pairs += [(first, path)] if owner != name else []
    return sorted(pairs)


def _flatten(places: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(N, 3) east, north and zone -> (N, 2), the zones set apart; where a picture does not say its zone, all share one."""
    zones = np.concatenate([own[np.isfinite(own[:, 0]), 2] for own in places.values()])
    apart = 0.0 if np.isnan(zones).any() else ZONE_M
    return {name: own[:, :2] + np.nan_to_num(own[:, 2:]) * [apart, 0] for name, own in places.items()}


def _train_place(path: Path) -> tuple[float, float, float]:
    """As `_place`, also of GSV-Cities' names; NaN for what a name does not say."""
    try:
        if "@" in path.name:
            return _place(path)
        # City_place_year_month_degrees_latitude_longitude_panorama
        latitude, longitude = (float(part) for part in path.stem.split("_")[5:7])
        east, north, zone, band = utm.from_latlon(latitude, longitude)
        return east, north, zone if band >= "N" else -zone
    except (DataError, ValueError):
        return math.nan, math.nan, math.nan


def _place(path: Path) -> tuple[float, float, float]:
    """East and north in metres and the UTM zone, negative in the south and NaN where it is not said. Raises DataError."""
    east, north = position(path)
    zone, band = path.name.split("@")[3:5] if path.name.count("@") > 4 else ("", "")
    if not zone.isdigit() or not re.fullmatch("[A-Za-z]", band):
        return east, north, math.nan
    return east, north, float(zone) if band.upper() >= "N" else -float(zone)
