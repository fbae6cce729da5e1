"""What the community's file names say: `@utm_east@utm_north@zone@band@lat@lon@pano@tile@heading@...@YYYYMM@note@.jpg`.

Source: README of gmberton/VPR-datasets-downloader. GSV-XS writes the place as the note, `4257_Bangkok`.
"""

import math
import re
from collections.abc import Sequence
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np

from vpr.errors import DataError
from vpr.spread import Spread

HEADING = 9
"""Field with the compass direction of the camera, in degrees."""


def position(path: Path) -> tuple[float, float]:
    """Return east and north in metres of `@utm_east@utm_north@...`; raises DataError for any other name."""
    fields = path.name.split("@")
    try:
        east, north = float(fields[1]), float(fields[2])
        if fields[0] == "" and math.isfinite(east) and math.isfinite(north):
            return east, north
    except (IndexError, ValueError):
        pass
    raise DataError(f"{path} has no coordinates in its name; rename it to @utm_east@utm_north@...@.jpg (metres)")


def positions(names: Sequence[str], spread: Spread = map) -> np.ndarray:
    """Return (N, 3) float64: east and north in metres and the UTM zone of each name (a path with `/`).

    The zone is negative in the south. It is NaN where a name does not say it; all three are NaN where it says no position.

    Args:
        names: N names.
        spread: `map`, or `vpr.spread.spread`.
    """
    chunks = spread(lambda start: _positions(names[start : start + CHUNK]), range(0, len(names), CHUNK))
    return np.concatenate([np.empty((0, 3)), *chunks])


def _positions(names: Sequence[str]) -> np.ndarray:
    fields = [name[name.rfind("/") + 1 :].split("@", 5) for name in names]
    found = np.empty((len(names), 3))
    try:  # column by column, which takes half of the time
        found[:, 0], found[:, 1] = ([float(field[column]) for field in fields] for column in (1, 2))
        found[:, 2] = [_zone(field[3], field[4]) if len(field) > 5 else math.nan for field in fields]
        is_read = bool(np.isfinite(found[:, :2]).all()) and not any(field[0] for field in fields)
    except (IndexError, ValueError):
        is_read = False
    if not is_read:
        found[:] = [_position(field) for field in fields]
    return found


CHUNK = 4096
"""Names that are taken apart at a time: lists that live short cost the garbage collector nothing."""
UNKNOWN = (math.nan, math.nan, math.nan)


def _position(fields: list[str]) -> tuple[float, float, float]:
    try:
        if fields[0] or not (math.isfinite(east := float(fields[1])) and math.isfinite(north := float(fields[2]))):
            return UNKNOWN
    except (IndexError, ValueError):
        return UNKNOWN
    return east, north, _zone(fields[3], fields[4]) if len(fields) > 5 else math.nan


@cache
def _zone(number: str, band: str) -> float:
    """Return the UTM zone, negative in the south; NaN where the fields say none."""
    if not number.isdecimal() or len(band) != 1 or not band.isalpha():
        return math.nan
    return float(number) if band.upper() >= "N" else -float(number)


def note(name: str) -> str:
    """Return the second-last `@` field of a name, which is GSV-XS's place; empty where there is none.

    Only the last part of a path counts, and only if its fields go beyond the heading: `@east@north@my-image@.jpg` has no note.
    """
    own = name[name.rfind("/") + 1 :]
    return own.rsplit("@", 2)[1] if own.count("@") > HEADING + 1 else ""


def notes_and_positions(names: Sequence[str], spread: Spread = map) -> tuple[list[str], np.ndarray]:
    """Return the note of each of N names, and what `positions` returns.

    Args:
        names: N names.
        spread: `map`, or `vpr.spread.spread`.
    """

    def read(start: int) -> tuple[list[str], np.ndarray]:
        chunk = names[start : start + CHUNK]
        return [*map(note, chunk)], _positions(chunk)

    notes, found = zip(([], np.empty((0, 3))), *spread(read, range(0, len(names), CHUNK)), strict=True)
    return [*chain.from_iterable(notes)], np.concatenate(found)


VIEW_NOTE = re.compile(r"(day|night)_[a-z]*_[a-z]+|pitch\d+_yaw\d+")
"""Notes that say how an image was taken, not which place it shows: those of MSLS (`day_forward_cph`) and Pittsburgh."""
YAW_NOTE = re.compile(r"pitch\d+_yaw(\d+)")


def is_place(text: str) -> bool:
    """Tell whether a note names a place."""
    return bool(text) and VIEW_NOTE.fullmatch(text) is None


def headings(names: Sequence[str]) -> np.ndarray:
    """Return (N,) float64 compass directions in degrees from 0 to below 360; NaN for a name that says none.

    Pittsburgh's names say the yaw, 1 to 12, in steps of 30 degrees from a start that is not published.
    """
    return np.array([_heading(name) for name in names], dtype=np.float64) % 360.0


def _heading(name: str) -> float:
    fields = name[name.rfind("/") + 1 :].split("@")
    try:
        if fields[HEADING] and math.isfinite(heading := float(fields[HEADING])):
            return heading
    except (IndexError, ValueError):
        pass
    yaw = YAW_NOTE.fullmatch(note(name))
    return math.nan if yaw is None else 30.0 * (int(yaw[1]) - 1)
