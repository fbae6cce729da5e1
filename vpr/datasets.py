"""The community's folders read into lists of images: GSV-XS, full GSV-Cities, SF-XS, Tokyo-XS."""

import csv
import hashlib
import math
import os
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vpr.errors import DataError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png"}
TEST_SETS = ("sf_xs/test", "tokyo_xs/test")


@dataclass(frozen=True)
class Folders:
    """Where the sets of a search lie."""

    train: Path
    val: Path
    tests: dict[str, Path] = field(default_factory=dict)

    def relative_to(self, root: Path) -> "Folders":
        """The same below `root`, where they are; those elsewhere stay as they are."""

        def below(folder: Path) -> Path:
            return folder.relative_to(root) if root.name and folder.is_relative_to(root) else folder

        return Folders(below(self.train), below(self.val), {name: below(test) for name, test in self.tests.items()})


@dataclass(frozen=True)
class Places:
    """Training images with their place, numbered 0..places-1 in order of the place's name."""

    name: str
    images: list[Path]
    labels: np.ndarray
    """(N,) int64: the images of a place stand together; -1 where a place is left out."""

    @property
    def count(self) -> int:
        return int(self.labels.max()) + 1


@dataclass(frozen=True)
class RetrievalSet:
    """Database and queries with their positions in metres (UTM)."""

    name: str
    database: list[Path]
    queries: list[Path]
    database_utm: np.ndarray
    """(N, 2) float64, east and north in metres."""
    query_utm: np.ndarray
    """(Q, 2) float64."""

    def positives(self, radius_m: float) -> list[np.ndarray]:
        """For each query the database indices within `radius_m` metres (inclusive), ascending; may be empty."""
        near = self._tree.query_ball_point(self.query_utm, radius_m)
        return [np.array(sorted(indices), dtype=np.int64) for indices in near]

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree  # only here: its import would delay the first line of a search

        return cKDTree(self.database_utm)


def find_sets(root: Path) -> Folders:
    """The three sets below `root`; the test sets are optional. Raises DataError where train or val is missing."""
    trains = [root / "gsv_xs/train", root / "gsv_xs", root / "gsv_cities", root]
    train = next((f for f in trains[:1] if f.is_dir()), None) or next((f for f in trains if _is_gsv_cities(f)), None)
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give --data the folder that holds gsv_xs, sf_xs and tokyo_xs")
    if train is None:
        raise DataError(
            f"{root} has no gsv_xs/train folder (or GSV-Cities' Dataframes and Images); add it, or give --train"
        )
    if not (root / "sf_xs/val").is_dir():
        raise DataError(f"{root} has no sf_xs/val folder; add it, or give --val")
    return Folders(train, root / "sf_xs/val", {name: root / name for name in TEST_SETS if (root / name).is_dir()})


def read_places(folder: Path, images_per_place: int, skip_small: bool = False, without: Container[Path] = ()) -> Places:
    """Read GSV-XS or full GSV-Cities, whichever is there, without some images.

    Raises DataError for an empty folder, a name without a place, and a place with fewer than `images_per_place` images
    (left out instead with `skip_small`).
    """
    pairs = [(place, path) for place, path in _train_pairs(folder) if path not in without]
    sizes = Counter(place for place, _ in pairs)
    small = [place for place, size in sizes.items() if size < images_per_place]
    if small and not skip_small:
        raise DataError(
            f"{folder}: {len(small)} of {len(sizes)} places have fewer than data/images_per_place={images_per_place} images, "
            f"first place {small[0]} with {sizes[small[0]]}; lower it, or give --set data/skip_small_places=true"
        )
    kept = sorted(place for place, size in sizes.items() if size >= images_per_place)
    if not kept:
        raise DataError(f"{folder} has no place with data/images_per_place={images_per_place} images; lower it")
    numbers = {place: number for number, place in enumerate(kept)}
    pairs.sort()
    # All images, so that trials that leave out other places share one store.
    labels = np.array([numbers.get(place, -1) for place, _ in pairs], dtype=np.int64)
    return Places(set_name(folder), [path for _, path in pairs], labels)


def train_images(folder: Path) -> list[Path]:
    """All training images, of GSV-XS or full GSV-Cities."""
    return [path for _, path in _train_pairs(folder)]


