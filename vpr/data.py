"""Sets opened for use: images with what is known of them. No torch, so that a driver can check data quickly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vpr.config import DataConfig
from vpr.datasets import Folders, read_places, read_retrieval_set
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

    @property
    def queries_without_positives(self) -> int:
        """Queries that no model can get right; they count as missed."""
        return sum(len(right) == 0 for right in self.positives)


def open_retrieval(folder: Path, config: DataConfig, budget_gb: float | None = None) -> Retrieval:
    """Read a database/queries folder and put it into the image store (`vpr.store`), unless it is there."""
    found = read_retrieval_set(folder)
    size = config.image_size
    return Retrieval(
        found.name,
        open_store(f"{found.name}/database", folder / "database", found.database, size, budget_gb),
        open_store(f"{found.name}/queries", folder / "queries", found.queries, size, budget_gb),
        found.positives(config.positive_radius_m),
    )


@dataclass(frozen=True)
class TrainingData:
    """What a trial sees: the training places and val. No test set."""

    images: Images
    """N images."""
    labels: np.ndarray
    """(N,) place of each image, 0..places-1; -1 for images that no batch draws."""
    val: Retrieval

    @property
    def places(self) -> int:
        return int(self.labels.max()) + 1


def open_data(folders: Folders, config: DataConfig, budget_gb: float | None = None) -> TrainingData:
    """Read train and val and put them into the image store (`vpr.store`), unless they are there. Raises DataError."""
    places = read_places(folders.train, config.images_per_place, config.skip_small_places)
    images = open_store(places.name, folders.train, places.images, config.image_size, budget_gb)
    return TrainingData(images, places.labels, open_retrieval(folders.val, config, budget_gb))
