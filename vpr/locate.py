"""Where was this picture taken? `python -m vpr.locate EXPORT --database FOLDER --query IMAGE`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
import utm

from vpr import cli
from vpr.datasets import find_images, position
from vpr.describe import describe_files, read_descriptors
from vpr.errors import ConfigError, DataError

SAME = 0.05
"""Distance up to which two descriptors of a picture are the same: devices round differently."""


@dataclass(frozen=True)
class LocateSettings:
    """Print the pictures of a database that look most like a query, and where they were taken."""

    model: Annotated[str, tyro.conf.Positional]
    """Folder of an export, a training's folder, a checkpoint file, or the address of a registered model."""
    query: Path
    """The picture in question."""
    database: Path | None = None
    """Folder with pictures of known places."""
    descriptors: Path | None = None
    """Instead of --database: descriptors of these pictures, as vpr.describe wrote them with the same model."""
    top: int = 5
    """Pictures to show."""
    out: Path | None = None
    """Picture to write of the query and what was found (.jpg or .png)."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True)
class Match:
    """A picture of the database."""

    path: Path
    distance: float
    """L2 between the descriptors, 0 to 2."""
    utm: tuple[float, float] | None
    """East and north in metres, where its name says them."""
    degrees: tuple[float, float] | None
    """WGS84 latitude and longitude, where its name says the UTM zone."""
    away_m: float | None
    """Metres to the query, where both names say a position."""
    is_right: bool | None
    """Within the radius; None where that is not known."""


def main(settings: LocateSettings) -> int:
    if (settings.database is None) == (settings.descriptors is None):
        raise ConfigError("give --database FOLDER or --descriptors FILE, one of the two")
    if settings.top < 1:
        raise ConfigError(f"--top {settings.top} must be 1 or more")
    if settings.out and settings.out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise ConfigError(f"--out {settings.out} is no .jpg or .png file")
    if not settings.query.is_file():
        raise DataError(f"--query {settings.query} is no file; give a picture")
    from vpr.addresses import load_any
    from vpr.precision import pick_device

    device = pick_device(settings.device)
    model, config = load_any(settings.model)
    model, size = model.to(device), config.data.image_size
    query = describe_files(model, [settings.query], size, device)
    if settings.descriptors:
        descriptors, paths = read_descriptors(settings.descriptors)
        if descriptors.shape[1] != model.dim:
            raise DataError(
                f"{settings.descriptors} holds descriptors of {descriptors.shape[1]} numbers, the model gives {model.dim}; write it with this model"
            )
        first = next((row for row, path in enumerate(paths) if path.is_file()), None)
        if first is not None:  # else its pictures lie on another machine
            again = describe_files(model, [paths[first]], size, device)[0]
            if np.linalg.norm(again - descriptors[first]) > SAME:
                raise DataError(
                    f"{settings.descriptors} is of another model, or {paths[first]} is another picture now; write it with this model"
                )
    else:
        assert settings.database
        paths = list(find_images(settings.database))
        descriptors = describe_files(model, paths, size, device)
    found = matches(settings.query, query, paths, descriptors, settings.top, config.data.positive_radius_m)
    print(f"query     {settings.query}  {_place(*_known(settings.query))}")
    for rank, match in enumerate(found, start=1):
        print(f"{rank:<9} {match.path}\n          {caption(match)}")
    if settings.out:
        from vpr.board import draw

        draw(settings.out, settings.query, found)
        print(f"picture   {settings.out}")
    return 0


def matches(
    query_path: Path, query: np.ndarray, paths: list[Path], descriptors: np.ndarray, top: int, radius_m: float
) -> list[Match]:
    """The `top` nearest, nearest first. query: (1, D); descriptors: (N, D) of `paths`; radius_m: what counts as right."""
    from vpr.recall import rank

    here, _ = _known(query_path)
    found = []
    for row in rank(descriptors, query, top)[0]:
        there, degrees = _known(paths[row])
        away = math.dist(here, there) if here and there else None
        distance = float(np.linalg.norm(descriptors[row] - query[0]))
        found.append(Match(paths[row], distance, there, degrees, away, None if away is None else away <= radius_m))
    return found


def caption(match: Match) -> str:
    """One line: distance of the descriptors, where it was taken, and how far that is from the query."""
    verdict = {True: "right", False: "wrong", None: ""}[match.is_right]
    away = "" if match.away_m is None else f"{match.away_m:.1f} m away"
    parts = (f"distance {match.distance:.3f}", _place(match.utm, match.degrees), away, verdict)
    return "  ".join(part for part in parts if part)


def _place(metres: tuple[float, float] | None, degrees: tuple[float, float] | None) -> str:
    if metres is None:
        return "position not known"
    text = f"UTM {metres[0]:.2f} E {metres[1]:.2f} N"
    return text if degrees is None else f"{text}  {degrees[0]:.5f}, {degrees[1]:.5f}"


def _known(path: Path) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Metres (east, north) and WGS84 degrees (latitude, longitude), as far as a name says them."""
    try:
        east, north = position(path)
    except DataError:
        return None, None
    fields = path.name.split("@")
    try:
        latitude, longitude = utm.to_latlon(east, north, int(fields[3]), fields[4])
    except (IndexError, ValueError, utm.OutOfRangeError):
        return (east, north), None
    return (east, north), (float(latitude), float(longitude))


if __name__ == "__main__":
    cli.run(main, LocateSettings, "python -m vpr.locate")
