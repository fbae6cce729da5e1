"""The sets below `--data`, and each of them as lists of images: GSV-XS, GSV-Cities, SF-XS, Tokyo-XS and their like."""

import hashlib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vpr.cells import classes, groups_of_places
from vpr.config import DataConfig
from vpr.discovery import VAL_SET, find_tests, find_train, find_val, set_name
from vpr.errors import DataError
from vpr.folders import Folders
from vpr.index import RetrievalIndex, TrainIndex, retrieval_index, train_index
from vpr.listing import PathList
from vpr.names import position
from vpr.positives import positives
from vpr.walking import walk

__all__ = ["Folders", "Places", "RetrievalSet", "find_images", "find_sets", "position"]


class IndexPaths(PathList):
    """Paths of some rows of an index, whose names are read only when one is asked for."""

    def __init__(self, index: TrainIndex | RetrievalIndex, rows: np.ndarray) -> None:
        self.folder, self._index, self._rows = index.folder, index, rows

    @cached_property
    def names(self) -> Sequence[str]:  # type: ignore[override]
        """Paths below the folder."""
        names = self._index.names
        return names if len(self._rows) == len(names) else [names[row] for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __reduce__(self) -> tuple[type[PathList], tuple[Path, list[str]]]:
        """Travel to another process as plain names, not as an open file."""
        return PathList, (self.folder, list(self.names))


@dataclass(frozen=True)
class SmallPlaces:
    """Places that have too few images for a batch, and are left out."""

    places: int
    of_places: int
    images: int
    least: int
    """Images that a place must have."""

    def __str__(self) -> str:
        return (
            f"{self.places:,} of {self.of_places:,} places have fewer than {self.least} images and are left out "
            f"({self.images:,} images)"
        )


@dataclass(frozen=True)
class Part:
    """Images of a set that have a store of their own."""

    name: str
    rows: np.ndarray
    """Rows of the set's index."""
    state: str
    """Hash of the names, sizes and times of the images."""


def _subset_state(state: str, rows: np.ndarray, count: int) -> str:
    """Return the state of `count` images for all of them, and another one for fewer."""
    return state if len(rows) == count else hashlib.sha256(state.encode() + rows.tobytes()).hexdigest()[:16]


@dataclass(frozen=True)
class Places:
    """Training images with their place, numbered 0..places-1 in order of the place's name."""

    index: TrainIndex
    rows: np.ndarray
    """(N,) int64 rows of the index."""
    labels: np.ndarray
    """(N,) int64 place of each image; -1 where a place is left out."""
    small: SmallPlaces
    groups: np.ndarray | None = None
    """(places,) group of each place; a batch takes its places from one (`vpr.cells`). None: there are none."""

    @property
    def images(self) -> IndexPaths:
        """N images."""
        return IndexPaths(self.index, self.rows)

    @property
    def count(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def parts(self) -> list["Part"]:
        """The images, as they are stored."""
        return [Part(self.index.name, self.rows, _subset_state(self.index.state, self.rows, len(self.index)))]


@dataclass(frozen=True)
class RetrievalSet:
    """Database and queries with their positions in metres (UTM), or with the truth that the set gives."""

    index: RetrievalIndex
    database_rows: np.ndarray
    """(N,) int64 rows of the index."""
    query_rows: np.ndarray
    """(Q,) int64."""

    @property
    def name(self) -> str:
        return self.index.name

    @property
    def parts(self) -> list["Part"]:
        """Database and queries, as they are stored; a database that several sets of queries share is stored once."""
        index = self.index
        counts = index.database, len(index) - index.database
        names = f"{set_name(index.folder)}/database", f"{self.name}/queries"
        rows = self.database_rows, self.query_rows
        return [
            Part(name, own, _subset_state(state, own, count))
            for name, own, state, count in zip(names, rows, index.facts["part_states"], counts, strict=True)
        ]

    @cached_property
    def database(self) -> IndexPaths:
        """N images."""
        return IndexPaths(self.index, self.database_rows)

    @cached_property
    def queries(self) -> IndexPaths:
        """Q images."""
        return IndexPaths(self.index, self.query_rows)

    @property
    def database_utm(self) -> np.ndarray:
        """(N, 2) float64, east and north in metres."""
        return self.index.utm[self.database_rows, :2]

    @property
    def query_utm(self) -> np.ndarray:
        """(Q, 2) float64."""
        return self.index.utm[self.query_rows, :2]

    def positives(self, radius_m: float) -> list[np.ndarray]:
        """Return for each query the database indices that are right, ascending; may be empty.

        Args:
            radius_m: Metres to the query, inclusive; not used where the set gives the truth.
        """
        now = np.full(self.index.database, -1)  # index in this set of each database image of the folder
        now[self.database_rows] = np.arange(len(self.database_rows))
        known = positives(self.index, radius_m)
        right = [now[known[row - self.index.database]] for row in self.query_rows]
        return [np.sort(rows[rows >= 0]) for rows in right]


def find_sets(root: Path) -> Folders:
    """Return the sets below `root`; the test sets are optional. Raises DataError where train or val is missing."""
    return Folders(find_train(root), {VAL_SET: find_val(root)}, find_tests(root))


def read_places(folder: Path, config: DataConfig, without: Container[Path] = (), session: str = "") -> Places:
    """Read a training set.

    Args:
        folder: In any layout of `vpr.train_layouts`.
        config: Images that a place must have, what becomes of places with fewer, and how places are made where a set has none.
        without: Images to leave out; then small places are left out too.
        session: As for `vpr.index.train_index`.

    Raises:
        DataError: The set cannot be read, or has no place that is large enough.
    """
    index = train_index(folder, session)
    rows = np.arange(len(index))
    if without:
        rows = np.array([row for row, path in enumerate(index.paths) if path not in without], dtype=np.int64)
    places, groups = _places_of(index, rows, config)
    sizes, least = np.bincount(places), config.images_per_place
    is_small, is_large = (sizes > 0) & (sizes < least), sizes >= least
    small = SmallPlaces(int(is_small.sum()), int((sizes > 0).sum()), int(sizes[is_small].sum()), least)
    if small.places and not config.skip_small_places and not without:
        raise DataError(
            f"{folder}: {small.places:,} of {small.of_places:,} places have fewer than data/images_per_place={least} images; "
            "lower it, or leave out --set data/skip_small_places=false"
        )
    if not is_large.any():
        raise DataError(
            f"{folder} has no place with data/images_per_place={least} images; lower it (places are read as layout {index.layout}, "
            f"first image {index.names[0]})"
        )
    # All images, so that trials that leave out other places share one store.
    labels = np.where(is_large, np.cumsum(is_large) - 1, -1)[places]
    return Places(index, rows, labels, small, None if groups is None else groups_of_places(labels, groups))


def _places_of(index: TrainIndex, rows: np.ndarray, config: DataConfig) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the place of each of the rows, and its group where the places are made from positions."""
    if index.places is not None:
        return index.places[rows], None
    return classes(index.utm[rows], index.headings[rows], config.cell_m, config.sector_deg)


def read_retrieval_set(folder: Path, without: Container[Path] = (), session: str = "") -> RetrievalSet:
    """Read a database with queries, in any layout of `vpr.retrieval_layouts`, without some images.

    Raises:
        DataError: The set cannot be read, or no image of the database or the queries is left.
    """
    index = retrieval_index(folder, session)
    rows = np.arange(len(index))
    if without:
        rows = np.array([row for row, path in enumerate(index.paths) if path not in without], dtype=np.int64)
    is_database = rows < index.database
    if not is_database.any() or is_database.all():
        raise DataError(f"{folder} has no image left that can be read, in its database or its queries; replace them")
    return RetrievalSet(index, rows[is_database], rows[~is_database])


def find_images(folder: Path) -> Sequence[Path]:
    """Return all images below `folder` in sorted order (`**/*.{jpg,jpeg,png}`, as VPR-methods-evaluation reads them).

    Files that have an image's name and are not images (a named pipe, a broken link) are among them: reading one is an error.
    """
    listing = walk(folder)
    names = listing.names
    if listing.odd:
        names = sorted([*names, *listing.odd], key=lambda name: name.split("/"))
    if not names:
        raise DataError(f"{folder} has no .jpg, .jpeg or .png image; check the path")
    return PathList(folder, names)


def retrieval_fingerprint(folder: Path, session: str = "") -> str:
    """Return the fingerprint of a set's database and queries (`vpr.index.Index.fingerprint`)."""
    return retrieval_index(folder, session).fingerprint
