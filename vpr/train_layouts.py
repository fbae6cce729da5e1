"""Readers of training sets, one a layout; the first that recognises a folder reads it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vpr.errors import DataError
from vpr.gsv_cities import is_gsv_cities, read_gsv_cities
from vpr.listing import Listing
from vpr.names import headings, is_place, note, notes_and_positions, positions
from vpr.positions import refuse_degrees
from vpr.spread import Spread
from vpr.tables import TrainTable


class Layout(NamedTuple):
    """How a layout is recognised and read."""

    looks_for: str
    """What is looked for, in words, for the error where no layout fits."""
    is_here: Callable[[Listing], bool]
    read: Callable[[Listing, Spread], TrainTable]


def read_train(listing: Listing, spread: Spread = map) -> TrainTable:
    """Read a training set by the first layout that fits.

    Args:
        listing: What is below the set's folder, from `vpr.discovery.listing_of` or `walk`.
        spread: `map`, or `vpr.spread.spread`.

    Returns:
        The training images; `places` is None if their names say positions alone, for `vpr.cells.classes`.

    Raises:
        DataError: No layout fits, or an image or table has an error.
    """
    for layout in LAYOUTS.values():
        if layout.is_here(listing):
            return layout.read(listing, spread)
    if not listing.names:
        raise DataError(f"{listing.folder} has no .jpg, .jpeg or .png image{listing.left_out()}; check the path")
    looked_for = "; ".join(layout.looks_for for layout in LAYOUTS.values())
    raise DataError(
        f"{listing.folder} is not a training set (no place id in the names); looked for {looked_for}; check the path"
    )


def _has_places(listing: Listing) -> bool:
    return any(is_place(note(name)) for name in listing.names)


def _read_gsv_xs(listing: Listing, spread: Spread) -> TrainTable:
    places, utm = notes_and_positions(listing.names, spread)
    known = {place: is_place(place) for place in set(places)}
    if not all(known.values()):
        first = next(name for name, place in zip(listing.names, places, strict=True) if not known[place])
        raise DataError(
            f"{listing.folder / first} has no place id in its name; GSV-XS writes it as the second-last @ field"
        )
    return TrainTable("GSV-XS", np.arange(len(places)), places, utm)


def _has_positions(listing: Listing) -> bool:
    return any(not np.isnan(positions([name])[0, 0]) for name in listing.names)


def _read_positions(listing: Listing, spread: Spread) -> TrainTable:
    """Read a set whose names say positions and no places: SF-XS train, SF-XL, Pittsburgh, MSLS as formatted."""
    utm = positions(listing.names, spread)
    unknown = np.flatnonzero(np.isnan(utm[:, 0]))
    if len(unknown):
        first = listing.folder / listing.names[unknown[0]]
        raise DataError(f"{first} has no place id in its name, and no position from which to make one; remove it")
    refuse_degrees(utm, listing.folder / listing.names[0])
    return TrainTable("positions", np.arange(len(utm)), None, utm, headings(listing.names))


LAYOUTS = {
    "GSV-Cities": Layout(
        "Dataframes/*.csv with Images/ (GSV-Cities)", is_gsv_cities, lambda listing, _: read_gsv_cities(listing)
    ),
    "GSV-XS": Layout("images named @utm_east@utm_north@...@place@.jpg (GSV-XS)", _has_places, _read_gsv_xs),
    "positions": Layout(
        "images named @utm_east@utm_north@...@heading@...@.jpg (SF-XL, SF-XS)", _has_positions, _read_positions
    ),
}
