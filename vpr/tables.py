"""What a layout says of the images of a listing: their places, or their positions and parts."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TrainTable:
    """The training images of a set, n of the N of its listing."""

    layout: str
    rows: np.ndarray
    """(n,) int64 rows of the listing."""
    places: list[str] | None
    """Place of each image, as the set names it; None where only positions are known (`vpr.cells` makes the places)."""
    utm: np.ndarray
    """(n, 3) float64: east and north in metres and the UTM zone, negative in the south; NaN where it is not known."""
    headings: np.ndarray | None = None
    """(n,) float64 compass directions in degrees, NaN where they are not known; needed where `places` is None."""


@dataclass(frozen=True)
class RetrievalTable:
    """Database and queries of a set."""

    layout: str
    database: np.ndarray
    """(N,) int64 rows of the listing."""
    queries: np.ndarray
    """(Q,) int64 rows of the listing."""
    database_utm: np.ndarray
    """(N, 3) float64 as in TrainTable."""
    query_utm: np.ndarray
    """(Q, 3) float64."""
    truth: list[np.ndarray] | None = None
    """For each query the database indices that are right, where the set gives them instead of positions."""
