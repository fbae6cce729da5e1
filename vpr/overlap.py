"""What must not be in two sets: an image, and a training place near an image that is searched or measured on."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vpr.folders import Folders
from vpr.index import Index, RetrievalIndex, retrieval_index, train_index
from vpr.same_files import same_files
from vpr.spread import Spread
from vpr.store_files import cache_folder, written_whole

FORM = 3
"""Version of what is kept; a comparison by another one is made again."""
ZONE_M = 1e8
"""Metres put between two UTM zones, more than any zone is wide or high."""


@dataclass(frozen=True)
class Overlap:
    """Between train, the val sets and the test sets."""

    same_pictures: list[tuple[Path, Path]]
    """Files of two sets with the same content."""
    near_train: list[tuple[Path, Path, float]]
    """A training picture and a val or test picture for which it is the nearest, in metres, up to the radius; nearest first."""
    near_val: dict[str, int]
    """Images of all val sets with an image of the test set within the radius, by test set; counted, not refused."""
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


def find_overlap(folders: Folders, radius_m: float, session: str = "", spread: Spread = map) -> Overlap:
    """Compare the sets' files and positions. No image is decoded, and only files that may be equal are read.

    What was found is kept on this machine, and read again while no set has changed. A file that cannot be read equals no
    other; `vpr.data` names it, or leaves it out.

    Args:
        folders: Of train, the val sets and the test sets.
        radius_m: Metres up to which a training image is near.
        session: As for `vpr.index.train_index`.
        spread: As for `vpr.walking.walk`.
    """
    folders = folders.below(Path.cwd())  # what is kept holds in any current folder
    train = train_index(folders.train, session)
    sets = {**folders.reported_vals, **folders.tests}
    others = {name: retrieval_index(folder, session) for name, folder in sets.items()}
    tests = list(folders.tests)
    known_by = repr((FORM, radius_m, tests, [(str(index.folder), index.walk) for index in (train, *others.values())]))
    file = cache_folder() / "index" / f"overlap-{hashlib.sha256(known_by.encode()).hexdigest()[:16]}.json"
    try:
        return _from_json(json.loads(file.read_text()))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        pass  # not known yet, or a damaged file: the sets are compared again
    unread: list[Path] = []
    overlap = _compare(train, others, tests, radius_m, spread, unread)
    if unread:
        return overlap  # not kept: those files may be readable, and equal to others, in the next search
    with written_whole(file) as sink:
        sink.write(json.dumps(asdict(overlap), default=str).encode())
    return overlap


def _from_json(known: dict[str, Any]) -> Overlap:
    same = [(Path(first), Path(second)) for first, second in known.pop("same_pictures")]
    near = [(Path(first), Path(second), metres) for first, second, metres in known.pop("near_train")]
    return Overlap(same, near, **known)


def _compare(
    train: Index,
    others: dict[str, RetrievalIndex],
    tests: list[str],
    radius_m: float,
    spread: Spread,
    unread: list[Path],
) -> Overlap:
    """Compare the sets; the others are the val sets, then the tests. `unread` gets files that cannot be read."""
    from scipy.spatial import cKDTree  # only here: its import would delay the first line of a search

    places = _flatten({"train": train.utm, **{name: index.utm for name, index in others.items()}})
    known = np.flatnonzero(np.isfinite(places["train"][:, 0]))
    tree = cKDTree(places["train"][known])
    near = []
    for name, index in others.items() if len(known) else ():
        rows = np.flatnonzero(np.isfinite(places[name][:, 0]))
        # The bound itself is not found; far images are passed over quickly.
        distances, nearest = tree.query(places[name][rows], distance_upper_bound=np.nextafter(radius_m, np.inf))
        near += [
            (train.paths[known[nearest[row]]], index.paths[rows[row]], float(distances[row]))
            for row in np.flatnonzero(distances <= radius_m)
        ]
    near.sort(key=lambda pair: (pair[2], pair[1]))
    known_of = {name: own[np.isfinite(own[:, 0])] for name, own in places.items()}
    vals = [name for name in others if name not in tests]
    near_val = {name: sum(_near(known_of[val], known_of[name], radius_m) for val in vals) for name in tests}
    return Overlap(same_files(train, others, tests, spread, unread), near, near_val, len(train) - len(known))


def _near(images: np.ndarray, others: np.ndarray, radius_m: float) -> int:
    """Count the images (N, 2) that have one of the others (M, 2) within the radius."""
    from scipy.spatial import cKDTree

    return int((cKDTree(others).query(images)[0] <= radius_m).sum()) if len(images) and len(others) else 0


def _flatten(places: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn (N, 3) east, north and zone into (N, 2), the zones set apart; where an image does not say its zone, all share one."""
    zones = np.concatenate([own[np.isfinite(own[:, 0]), 2] for own in places.values()])
    apart = 0.0 if np.isnan(zones).any() else ZONE_M
    flat = {}
    for name, own in places.items():
        flat[name] = own[:, :2] + np.nan_to_num(own[:, 2:]) * [apart, 0]
        flat[name][:, 0] -= own[:, 0] // ZONE_M * ZONE_M  # cities of MSLS are set apart already (`vpr.msls`)
    return flat
