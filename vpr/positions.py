"""Where images were taken: metres from degrees, and a check that metres are metres."""

from pathlib import Path

import numpy as np
import utm

from vpr.errors import DataError


def from_degrees(latitudes: np.ndarray, longitudes: np.ndarray) -> np.ndarray:
    """Convert degrees to UTM, each image in the zone of its own position.

    Args:
        latitudes: (n,) float64, from -80 to 84.
        longitudes: (n,) float64, from -180 to 180.

    Returns:
        (n, 3) float64: east and north in metres and the UTM zone, negative in the south.
    """
    table = np.zeros((len(latitudes), 3))
    # Zones begin at whole degrees, so that all positions between the same whole degrees share a zone.
    numbers = np.floor(latitudes) * 1000 + np.floor(longitudes)  # (n,), of squares of one degree
    _, first, square = np.unique(numbers, return_index=True, return_inverse=True)  # (S,), (n,)
    zones = np.array([utm.latlon_to_zone_number(latitudes[row], longitudes[row]) for row in first], dtype=np.int64)
    for zone in np.unique(zones):
        for is_north in (False, True):
            rows = np.flatnonzero((zones[square] == zone) & ((latitudes >= 0) == is_north))
            if len(rows):
                east, north, _, _ = utm.from_latlon(
                    latitudes[rows], longitudes[rows], force_zone_number=int(zone), force_northern=is_north
                )
                table[rows] = np.stack([east, north, np.full(len(rows), zone if is_north else -zone)], 1)
    return table


def refuse_degrees(positions: np.ndarray, first: Path) -> None:
    """Raise DataError if the positions of a set are degrees: all within 180, in either order, and not whole numbers.

    Args:
        positions: (n, >= 2) float64, what the names say to be east and north in metres.
        first: An image of the set, for the message.
    """
    pairs = positions[:, :2]
    if len(pairs) and (np.abs(pairs) <= 180.0).all() and (pairs != np.round(pairs)).any():
        raise DataError(
            f"{first} and all other names beside it say degrees where metres belong; "
            "rename them to @utm_east@utm_north@...@.jpg (the package utm converts degrees to metres)"
        )
