"""What a folder is, from a look at its subfolders: no image is listed, so that it takes no time."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from vpr.listed_sets import DATABASE_ENDS
from vpr.listing import IMAGE_SUFFIXES, SYSTEM_FOLDERS, is_folder, is_folder_at
from vpr.msls import VAL_CITIES, is_city
from vpr.retrieval_layouts import DATABASES, is_queries

LOOKED_AT = 2000
"""Entries of a folder that are looked at in search of subfolders: a folder of images has none."""


def databases(folder: Path) -> list[str]:
    """Return the names of the folders of database images."""
    return [part for part in DATABASES if is_folder_at(folder / part)]


def queries(folder: Path) -> list[str]:
    """Return the names of the folders of queries, sorted."""
    return [name for name in subfolders(folder) if is_queries(name)]


def subfolders(folder: Path, looked_at: int | None = None) -> list[str]:
    """Return the names of the folders directly below, sorted, without hidden ones and those of the system.

    Args:
        folder: Folder to look into; one that cannot be read has none.
        looked_at: Number of entries after which to stop; None looks at all.
    """
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in islice(entries, looked_at) if is_folder(entry)]
    except OSError:
        return []
    return sorted(name for name in found if name[0] != "." and name not in SYSTEM_FOLDERS)


def folders_below(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders down to `depth` levels below, nearest first, but none inside a retrieval set."""
    level = [folder]
    for _ in range(depth):
        level = [above / name for above in level if not is_retrieval(above) for name in subfolders(above, LOOKED_AT)]
        yield from level


def first_image(folder: Path, depth: int) -> Path | None:
    """Return an image in `folder` or down to `depth` levels below; None if there is none among the first entries."""
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, LOOKED_AT):
                if entry.name[0] != "." and Path(entry.name).suffix.lower() in IMAGE_SUFFIXES and entry.is_file():
                    return Path(entry.path)
    except OSError:
        return None
    below = (first_image(folder / name, depth - 1) for name in subfolders(folder, LOOKED_AT)) if depth else iter(())
    return next((image for image in below if image is not None), None)


def is_gsv_cities_folder(folder: Path) -> bool:
    """Tell whether a folder is full GSV-Cities."""
    return is_folder_at(folder / "Dataframes") and is_folder_at(folder / "Images")


def is_queries_folder(folder: Path) -> bool:
    """Tell whether a folder holds queries and has a database beside it."""
    return is_queries(folder.name) and is_folder_at(folder) and bool(databases(folder.parent))


def is_retrieval(folder: Path) -> bool:
    """Tell whether a folder is a set with a database and queries, in any layout."""
    if is_queries_folder(folder) or (databases(folder) and queries(folder)) or is_city(folder):
        return True
    if is_folder_at(folder / "ref") and is_folder_at(folder / "query"):
        return True
    if any(is_city(above / city) for above in (folder, folder / "train_val") for city in VAL_CITIES):
        return True
    return any(any(folder.glob(f"*{end}")) for end in DATABASE_ENDS)


def retrieval_sets(folder: Path) -> Iterator[Path]:
    """Yield the retrieval sets down to four levels below a folder, nearest first."""
    return filter(is_retrieval, folders_below(folder, 4))