def read_retrieval_set(folder: Path, without: Container[Path] = ()) -> RetrievalSet:
    """Read `database` and `queries` of SF-XS, Tokyo-XS or a set like them, without some images.

    Raises DataError for names without position.
    """
    database, queries = (
        [path for path in find_images(folder / part) if path not in without] for part in ("database", "queries")
    )
    if not database or not queries:
        raise DataError(f"{folder} has no image left that can be read, in database/ or in queries/; replace them")
    return RetrievalSet(set_name(folder), database, queries, _positions(database), _positions(queries))


def find_images(folder: Path) -> list[Path]:
    """All images below `folder` in sorted order (`**/*.{jpg,jpeg,png}`, as VPR-methods-evaluation reads them)."""
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; the layout is database/ and queries/ below each set, or gsv_xs/train"
        )
    images = sorted(
        Path(parent) / name
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in IMAGE_SUFFIXES
    )
    if not images:
        raise DataError(f"{folder} has no .jpg, .jpeg or .png image; check the path")
    return images


def position(path: Path) -> tuple[float, float]:
    """East and north in metres from `@utm_east@utm_north@...`; raises DataError for any other name."""
    fields = path.name.split("@")
    try:
        east, north = float(fields[1]), float(fields[2])
        if fields[0] == "" and math.isfinite(east) and math.isfinite(north):
            return east, north
    except (IndexError, ValueError):
        pass
    raise DataError(f"{path} has no coordinates in its name; rename it to @utm_east@utm_north@...@.jpg (metres)")


def set_name(folder: Path) -> str:
    """The name by which a set is reported: its last two folders, `sf_xs/val`."""
    return "/".join(folder.resolve().parts[-2:])


def fingerprint(paths: Iterable[Path]) -> str:
    """Hash of names and sizes in bytes (not of times, so that copies of a set agree)."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode("/".join(path.parts[-3:])) + f"\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


@cache
def retrieval_fingerprint(folder: Path) -> str:
    """`fingerprint` of a set's database and queries."""
    return fingerprint(retrieval_images(folder))


def retrieval_images(folder: Path) -> list[Path]:
    """All images of a set's database and queries; raises DataError where either folder is missing."""
    return find_images(folder / "database") + find_images(folder / "queries")


def _positions(paths: list[Path]) -> np.ndarray:
    return np.array([position(path) for path in paths], dtype=np.float64)


def _train_pairs(folder: Path) -> list[tuple[str, Path]]:
    return _gsv_cities_images(folder) if _is_gsv_cities(folder) else _gsv_xs_images(folder)


def _gsv_xs_images(folder: Path) -> list[tuple[str, Path]]:
    pairs = []
    for path in find_images(folder):
        fields = path.name.split("@")
        if len(fields) < 3 or not fields[-2]:
            raise DataError(f"{path} has no place id in its name; GSV-XS writes it as the second-last @ field")
        pairs.append((fields[-2], path))
    return pairs


def _is_gsv_cities(folder: Path) -> bool:
    return (folder / "Dataframes").is_dir() and (folder / "Images").is_dir()


def _gsv_cities_images(folder: Path) -> list[tuple[str, Path]]:
    """Places are numbered by city; names as in the loader of GSV-Cities (Ali-bey et al. 2022, github.com/amaralibey/gsv-cities)."""
    pairs = []
    tables = sorted((folder / "Dataframes").glob("*.csv"))
    if not tables:
        raise DataError(f"{folder / 'Dataframes'} has no .csv file; GSV-Cities has one for each city")
    for table in tables:
        try:
            with table.open(newline="", encoding="utf-8") as lines:
                for number, row in enumerate(csv.DictReader(lines), start=2):
                    pairs.append(_gsv_cities_image(folder, table, number, row))
        except (UnicodeDecodeError, csv.Error) as fault:
            raise DataError(
                f"{table} cannot be read as a UTF-8 table ({fault}); take it from GSV-Cities again"
            ) from None
    missing = [path for _, path in pairs if not path.is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(pairs)} images of {folder}/Dataframes are missing, first {missing[0]}")
    return pairs


def _gsv_cities_image(folder: Path, table: Path, number: int, row: dict[str, str]) -> tuple[str, Path]:
    try:
        city, place = row["city_id"], int(row["place_id"])
        when = f"{int(row['year']):04d}_{int(row['month']):02d}_{int(row['northdeg']):03d}"
        name = f"{city}_{place:07d}_{when}_{row['lat']}_{row['lon']}_{row['panoid']}.jpg"
    except (KeyError, ValueError, TypeError) as fault:
        raise DataError(
            f"{table}, line {number}: {fault} is missing or no number; the columns are GSV-Cities' own"
        ) from None
    return f"{city}/{place:07d}", folder / "Images" / city / name
