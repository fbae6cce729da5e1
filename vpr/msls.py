"""Mapillary Street-level Sequences as downloaded: `train_val/<city>/{database,query}/images/KEY.jpg` and .csv tables.

Source: Warburg et al. 2020 and github.com/mapillary/mapillary_sls: val is the cities `cph` and `sf`, panoramas are left
out, and so are images that subtask_index.csv does not count among `all`.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import utm

from vpr.errors import DataError
from vpr.listing import Listing
from vpr.tables import RetrievalTable

VAL_CITIES = ("cph", "sf")
PARTS = ("database", "query")
CITY_APART_M = 1e8
"""Metres added to `east` for each city after the first: each city has UTM coordinates of a zone of its own, and without
this, images of two cities could be within metres of each other."""


def is_city(folder: Path) -> bool:
    """Tell whether a folder is a city of MSLS."""
    return all(os.path.isfile(folder / part / "postprocessed.csv") for part in PARTS)  # noqa: PTH113 - as in `is_folder_at`


def has_msls(listing: Listing) -> bool:
    """Tell whether a listing is a city of MSLS, or has cities below it."""
    return any(name.endswith("query/postprocessed.csv") and name.count("/") <= 2 for name in listing.tables)


def read_msls(listing: Listing) -> RetrievalTable:
    """Read one city, or all cities of the listing.

    `CITY_APART_M` keeps the cities apart in `east`; the zone is from the degrees of raw.csv.

    Raises:
        DataError: A table cannot be read, or an image has no position or is missing.
    """
    end = "query/postprocessed.csv"
    cities = sorted(name[: -len(end)] for name in listing.tables if name.endswith(end) and name.count("/") <= 2)
    rows: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    where: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    row_of = {name: row for row, name in enumerate(listing.names)}
    for number, city in enumerate(cities):
        for part in PARTS:
            names, found = _read_part(listing, f"{city}{part}", row_of)
            found[:, 0] += number * CITY_APART_M
            rows[part].append(np.array([row_of[name] for name in names], dtype=np.int64))
            where[part].append(found)
    database, queries = (np.concatenate(rows[part]) for part in PARTS)
    if not len(database) or not len(queries):
        raise DataError(f"{listing.folder} has no image in database/ or in query/; unpack all volumes of MSLS")
    database_utm, query_utm = (np.concatenate(where[part]) for part in PARTS)
    return RetrievalTable("MSLS", database, queries, database_utm, query_utm)


def _read_part(listing: Listing, part: str, row_of: dict[str, int]) -> tuple[list[str], np.ndarray]:
    """Return names (n,) and positions (n, 3) of a city's database or queries, in the order of the listing."""
    folder = listing.folder / part
    if f"{part}/postprocessed.csv" not in listing.tables:
        raise DataError(f"{folder} has no postprocessed.csv; unpack MSLS' metadata, whose cities of test have none")
    if f"{part}/raw.csv" not in listing.tables:
        raise DataError(f"{folder} has no raw.csv, which says what is a panorama; unpack MSLS' metadata again")
    left_out, zone = _left_out(folder, part, listing), _zone(folder / "raw.csv")
    table: dict[str, tuple[float, float, float]] = {}
    for key, east, north in _columns(folder / "postprocessed.csv", "key", "easting", "northing"):
        if key not in left_out:
            table[f"{part}/images/{key}.jpg"] = (*_metres(folder, key, east, north), zone)
    missing = [name for name in table if name not in row_of and name not in listing.odd]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(table)} images of {folder / 'postprocessed.csv'} are missing, "
            f"first {listing.folder / missing[0]}; unpack all volumes of MSLS"
        )
    names = sorted((name for name in table if name in row_of), key=row_of.__getitem__)
    return names, np.array([table[name] for name in names], dtype=np.float64).reshape(-1, 3)


def _left_out(folder: Path, part: str, listing: Listing) -> set[str]:
    """Return the keys of panoramas, and of images outside the task `all` where there is a table of tasks."""
    keys = {key for key, pano in _columns(folder / "raw.csv", "key", "pano") if pano == "True"}
    if f"{part}/subtask_index.csv" in listing.tables:
        keys |= {key for key, counts in _columns(folder / "subtask_index.csv", "key", "all") if counts == "False"}
    return keys


def _zone(file: Path) -> float:
    """Return the UTM zone of a table's first image, negative in the south; NaN for an empty table."""
    first = next(_columns(file, "lat", "lon"), None)
    if first is None:
        return np.nan
    try:
        latitude, longitude = map(float, first)
    except ValueError:
        raise DataError(f"{file}: {', '.join(first)} is not a position in degrees; take it from MSLS again") from None
    zone = float(utm.latlon_to_zone_number(latitude, longitude))
    return zone if latitude >= 0 else -zone


def _metres(folder: Path, key: str, east: str, north: str) -> tuple[float, float]:
    try:
        pair = float(east), float(north)
    except ValueError:
        pair = np.nan, np.nan
    if not np.isfinite(pair).all():
        raise DataError(f"{folder / 'postprocessed.csv'}: {key} has no position; take the file from MSLS again")
    return pair


def _columns(file: Path, *columns: str) -> Iterator[tuple[str, ...]]:
    """Yield some columns of a table, row by row. Raises DataError for a column that is missing."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            absent = [column for column in columns if column not in header]
            if absent:
                raise DataError(f"{file} has no column {absent[0]}; take the file from MSLS again")
            at = [header.index(column) for column in columns]
            for row in rows:
                if len(row) > max(at):
                    yield tuple(row[column] for column in at)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read as a UTF-8 table ({error}); take it from MSLS again") from None
