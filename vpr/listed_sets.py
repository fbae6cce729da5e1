"""Retrieval sets whose right images are listed: .npy lists of OpenVPRLab, GSV-Cities and SALAD, and VPR-Bench."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from vpr.errors import DataError
from vpr.listing import Listing
from vpr.names import positions
from vpr.npy_lists import read_names, read_npy, read_truth
from vpr.tables import RetrievalTable

DATABASE_ENDS = ("_dbImages.npy", "_ref_image_names.npy")
QUERY_ENDS = ("_qImages.npy", "_query_image_names.npy")
KEPT_ENDS = ("_qIdx.npy",)
"""Which entries of the query list count, as in the MSLS lists of github.com/amaralibey/gsv-cities."""
TRUTH_PARTS = ("_gt", "_ground_truth", "_pIdx")
"""What follows the set's name in the file of right images: `msls_val_gt_25m.npy`."""
VPR_BENCH_TRUTH = "ground_truth_new.npy"


def has_lists(listing: Listing) -> bool:
    """Tell whether a list of database images is directly in the folder."""
    return any("/" not in name and name.endswith(DATABASE_ENDS) for name in listing.tables)


def read_lists(listing: Listing) -> RetrievalTable:
    """Read lists of database and query images and of the right images, whose paths are below the set's folder.

    Raises:
        DataError: A list is missing, names a missing image, or does not fit the others.
    """
    here = sorted(name for name in listing.tables if "/" not in name)
    database_list = _one(listing, [name for name in here if name.endswith(DATABASE_ENDS)], f"*{DATABASE_ENDS[0]}")
    start = next(database_list[: -len(end)] for end in DATABASE_ENDS if database_list.endswith(end))
    query_list = _one(listing, [name for name in here if name in _ends(start, QUERY_ENDS)], start + QUERY_ENDS[0])
    truths = [name for name in here if name.startswith(tuple(_ends(start, TRUTH_PARTS)))]
    truth_list = _one(listing, truths, f"{start}_gt.npy")
    database, queries = read_names(listing.folder / database_list), read_names(listing.folder / query_list)
    for kept in (name for name in here if name in _ends(start, KEPT_ENDS)):
        queries = _kept(listing.folder / kept, queries)
    truth = read_truth(listing.folder / truth_list, len(queries), len(database))
    rows = _rows(listing, database, database_list), _rows(listing, queries, query_list)
    return _table("lists of images", listing, *rows, truth)


def _ends(start: str, ends: tuple[str, ...]) -> list[str]:
    return [start + end for end in ends]


def _one(listing: Listing, names: list[str], wanted: str) -> str:
    if len(names) != 1:
        found = f"several ({', '.join(names)}); keep one" if names else "none; add it"
        raise DataError(f"{listing.folder} needs one list {wanted} and has {found}")
    return names[0]


def _kept(file: Path, queries: list[str]) -> list[str]:
    numbers = read_npy(file).ravel()
    if numbers.dtype.kind not in "iu" or not set(numbers.tolist()) <= set(range(len(queries))):
        raise DataError(f"{file} holds numbers outside 0 to {len(queries) - 1}; it belongs to other images")
    return [queries[number] for number in numbers]


def has_vpr_bench(listing: Listing) -> bool:
    """Tell whether a listing has VPR-Bench's two folders and ground truth."""
    return {"ref", "query"} <= set(listing.parts) and VPR_BENCH_TRUTH in listing.tables


def read_vpr_bench(listing: Listing) -> RetrievalTable:
    """Read `ref/`, `query/` and `ground_truth_new.npy` of VPR-Bench (Zaffar et al. 2021, arXiv 2005.08135).

    The ground truth counts the images of a folder in the order of their numbers: `2.jpg` is before `10.jpg`.
    """
    database, queries = (_numbered(listing, f"{part}/") for part in ("ref", "query"))
    truth = read_truth(listing.folder / VPR_BENCH_TRUTH, len(queries), len(database), with_query=True)
    rows = _rows(listing, database, "ref"), _rows(listing, queries, "query")
    return _table("VPR-Bench", listing, *rows, truth)


def _numbered(listing: Listing, part: str) -> list[str]:
    """Return the images of a folder in the order of their numbers, those that cannot be opened included."""
    names = sorted(name for name in [*listing.names, *listing.odd] if name.startswith(part))
    stems = [name[len(part) : name.rfind(".")] for name in names]
    if not all(stem.isdecimal() for stem in stems):
        return names
    ordered = sorted(zip(map(int, stems), names, strict=True))
    for (before, _), (number, _) in pairwise(ordered):
        if number != before + 1:
            fault = f"has two images {number}" if number == before else f"has no image {before + 1}"
            raise DataError(
                f"{listing.folder / part} {fault}, and {VPR_BENCH_TRUTH} counts all images in order; unpack it again"
            )
    return [name for _, name in ordered]


def _rows(listing: Listing, names: list[str], source: str) -> np.ndarray:
    """Return the listing's row of each name, -1 for one that is not a regular file; raises DataError for missing ones."""
    row_of = {name: row for row, name in enumerate(listing.names)}
    rows = [row_of.get(name, -1) for name in names]
    missing = [name for name, row in zip(names, rows, strict=True) if row < 0 and name not in listing.odd]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(names)} images of {listing.folder / source} are missing, "
            f"first {listing.folder / missing[0]}; put the images below {listing.folder}"
        )
    return np.array(rows, dtype=np.int64)


def _table(
    layout: str, listing: Listing, database: np.ndarray, queries: np.ndarray, truth: list[np.ndarray]
) -> RetrievalTable:
    """Return the set without the images that are not regular files, with the truth's indices moved accordingly."""
    if not (database >= 0).any() or not (queries >= 0).any():
        raise DataError(f"{listing.folder} has no image in its database or in its queries; check the path")
    index_of = np.where(database >= 0, np.cumsum(database >= 0) - 1, -1)
    kept = [index_of[right] for right, row in zip(truth, queries, strict=True) if row >= 0]
    database, queries = database[database >= 0], queries[queries >= 0]
    database_utm, query_utm = (positions([listing.names[row] for row in rows]) for rows in (database, queries))
    truth = [right[right >= 0] for right in kept]
    return RetrievalTable(layout, database, queries, database_utm, query_utm, truth)
