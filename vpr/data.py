"""Sets opened for use: images with what is known of them. No torch, so that a driver can check data quickly."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vpr.config import DataConfig
from vpr.datasets import Folders, RetrievalSet, read_places, read_retrieval_set
from vpr.errors import BadImagesError
from vpr.images import Images
from vpr.store import open_store


@dataclass(frozen=True)
class Retrieval:
    """A set ready to be measured: images and, for each query, the database indices that are right."""

    name: str
    database: Images
    """N images."""
    queries: Images
    """Q images."""
    positives: list[np.ndarray]
    skipped: dict[Path, str] = field(default_factory=dict)
    """Images that were left out, and why."""

    @property
    def queries_without_positives(self) -> int:
        """Queries that no model can get right; they count as missed."""
        return sum(len(right) == 0 for right in self.positives)


def open_retrieval(
    folder: Path, config: DataConfig, budget_gb: float | None = None, on_bad_image: str = "error"
) -> Retrieval:
    """Read a database/queries folder and put it into the image store (`vpr.store`), unless it is there.

    Raises BadImagesError with all images that cannot be read; with `on_bad_image` "skip" they are left out.
    """

    def stores(found: RetrievalSet) -> list[Images]:
        return _opened(
            [
                (f"{found.name}/database", folder / "database", found.database),
                (f"{found.name}/queries", folder / "queries", found.queries),
            ],
            config,
            budget_gb,
        )

    found, skipped = read_retrieval_set(folder), {}
    try:
        database, queries = stores(found)
    except BadImagesError as fault:
        if on_bad_image != "skip":
            raise
        skipped = fault.faults
        found = read_retrieval_set(folder, skipped)
        database, queries = stores(found)
    return Retrieval(found.name, database, queries, found.positives(config.positive_radius_m), skipped)


def _opened(parts: list[tuple[str, Path, list[Path]]], config: DataConfig, budget_gb: float | None) -> list[Images]:
    """The stores of the parts (name, folder, images) of a set; raises BadImagesError with those of all parts."""
    opened, faults = [], {}
    for name, folder, paths in parts:
        try:
            opened.append(open_store(name, folder, paths, config.image_size, budget_gb))
        except BadImagesError as fault:
            faults.update(fault.faults)
    if faults:
        raise BadImagesError(faults)
    return opened


@dataclass(frozen=True)
class TrainingData:
    """What a trial sees: the training places and val. No test set."""

    images: Images
    """N images."""
    labels: np.ndarray
    """(N,) place of each image, 0..places-1; -1 for images that no batch draws."""
    val: Retrieval
    skipped: dict[Path, str] = field(default_factory=dict)
    """Images that were left out, and why."""

    @property
    def places(self) -> int:
        return int(self.labels.max()) + 1


def open_data(
    folders: Folders, config: DataConfig, budget_gb: float | None = None, on_bad_image: str = "error"
) -> TrainingData:
    """Read train and val and put them into the image store (`vpr.store`), unless they are there. Raises DataError.

    Raises BadImagesError with all images that cannot be read; with `on_bad_image` "skip" they are left out, and so are places
    that have too few images without them.
    """
    places = read_places(folders.train, config.images_per_place, config.skip_small_places)
    skipped: dict[Path, str] = {}
    try:
        images = open_store(places.name, folders.train, places.images, config.image_size, budget_gb)
    except BadImagesError as fault:
        skipped = fault.faults
        if on_bad_image == "skip":
            places = read_places(folders.train, config.images_per_place, skip_small=True, without=skipped)
            images = open_store(places.name, folders.train, places.images, config.image_size, budget_gb)
    try:
        val = open_retrieval(folders.val, config, budget_gb, on_bad_image)
    except BadImagesError as fault:
        raise BadImagesError({**skipped, **fault.faults}) from None
    if skipped and on_bad_image != "skip":
        raise BadImagesError(skipped)
    return TrainingData(images, places.labels, val, skipped)
