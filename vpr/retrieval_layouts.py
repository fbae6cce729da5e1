"""Readers of sets that are searched, one a layout; the first that recognises a folder reads it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vpr.errors import DataError
from vpr.listed_sets import has_lists, has_vpr_bench, read_lists, read_vpr_bench
from vpr.listing import Listing
from vpr.msls import has_msls, read_msls
from vpr.names import positions
from vpr.positions import refuse_degrees
from vpr.tables import RetrievalTable

DATABASES = ("database", "gallery")
"""What the folder of database images is called; `gallery` in SVOX."""


class Layout(NamedTuple):
    """How a layout is recognised and read."""

    looks_for: str
    """What is looked for, in words, for the error where no layout fits."""
    is_here: Callable[[Listing], bool]
    read: Callable[[Listing], RetrievalTable]


def read_retrieval(listing: Listing) -> RetrievalTable:
    """Read database and queries by the first layout that fits.

    Args:
        listing: What `vpr.discovery.listing_of` found, which has one folder of queries.

    Returns:
        The set; `truth` if it lists the right images, else the positions say them.

    Raises:
        DataError: No layout fits, or an image, table or list has an error.
    """
    for layout in LAYOUTS.values():
        if layout.is_here(listing):
            return layout.read(listing)
    missing = {"database": "queries", "queries": "database"}
    if there := [part for part in missing if part in listing.parts]:
        raise DataError(f"{listing.folder} has {there[0]}/ but no {missing[there[0]]}/; unpack it again")
    looked_for = "; ".join(layout.looks_for for layout in LAYOUTS.values())
    raise DataError(f"{listing.folder} has no database and queries; looked for {looked_for}; check the path")


def is_queries(name: str) -> bool:
    """Tell whether a folder's name is one of queries: `queries`, `queries_sun` (SVOX), `queries_v1` (SF-XL)."""
    return name == "queries" or name.startswith("queries_")


def _has_parts(listing: Listing) -> bool:
    return any(part in DATABASES for part in listing.parts) and any(map(is_queries, listing.parts))


def _read_parts(listing: Listing) -> RetrievalTable:
    """Read the folders of database and queries with positions in the names: SF-XS, SF-XL, SVOX, VPR-datasets-downloader."""
    databases = [part for part in listing.parts if part in DATABASES]
    if len(databases) > 1:
        raise DataError(f"{listing.folder} has database/ and gallery/; move one of them away")
    found = [part for part in listing.parts if is_queries(part)]
    if len(found) > 1 and "queries" not in found:
        raise DataError(f"{listing.folder} has {', '.join(found)}; give one of them, as {listing.folder / found[0]}")
    database = _rows_below(listing, databases[0])
    queries = _rows_below(listing, "queries" if "queries" in found else found[0])
    database_utm, query_utm = _known(listing, database), _known(listing, queries)
    refuse_degrees(np.concatenate([database_utm, query_utm]), listing.folder / listing.names[database[0]])
    return RetrievalTable("database and queries", database, queries, database_utm, query_utm)


def _rows_below(listing: Listing, part: str) -> np.ndarray:
    rows = [row for row, name in enumerate(listing.names) if name.startswith(f"{part}/")]
    if not rows:
        raise DataError(
            f"{listing.folder / part} has no .jpg, .jpeg or .png image{listing.left_out(part + '/')}; check the path"
        )
    return np.array(rows, dtype=np.int64)


def _known(listing: Listing, rows: np.ndarray) -> np.ndarray:
    """Return the positions (n, 3) that the names say; raises DataError where one says none."""
    found = positions([listing.names[row] for row in rows])
    unknown = np.flatnonzero(np.isnan(found[:, 0]))
    if len(unknown):
        first = listing.folder / listing.names[rows[unknown[0]]]
        raise DataError(f"{first} has no coordinates in its name; rename it to @utm_east@utm_north@...@.jpg (metres)")
    return found


LAYOUTS = {
    "lists of images": Layout(
        "*_dbImages.npy, *_qImages.npy and *_gt*.npy (OpenVPRLab, GSV-Cities, SALAD)", has_lists, read_lists
    ),
    "VPR-Bench": Layout("ref/, query/ and ground_truth_new.npy (VPR-Bench)", has_vpr_bench, read_vpr_bench),
    "MSLS": Layout("cities with database/ and query/, each with postprocessed.csv (MSLS)", has_msls, read_msls),
    "database and queries": Layout(
        "database/ or gallery/, and queries/ or queries_*/, with images named @utm_east@utm_north@...@.jpg",
        _has_parts,
        _read_parts,
    ),
}
