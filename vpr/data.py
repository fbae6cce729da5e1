"""Sets opened for use: images with what is known of them. No torch, so that a driver can check data quickly."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vpr.config import DataConfig
from vpr.datasets import (
    IndexPaths,
    Part,
    Places,
    RetrievalSet,
    SmallPlaces,
    read_places,
    read_retrieval_set,
)
from vpr.errors import BadImagesError
from vpr.folders import Folders
from vpr.images import Images
from vpr.store import content_digest, open_store
from vpr.store_form import Form


@dataclass(frozen=True)
class Retrieval:
    """A set ready to be measured: images and, for each query, the database indices that are right."""

    name: str
    database: Images
    """N images."""
    queries: Images
    """Q images."""
    positives: list[np.ndarray]
    folder: Path
    """Whose names the images have."""
    content: str
    """Hash of the contents of all images."""
    fingerprint: str
    """Hash of the names and sizes of all images of the folder."""
    skipped: dict[Path, str] = field(default_factory=dict)
    """Images that were left out, and why."""

    @property
    def queries_without_positives(self) -> int:
        """Queries that no model can get right; they count as missed."""
        return sum(len(right) == 0 for right in self.positives)


def open_retrieval(
    folder: Path,
    config: DataConfig,
    budget_gb: float | None = None,
    on_bad_image: str = "error",
    session: str = "",
    form: Form | None = None,
) -> Retrieval:
    """Read a database with queries and put its images into the image store (`vpr.store`), unless they are there.

    Args:
        folder: Of the set.
        config: Image size and radius.
        budget_gb: As for `vpr.store.open_store`.
        on_bad_image: `skip` leaves images out that cannot be read.
        session: As for `vpr.index.train_index`.
        form: As for `vpr.store.open_store`.

    Raises:
        BadImagesError: Images cannot be read; it has all of them.
    """
    found, skipped = read_retrieval_set(folder, session=session), {}
    try:
        database, queries = _stores(found, config, budget_gb, form)
        if found.index.odd:
            raise BadImagesError(found.index.odd)
    except BadImagesError as error:
        skipped = {**found.index.odd, **error.faults}
        if on_bad_image != "skip":
            raise BadImagesError(skipped) from None
        found = read_retrieval_set(folder, skipped, session)
        database, queries = _stores(found, config, budget_gb, form)
    positives, index = found.positives(config.positive_radius_m), found.index
    return Retrieval(
        found.name, database, queries, positives, index.folder, _content(found), index.fingerprint, skipped
    )


def _stores(found: RetrievalSet, config: DataConfig, budget_gb: float | None, form: Form | None) -> list[Images]:
    """Open the stores of database and queries; raises BadImagesError with those of both."""
    opened, bad = [], {}
    for part in found.parts:
        try:
            opened.append(_store(found, part, config, budget_gb, form))
        except BadImagesError as error:
            bad.update(error.faults)
    if bad:
        raise BadImagesError(bad)
    return opened


def _store(
    found: RetrievalSet | Places, part: Part, config: DataConfig, budget_gb: float | None, form: Form | None
) -> Images:
    """Open the store of a part of a set; its names are read only where the store must be built."""
    index, size = found.index, config.image_size
    paths, sizes = IndexPaths(index, part.rows), index.sizes[part.rows]
    return open_store(part.name, index.folder, paths, size, budget_gb, form, part.state, sizes)


def _content(found: RetrievalSet | Places) -> str:
    """Return a hash of the contents of all images of a set, which building its stores has written down."""
    index = found.index
    digests = [
        content_digest(part.name, index.folder, IndexPaths(index, part.rows), part.state) for part in found.parts
    ]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class TrainingData:
    """What a trial sees: the training places and the val sets. No test set."""

    images: Images
    """N images."""
    labels: np.ndarray
    """(N,) place of each image, 0..places-1; -1 for images that no batch draws."""
    vals: dict[str, Retrieval]
    """One val set or more, by the name in `vpr.folders.Folders.vals`."""
    content: str = ""
    """Hash of the contents of the training images."""
    skipped: dict[Path, str] = field(default_factory=dict)
    """Images that were left out, and why."""
    small: SmallPlaces | None = None
    """Places that were left out."""
    groups: np.ndarray | None = None
    """(places,) group of each place; a batch takes its places from one. None: there are none."""

    @property
    def places(self) -> int:
        return int(self.labels.max()) + 1


def open_data(
    folders: Folders,
    config: DataConfig,
    budget_gb: float | None = None,
    on_bad_image: str = "error",
    session: str = "",
    form: Form | None = None,
) -> TrainingData:
    """Read train and the val sets and put them into the image store (`vpr.store`), unless they are there.

    Args:
        folders: Of the sets; no test set is opened.
        config: Image size, images of a place, radius.
        budget_gb: As for `vpr.store.open_store`.
        on_bad_image: `skip` leaves images out that cannot be read, and places that have too few images without them.
        session: As for `vpr.index.train_index`.
        form: As for `vpr.store.open_store`.

    Raises:
        DataError: A set cannot be used.
        BadImagesError: Images cannot be read; it has all of them.
    """
    places = read_places(folders.train, config, session=session)
    skipped: dict[Path, str] = {}
    try:
        (part,) = places.parts
        images = _store(places, part, config, budget_gb, form)
        if places.index.odd:
            raise BadImagesError(places.index.odd)
    except BadImagesError as error:
        skipped = {**places.index.odd, **error.faults}
        if on_bad_image == "skip":
            places = read_places(folders.train, config, skipped, session)
            (part,) = places.parts
            images = _store(places, part, config, budget_gb, form)
    vals: dict[str, Retrieval] = {}
    bad = {} if on_bad_image == "skip" else dict(skipped)
    for name, folder in folders.vals.items():
        try:
            vals[name] = open_retrieval(folder, config, budget_gb, on_bad_image, session, form)
        except BadImagesError as error:
            bad.update(error.faults)
    if bad:
        raise BadImagesError(bad)
    return TrainingData(images, places.labels, vals, _content(places), skipped, places.small, places.groups)
