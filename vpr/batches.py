"""Batches of P places x K images, in an order that a seed fixes and a checkpoint continues."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from vpr.config import DataConfig
from vpr.errors import DataError


class PlaceSampler:
    """Every place at least once an epoch, in random order, with K of its images drawn without replacement.

    The last batch is filled up with places drawn again, so that all batches have P places and none is left out.
    With groups, all places of a batch are of one group, and the batches of all groups are mixed. A group with fewer
    than P places fills no batch without a place twice, so it is left out; `left_out` counts its places.
    """

    def __init__(self, labels: np.ndarray, config: DataConfig, seed: int, groups: np.ndarray | None = None) -> None:
        """Prepare the batches of a training set.

        Args:
            labels: (N,) place numbers; -1 for images to leave out.
            config: Says P and K.
            seed: Fixes the order.
            groups: (places,) group of each place; None puts all into one.

        Raises:
            DataError: There are fewer places, in every group, than a batch holds.
        """
        images = np.argsort(labels, kind="stable")[np.count_nonzero(labels < 0) :]
        starts = np.flatnonzero(np.diff(labels[images], prepend=-1))
        self.images_of_place = np.split(images, starts[1:])
        self.places, self.views = config.places_per_batch, config.images_per_place
        self.generator = np.random.default_rng(seed)
        all_places = np.arange(len(self.images_of_place))
        parts = [all_places] if groups is None else [all_places[groups == group] for group in np.unique(groups)]
        self.groups = [part for part in parts if len(part) >= self.places]
        self.left_out = sum(len(part) for part in parts if len(part) < self.places)
        """Places of groups that are smaller than a batch."""
        if not self.groups:
            which = "" if groups is None else f", {max(map(len, parts))} in the largest of its {len(parts)} groups"
            raise DataError(
                f"the training set has {len(all_places)} places{which}, "
                f"but data/places_per_batch={self.places}; lower it"
            )

    def __len__(self) -> int:
        return sum(-(-len(group) // self.places) for group in self.groups)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Image indices (P*K,), the K of a place together."""
        batches = np.concatenate([self._batches(group) for group in self.groups])  # (batches, P)
        if len(self.groups) > 1:
            self.generator.shuffle(batches)
        for places in batches:
            yield np.concatenate(
                [self.generator.choice(self.images_of_place[place], self.views, replace=False) for place in places]
            )

    def _batches(self, group: np.ndarray) -> np.ndarray:
        """Return the places of a group's batches in random order, (batches, P)."""
        order = self.generator.permutation(group)
        missing = -len(order) % self.places
        # From the front, so that no batch holds a place twice.
        order = np.concatenate([order, self.generator.permutation(order[: self.places])[:missing]])
        return order.reshape(-1, self.places)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.generator.bit_generator.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.bit_generator.state = state
