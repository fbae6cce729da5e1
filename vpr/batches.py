"""Batches of P places x K images, in an order that a seed fixes and a checkpoint continues."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vpr.config import DataConfig
from vpr.errors import DataError


class PlaceSampler:
    """Every place at least once an epoch, in random order, with K of its images drawn without replacement.

    The last batch is filled up with places drawn again, so that all batches have P places and none is left out.
    """

    def __init__(self, labels: np.ndarray, config: DataConfig, seed: int) -> None:
        """labels: (N,) place numbers, ascending but for the -1 of images to leave out.

        Raises DataError where there are fewer places than a batch holds.
        """
        images = np.flatnonzero(labels >= 0)
        starts = np.flatnonzero(np.diff(labels[images], prepend=-1))
        self.images_of_place = np.split(images, starts[1:])
        self.places, self.views = config.places_per_batch, config.images_per_place
        self.generator = np.random.default_rng(seed)
        if len(self.images_of_place) < self.places:
            raise DataError(
                f"the training set has {len(self.images_of_place)} places, but data/places_per_batch={self.places}; lower it"
            )

    def __len__(self) -> int:
        return -(-len(self.images_of_place) // self.places)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Image indices (P*K,), the K of a place together."""
        order = self.generator.permutation(len(self.images_of_place))
        missing = len(self) * self.places - len(order)
        # From the front, so that no batch holds a place twice.
        order = np.concatenate([order, self.generator.permutation(order[: self.places])[:missing]])
        for batch in range(len(self)):
            places = order[batch * self.places : (batch + 1) * self.places]
            yield np.concatenate(
                [self.generator.choice(self.images_of_place[place], self.views, replace=False) for place in places]
            )

    def state_dict(self) -> dict[str, Any]:
        return dict(self.generator.bit_generator.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.bit_generator.state = state
