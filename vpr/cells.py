"""Places for training sets that have none, made from positions and headings as CosPlace makes its classes.

Source: Berton et al. 2022, "Rethinking Visual Geo-localization for Large-Scale Applications" (arXiv 2204.02287), section 3.1.
A class is a square of the map and a sector of the compass. Classes that touch look alike and may not stand against each
other in a batch, so the classes are divided into N x N x L groups in which no two touch.
"""

import numpy as np

from vpr.errors import ConfigError

CELLS_APART = 5
"""N of CosPlace: cells of a group are this many cells apart, east and north."""
SECTORS_APART = 2
"""L of CosPlace: sectors of a group are this many sectors apart."""


def classes(
    utm: np.ndarray, headings: np.ndarray, cell_m: float = 10.0, sector_deg: float = 30.0
) -> tuple[np.ndarray, np.ndarray]:
    """Give each image a place, from its position and heading, and that place's group.

    An image without heading belongs to a class of its cell alone, in which all directions are together, in other groups.

    Args:
        utm: (n, 3) float64: east and north in metres and the UTM zone (NaN where it is not known).
        headings: (n,) float64 compass directions in degrees, NaN where they are not known.
        cell_m: Side of a cell in metres (M of CosPlace).
        sector_deg: Size of a sector in degrees (alpha of CosPlace); divides 360.

    Returns:
        Place numbers (n,) int64, 0 to places-1 in order of zone, east, north and sector; and the group (n,) int64 of
        each image's place. `groups_of_places` has the second for each place.

    Raises:
        ConfigError: `sector_deg` does not divide 360.
    """
    sectors = _sector_count(sector_deg)
    cells = np.floor(utm[:, :2] / cell_m).astype(np.int64)  # (n, 2)
    zones = np.nan_to_num(utm[:, 2]).astype(np.int64)
    # A heading a hair below 360 may be divided up to one sector too many.
    sector = np.minimum(np.nan_to_num(headings % 360.0) // sector_deg, sectors - 1).astype(np.int64)
    key = np.where(np.isnan(headings), -1, sector)
    table = np.column_stack([zones, cells, key])  # (n, 4)
    order = np.lexsort(table.T[::-1])
    places = np.zeros(len(table), dtype=np.int64)
    places[order[1:]] = np.cumsum((np.diff(table[order], axis=0) != 0).any(1))
    apart = _sectors_apart(sectors)
    turn = np.where(np.isnan(headings), apart, sector % apart)  # all directions together touch every sector
    groups = (cells[:, 0] % CELLS_APART * CELLS_APART + cells[:, 1] % CELLS_APART) * (apart + 1) + turn
    return places, groups


def groups_of_places(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the group of each place, for `PlaceSampler`.

    Args:
        labels: (n,) int64 place of each image, 0 to places-1; -1 for images that are left out.
        groups: (n,) int64 group of each image's place.

    Returns:
        (places,) int64.
    """
    found = np.zeros(labels.max(initial=-1) + 1, dtype=np.int64)
    found[labels[labels >= 0]] = groups[labels >= 0]
    return found


def _sector_count(sector_deg: float) -> int:
    count = round(360.0 / sector_deg) if 0 < sector_deg <= 360 else 0
    if count == 0 or abs(count * sector_deg - 360.0) > 1e-6:
        raise ConfigError(f"data/sector_deg={sector_deg:g} does not divide 360; take 30, 45, 60 or another that does")
    return count


def _sectors_apart(sectors: int) -> int:
    """Return CosPlace's L, or the next number that divides the sectors: with an odd number the last touches the first."""
    return next((apart for apart in range(SECTORS_APART, sectors + 1) if sectors % apart == 0), 1)
