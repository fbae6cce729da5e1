"""The walk of a folder: each file is asked of the system once."""

import errno
import os
import stat
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vpr.errors import DataError
from vpr.listing import FOREIGN_SUFFIXES, IMAGE_SUFFIXES, SYSTEM_FOLDERS, TABLE_SUFFIXES, Listing, is_folder_at
from vpr.spread import Spread

OTHER_SUFFIXES = frozenset(
    {".txt", ".md", ".json", ".yaml", ".yml", ".html", ".pdf", ".log", ".py", ".ipynb", ".mat", ".h5", ".pt", ".pth"}
    | {".pkl", ".zip", ".tar", ".gz", ".tgz", ".7z"}
)
"""Files whose absence hurts no set."""
USUAL = frozenset({".jpg", ".png", ".JPG"})
"""Last four characters of nearly all images."""
MANY = 65_536
"""Images of one folder above which several processes ask for them."""
TASK = 4096
"""Files that one of them asks for before it takes others."""
TASKS = 64
"""Parts into which the folders of a level are divided: to hand over each small folder would take longer than to list it."""
S_IFMT = 0o170000
"""Bits of a file's mode that say what it is (`stat.S_IFMT` takes no array)."""
MAX_INT64 = 2**63 - 1
"""Network file systems (GlusterFS, CephFS) number files up to 2**64 - 1, and a broken clock dates them after 2262: no int64 holds these."""
FACTS: Callable[[os.stat_result], tuple[int, ...]] = attrgetter("st_mode", "st_size", "st_mtime_ns", "st_dev", "st_ino")
KINDS = {
    stat.S_IFIFO: "is a named pipe, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
}


class Look(NamedTuple):
    """What a folder holds, sorted."""

    images: list[str]
    """N names with an image's suffix; some may be folders."""
    others: list[str]
    facts: np.ndarray | None
    """(N, 5) int64, what `_ask` returns; None if N is more than `MANY`."""


class Piece(NamedTuple):
    """Images of a folder with no other folder's between them."""

    key: tuple[str, ...]
    """By which pieces are sorted: the parts of the path of the first."""
    prefix: str
    """Path of their folder below the listed one, with a `/` at the end."""
    names: list[str]
    facts: np.ndarray


Reached = set[tuple[int, int]]
"""Device and number of the folders that were reached."""


