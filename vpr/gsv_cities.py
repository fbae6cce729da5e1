"""Full GSV-Cities, also gsv-cities-light: `Dataframes/<City>.csv` and `Images/<City>/`.

File names as in its loader (Ali-bey et al. 2022, arXiv 2210.10239, github.com/amaralibey/gsv-cities).
"""

import csv
import operator
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vpr.errors import DataError
from vpr.listing import Listing
from vpr.positions import from_degrees
from vpr.tables import TrainTable

COLUMNS = ("place_id", "year", "month", "northdeg", "city_id", "lat", "lon", "panoid")
"""What each table has; other columns, as pandas' own index, are passed over."""


def is_gsv_cities(listing: Listing) -> bool:
    """Tell whether a listing has the folder of GSV-Cities' tables."""
    return "Dataframes" in listing.parts


def read_gsv_cities(listing: Listing) -> TrainTable:
    """Read the tables, each image once, and find the images whatever the case of their suffix.

    Raises:
        DataError: A table cannot be read, or names an image that is not there.
    """
    if lost := [name for name in listing.lost_tables if name.startswith("Dataframes/")]:
        raise DataError(
            f"{listing.folder / lost[0]} {listing.lost_tables[lost[0]]}; take it from GSV-Cities again, or remove it"
        )
    tables = sorted(name for name in listing.tables if name.startswith("Dataframes/") and name.lower().endswith(".csv"))
    if not tables:
        raise DataError(f"{listing.folder / 'Dataframes'} has no .csv file; GSV-Cities has one for each city")
    row_of = {_stem(name): row for row, name in enumerate(listing.names)}
    unusable = {_stem(name) for name in listing.odd}
    images: dict[int, tuple[str, float, float]] = {}
    missing: dict[str, str] = {}
    for table in tables:
        is_empty = True
        for start, place, latitude, longitude, lat, lon, pano in _rows(listing.folder / table):
            is_empty = False
            name = f"{start}_{lat}_{lon}_{pano}"
            row = row_of.get(name)
            if row is None:  # the loader writes the numbers as it has read them: 10.75 for 10.750
                row = row_of.get(f"{start}_{latitude}_{longitude}_{pano}")
            if row is not None:
                images[row] = place, latitude, longitude  # a row that stands twice is one image
            elif name not in unusable:  # images that are not regular files are in the listing's `odd`
                missing[name] = table
        if is_empty:
            raise DataError(f"{listing.folder / table} names no image; take it from GSV-Cities again, or remove it")
    if missing:
        name, table = next(iter(missing.items()))
        raise DataError(
            f"{len(missing)} of {len(images) + len(missing)} images of {listing.folder}/Dataframes are missing, "
            f"first {listing.folder / name}.jpg of {table}; unpack Images again, or remove the city's .csv file"
        )
    rows = sorted(images)
    degrees = np.array([images[row][1:] for row in rows])  # (n, 2)
    places = [images[row][0] for row in rows]
    return TrainTable("GSV-Cities", np.array(rows, dtype=np.int64), places, from_degrees(*degrees.T))


def _stem(name: str) -> str:
    return name[: name.rfind(".")]


Row = tuple[str, str, float, float, str, str, str]
"""Start of the image's path, place, latitude, longitude, both as they are written, and the panorama."""


def _rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a table; raises DataError."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.reader(lines)
            header = next(rows, [])
            absent = [column for column in COLUMNS if column not in header]
            if absent:
                raise DataError(f"{file} has no column {absent[0]}; GSV-Cities has {', '.join(COLUMNS)}")
            fields = operator.itemgetter(*(header.index(column) for column in COLUMNS))
            for row in rows:
                try:
                    if row:
                        yield _row(*fields(row))
                except (ValueError, IndexError, OverflowError) as error:
                    raise DataError(
                        f"{file}, line {rows.line_num}: a field is missing or is not a number ({error}); "
                        "take the file from GSV-Cities again"
                    ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read as a UTF-8 table ({error}); take it from GSV-Cities again") from None


def _row(place: str, year: str, month: str, north: str, city: str, lat: str, lon: str, pano: str) -> Row:
    latitude, longitude = float(lat), float(lon)
    if not (-80 <= latitude <= 84 and -180 <= longitude <= 180):
        raise ValueError(f"lat {lat}, lon {lon} is outside the map of UTM")
    number = f"{_whole(place):07d}"
    when = f"{_whole(year):04d}_{_whole(month):02d}_{_whole(north):03d}"
    return f"Images/{city}/{city}_{number}_{when}", f"{city}/{number}", latitude, longitude, lat, lon, pano


def _whole(text: str) -> int:
    """Return a whole number, also where pandas wrote it as `2018.0`."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
        if number != int(number):
            raise ValueError(f"{text!r} is not a whole number") from None
        return int(number)
