"""Sets opened for use: decoded images with what is known of them. No torch, so that a driver can check data quickly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vpr.config import DataConfig
from vpr.datasets import Folders, read_places, read_retrieval_set
from vpr.store import open_store


@dataclass(frozen=True)
class Retrieval:
    """A set ready to be measured: decoded images and, for each query, the database indices that are right."""

    name: str
    database: np.ndarray
    """(N, H, W, 3) uint8, memory-mapped."""
    queries: np.ndarray
    """(Q, H, W, 3) uint8, memory-mapped."""
    positives: list[np.ndarray]

    @property
    def queries_without_positives(self) -> int:
        """Queries that no model can get right; they count as missed."""
        return sum(len(right) == 0 for right in self.positives)


def open_retrieval(folder: Path, config: DataConfig) -> Retrieval:
    """Read a database/queries folder and decode it into the image store, unless that is there."""
    found = read_retrieval_set(folder)
    return Retrieval(
        found.name,
        open_store(f"{found.name}/database", found.database, config.image_size),
        open_store(f"{found.name}/queries", found.queries, config.image_size),
        found.positives(config.positive_radius_m),
    )


@dataclass(frozen=True)
class TrainingData:
    """What a trial sees: the training places and val. No test set."""

    images: np.ndarray
    """(N, H, W, 3) uint8, memory-mapped."""
    labels: np.ndarray
    """(N,) place of each image, 0..places-1, ascending."""
    val: Retrieval

    @property
    def places(self) -> int:
        return int(self.labels[-1]) + 1


def open_data(folders: Folders, config: DataConfig) -> TrainingData:
    """Read train and val and decode them into the image store, unless they are there. Raises DataError."""
    places = read_places(folders.train, config.images_per_place, config.skip_small_places)
    images = open_store(places.name, places.images, config.image_size)
    return TrainingData(images, places.labels, open_retrieval(folders.val, config))