def walk(folder: Path, only: tuple[str, ...] = (), spread: Spread = map) -> Listing:
    """List the images and tables below `folder`, links followed, each folder once, by the shortest path to it.

    Args:
        folder: Folder to list.
        only: Names directly below `folder` to look at, files or folders; empty: all.
        spread: `map`, or `vpr.spread.spread`.

    Raises:
        DataError: `folder` is not a folder, or a folder below it cannot be read.
    """
    if not is_folder_at(folder):
        raise DataError(
            f"{folder} is not a folder; the layout is database/ and queries/ below each set, or gsv_xs/train"
        )
    found, reached = Listing(folder), {_number(folder.stat())}
    pieces: list[Piece] = []
    level = [""]
    while level:
        step = -(-len(level) // TASKS)
        blocks = [level[begin : begin + step] for begin in range(0, len(level), step)]
        looks = chain.from_iterable(spread(partial(_look, folder, only), blocks))
        level = [
            f"{prefix}{name}/"
            for prefix, look in zip(level, looks, strict=True)
            for name in _add(prefix, look, found, reached, pieces, spread)
        ]
    pieces.sort(key=itemgetter(0))
    found.names = [piece.prefix + name for piece in pieces for name in piece.names]
    found.facts = np.concatenate([np.zeros((0, 4), np.int64), *(piece.facts for piece in pieces)])
    found.parts.sort()
    return found


def _look(folder: Path, only: tuple[str, ...], prefixes: list[str]) -> list[Look]:
    return [_look_at(folder, only, prefix) for prefix in prefixes]


def _look_at(folder: Path, only: tuple[str, ...], prefix: str) -> Look:
    path = str(folder / prefix)
    names = [name for name in _names(path) if prefix or not only or name in only]
    # Of half a million names only those that need it are looked at closely.
    rare = [name for name in names if name[-4:] not in USUAL or name[0] == "."]
    others = [name for name in rare if name[0] == "." or _suffix(name) not in IMAGE_SUFFIXES]
    left_out = set(others)
    images = [name for name in names if name not in left_out]
    return Look(images, others, _ask(path, images) if len(images) <= MANY else None)


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - of half a million names no Path is made
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read ({error.strerror}); give yourself the right to, or move it away")


def _add(prefix: str, look: Look, found: Listing, reached: Reached, pieces: list[Piece], spread: Spread) -> list[str]:
    """Add what a folder holds to `found` and `pieces`; return the names of the folders below it to enter."""
    path = str(found.folder / prefix)
    names, facts = look.images, look.facts
    if facts is None:
        tasks = (names[begin : begin + TASK] for begin in range(0, len(names), TASK))
        facts = np.concatenate(list(spread(partial(_ask, path), tasks)))
    below = []
    for name in look.others:
        if name[0] == "." or name in SYSTEM_FOLDERS:
            found.ignored.append(prefix + name)
        elif _is_entered(path, prefix, name, found, reached):
            below.append(name)
    is_image = (facts[:, 0] & S_IFMT == stat.S_IFREG) & (facts[:, 0] >= 0) & (facts[:, 1] > 0)
    for row in np.flatnonzero(~is_image).tolist():
        mode, _, _, *number = facts[row].tolist()
        if mode >= 0 and mode & S_IFMT == stat.S_IFDIR:
            if _is_new(prefix, names[row], (number[0], number[1]), found, reached):
                below.append(names[row])
        else:
            found.odd[prefix + names[row]] = _why(-mode) if mode < 0 else KINDS.get(mode & S_IFMT, "is empty")
    if not is_image.all():
        names, facts = [names[row] for row in np.flatnonzero(is_image).tolist()], facts[is_image]
    below.sort()
    ends = [*(bisect_left(names, name) for name in below), len(names)]
    for begin, end in zip([0, *ends], ends, strict=False):
        if begin < end:
            key = (*prefix.split("/")[:-1], names[begin])
            pieces.append(Piece(key, prefix, names[begin:end], facts[begin:end, 1:]))
    return below


def _is_entered(path: str, prefix: str, name: str, found: Listing, reached: Reached) -> bool:
    """Tell whether a name without an image's suffix is a folder to enter; anything else is added to `found`."""
    is_table = _suffix(name) in TABLE_SUFFIXES
    try:
        own = os.stat(f"{path}/{name}")  # noqa: PTH116 - as above
    except OSError as error:
        if is_table:
            found.lost_tables[prefix + name] = _why(error.errno)
        elif _suffix(name) not in OTHER_SUFFIXES:  # it may have been a link to a folder, whose images are missed
            found.odd[prefix + name] = _why(error.errno)
        return False
    kind = stat.S_IFMT(own.st_mode)
    if kind == stat.S_IFDIR:
        return _is_new(prefix, name, _number(own), found, reached)
    if is_table and kind == stat.S_IFREG:
        found.tables[prefix + name] = (own.st_size, own.st_mtime_ns)
    elif is_table:
        found.lost_tables[prefix + name] = KINDS.get(kind, "is not a file")
    elif _suffix(name) in FOREIGN_SUFFIXES and kind == stat.S_IFREG:
        found.foreign.append(prefix + name)
    return False


def _is_new(prefix: str, name: str, number: tuple[int, int], found: Listing, reached: Reached) -> bool:
    """Tell whether a folder was not reached before, and note it."""
    if not prefix:
        found.parts.append(name)
    is_new = number not in reached
    reached.add(number)
    if not is_new:
        found.repeated.append(prefix + name)
    return is_new


def _why(error: int | None) -> str:
    return "is a broken link" if error in (errno.ENOENT, errno.ELOOP) else os.strerror(error or errno.EIO)


def _number(own: os.stat_result) -> tuple[int, int]:
    """Return device and number of a file or folder."""
    return own.st_dev & MAX_INT64, own.st_ino & MAX_INT64


def _suffix(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _ask(path: str, names: list[str]) -> np.ndarray:
    """Return (N, 5) int64 for N files of a folder: mode and the four of `Listing.facts`. The mode is -errno if a file cannot be asked for."""
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)  # a name in an open folder is found faster than a path
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        facts = [_ask_file(name, folder) for name in names]
    finally:
        os.close(folder)
    try:
        return np.fromiter(chain.from_iterable(facts), np.int64, 5 * len(facts)).reshape(-1, 5)
    except OverflowError:
        held = [
            (mode, size, min(time, MAX_INT64), device & MAX_INT64, file & MAX_INT64)
            for mode, size, time, device, file in facts
        ]
        return np.array(held, np.int64)


def _ask_file(name: str, folder: int) -> tuple[int, ...]:
    try:
        return FACTS(os.stat(name, dir_fd=folder))
    except OSError as error:
        return (-(error.errno or errno.EIO), 0, 0, 0, 0)
