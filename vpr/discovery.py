"""Where sets are below a folder, what they are called, and what to give instead of a folder that is not one."""

from itertools import islice
from pathlib import Path

from vpr.errors import DataError
from vpr.folder_facts import (
    databases,
    first_image,
    folders_below,
    is_gsv_cities_folder,
    is_queries_folder,
    is_retrieval,
    queries,
    retrieval_sets,
    subfolders,
)
from vpr.listing import Listing, is_folder_at
from vpr.msls import VAL_CITIES, is_city
from vpr.names import is_place, note
from vpr.spread import Spread
from vpr.walking import walk

GSV_CITIES_FOLDERS = ("gsv_xs", "gsv_cities", "gsv-cities", "gsv-cities-light")
TEST_SETS = ("sf_xs/test", "tokyo_xs/test")
VAL_SET = "sf_xs/val"
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".7z")
NAMELESS = frozenset({"images", "processed"})
"""Folders between a set and its parts that say nothing: `pitts30k/images/test`, `sf_xl/processed/val`."""


def listing_of(folder: Path, spread: Spread = map) -> Listing:
    """List what a set needs, for training or retrieval.

    A set of queries (`svox/images/test/queries_sun`) is listed with the database beside it, from the folder above.
    MSLS is listed as its two cities of val.

    Args:
        folder: Folder of a set, or of queries.
        spread: As for `vpr.walking.walk`.

    Returns:
        The listing, for `read_train` or `read_retrieval`.

    Raises:
        DataError: The folder is missing or unreadable, or lacks a part of its set.
    """
    here = absolute(folder)
    if is_queries_folder(here):
        return walk(here.parent, (*databases(here.parent), here.name), spread)
    if is_gsv_cities_folder(folder):
        return walk(folder, ("Dataframes", "Images"), spread)
    parts = queries(folder) if databases(folder) else []
    if parts:
        return walk(folder, (*databases(folder), *(["queries"] if "queries" in parts else parts)), spread)
    for msls in (folder, folder / "train_val"):
        missing = [city for city in VAL_CITIES if not is_city(msls / city)]
        if not missing:
            return walk(msls, VAL_CITIES, spread)
        if len(missing) < len(VAL_CITIES):
            raise DataError(
                f"{msls} has no {missing[0]}, but val of MSLS is {' and '.join(VAL_CITIES)}; "
                "unpack it, or give one city's folder"
            )
    return walk(folder, spread=spread)


def set_name(folder: Path) -> str:
    """Return the name by which a set is reported: its last two folders, `sf_xs/val`.

    `images` and `processed` are passed over (`pitts30k/test`), and a queries folder follows the name of its set
    (`svox/test/queries_sun`).
    """
    whole = resolved(folder)
    if is_queries_folder(whole):
        return set_name(whole.parent) + ("" if whole.name == "queries" else f"/{whole.name}")
    parts = whole.parts
    if len(parts) > 3 and parts[-2] in NAMELESS:
        parts = (parts[-3], parts[-1])
    return "/".join(parts[-2:])


def expand_test(name: str, folder: Path) -> dict[str, Path]:
    """Return the sets of a folder, one for each folder of queries (SVOX, SF-XL).

    Args:
        name: Name of the folder's set; `queries` keeps this name, `queries_sun` becomes `NAME/queries_sun`.
        folder: Folder of a set, or of queries.

    Returns:
        Folder of each set by its name, for `listing_of`.
    """
    parts = queries(folder) if databases(folder) else []
    if len(parts) < 2:
        return {name: folder}
    return {
        name if part == "queries" else f"{name}/{part}": folder if part == "queries" else folder / part
        for part in parts
    }


def find_train(root: Path) -> Path:
    """Return the training set below `root`; raises DataError with what to give instead if there is none."""
    found = _train_of(root)
    if found is not None:
        return found
    if is_gsv_cities_folder(root):
        return root
    if not is_folder_at(root):
        raise DataError(f"{root} is not a folder; give --data the folder that holds gsv_xs, sf_xs and tokyo_xs")
    for above in absolute(root).parents[:2]:
        if _train_of(above) is not None:
            raise DataError(f"{root} is one of the sets, or a part of one; give --data {above}, which holds the sets")
    for below in folders_below(root, 2):
        deeper = _train_of(below)
        if deeper is not None and _val_of(below) is not None:
            raise DataError(f"{root} has its sets one folder too deep; give --data {below}")
        if deeper is not None:
            raise DataError(f"{root} has its training set one folder too deep; give --train {deeper}, or move it up")
    _refuse_other_form(root, "gsv_xs/train")
    if is_folder_at(root / "train"):
        raise DataError(f"{root} has no gsv_xs/train folder, but train; give --train {root / 'train'}")
    raise DataError(
        f"{root} has no gsv_xs/train folder (or GSV-Cities' Dataframes and Images); add it, or give --train"
    )


def _refuse_other_form(root: Path, name: str) -> None:
    """Refuse a set that is not where it is looked for, but one folder too deep, or in its archive."""
    folder = root / name.split("/")[0]
    if _below(folder, name) is not None:
        raise DataError(f"{folder} holds the set one folder too deep; move what is in {folder / folder.name} up")
    if not is_folder_at(folder):
        archives = (folder.with_name(folder.name + ending) for ending in ARCHIVES)
        if archive := next((path for path in archives if path.is_file()), None):
            raise DataError(f"{archive} is not unpacked; unpack it, so that {root / name} is there, or move it away")


def _train_of(root: Path) -> Path | None:
    """Return the training set directly below `root`, None if there is none."""
    if is_folder_at(root / "gsv_xs/train"):
        return root / "gsv_xs/train"
    if _has_places(root / "gsv_xs"):
        return root / "gsv_xs"
    return next((root / name for name in GSV_CITIES_FOLDERS if is_gsv_cities_folder(root / name)), None)


def find_val(root: Path) -> Path:
    """Return SF-XS val below `root`; raises DataError that lists other retrieval sets if there is none."""
    found = _val_of(root)
    if found is not None:
        return found
    _refuse_other_form(root, VAL_SET)
    # Sets called test are passed over: who chooses on a test set has none left to report.
    near = (
        each for each in retrieval_sets(root) if each.name not in ("train", "test") and "test" not in each.parent.name
    )
    listed = [str(each) for each in islice(near, 5)]
    if not listed:
        raise DataError(f"{root} has no sf_xs/val folder; add it, or give --val")
    raise DataError(f"{root} has no sf_xs/val folder; give --val a set that is there: {', '.join(listed)}")


def _val_of(root: Path) -> Path | None:
    return _below(root, VAL_SET)


def _below(root: Path, name: str) -> Path | None:
    """Return the folder of a set, as `sf_xs/val` or as `sf_xs/images/val`."""
    whole, part = name.split("/")
    return next((each for each in (root / name, root / whole / "images" / part) if is_folder_at(each)), None)


def find_tests(root: Path) -> dict[str, Path]:
    """Return the test sets that are below `root`, SF-XS and Tokyo-XS, by name; raises DataError for one that is not unpacked in its place."""
    found = {name: _below(root, name) for name in TEST_SETS}
    for name in (name for name, folder in found.items() if folder is None):
        _refuse_other_form(root, name)
    return {name: folder for name, folder in found.items() if folder is not None}


def check_train(folder: Path) -> None:
    """Refuse a folder that is a set of another kind, or that holds other sets beside the training set.

    A folder with database/ and queries/ is taken if it is called `train`, as those of VPR-datasets-downloader.

    Args:
        folder: What `--train` gives.

    Raises:
        DataError: Says what the folder is and which to give instead.
    """
    if is_gsv_cities_folder(folder):
        return
    here = absolute(folder)
    if is_retrieval(here) and "train" not in here.name.casefold():
        raise DataError(
            f"{folder} has a database and queries, as val and test sets have; give it with --val or --test "
            "(or call the folder train, to train on its positions)"
        )
    trains = (here / part for part in ("train", "images/train", "processed/train"))
    inside = _train_of(here) or next((train for train in trains if is_folder_at(train)), None)
    # A folder that holds the training set alone may be given: its images are those of the set.
    if inside is not None and any(len(subfolders(each)) > 1 for each in (here, inside.parent)):
        raise DataError(f"{folder} has other folders beside the training set; give --train {inside}")


def check_val(folder: Path) -> None:
    """Refuse a folder that is a training set, or one that is above a val set.

    Args:
        folder: What `--val` or `--test` gives.

    Raises:
        DataError: Says what the folder is and which to give instead.
    """
    here = absolute(folder)
    if is_retrieval(here):
        return
    if is_gsv_cities_folder(folder):
        raise DataError(f"{folder} is GSV-Cities, a training set; give it with --train, and another folder with --val")
    parts = (f"{above}{part}" for part in ("val", "test") for above in ("", "images/", "processed/"))
    deeper = _val_of(folder) or next((folder / part for part in parts if is_retrieval(here / part)), None)
    if deeper is not None:
        raise DataError(f"{folder} is above the set; give {deeper}")
    if _has_places(here, depth=2):
        raise DataError(
            f"{folder} has images with a place in their names: a training set, as GSV-XS; give it with --train, "
            "and with --val a folder that has database/ and queries/"
        )


def _has_places(folder: Path, depth: int = 1) -> bool:
    """Tell whether a folder, or one down to `depth` levels below, has images as GSV-XS names them."""
    image = first_image(folder, depth)
    return image is not None and is_place(note(image.name))


def absolute(folder: Path) -> Path:
    """Return the whole path, in which `.` has a name and a link keeps its own."""
    return resolved(folder) if ".." in folder.parts else folder.absolute()


def resolved(folder: Path) -> Path:
    """Return the whole path without links; raises DataError for a link that leads to itself."""
    try:
        return folder.resolve()
    except (RuntimeError, OSError):  # RuntimeError until Python 3.12
        raise DataError(f"{folder} is a link that leads to itself; give the folder that it was meant for") from None
