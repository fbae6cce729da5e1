"""The walk of a folder: each file is asked of the system once."""

import errno
import os
import stat
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vpr.errors import DataError
from vpr.listing import IMAGE_SUFFIXES, SYSTEM_FOLDERS, TABLE_SUFFIXES, Listing, is_folder_at
from vpr.spread import Spread

OTHER_SUFFIXES = frozenset(
    {".txt", ".md", ".json", ".yaml", ".yml", ".html", ".pdf", ".log", ".py", ".ipynb", ".mat", ".h5", ".pt", ".pth"}
    | {".pkl", ".zip", ".tar", ".gz", ".tgz", ".7z"}
)
"""Files whose absence hurts no set."""
USUAL = frozenset({".jpg", ".png", ".JPG"})
"""Last four characters of nearly all images."""
TASK = 4096
"""Files that are asked for at a time."""
S_IFMT = 0o170000
"""Bits of a file's mode that say what it is (`stat.S_IFMT` takes no array)."""
MAX_INT64 = 2**63 - 1
"""Network file systems (GlusterFS, CephFS) number files up to 2**64 - 1, and a broken clock dates them after 2262: no int64 holds these."""
KINDS = {
    stat.S_IFIFO: "is a named pipe, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
}


def walk(folder: Path, only: tuple[str, ...] = (), spread: Spread = map) -> Listing:
    """List the images and tables below `folder`, links followed, each folder once.

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
    found, folders = Listing(folder), {_number(folder.stat())}
    runs = _runs(str(folder), "", found, folders, only)
    found.facts = np.concatenate([np.zeros((0, 4), np.int64), *_add(runs, found, folders, spread)])
    found.parts.sort()
    return found


class Run(NamedTuple):
    """Names with an image's suffix that follow each other in a folder."""

    path: str
    """Of the folder."""
    prefix: str
    """Path of the folder below the listed one, with a `/` at the end."""
    names: list[str]


Reached = set[tuple[int, int]]
"""Device and number of the folders that were reached."""


def _runs(path: str, prefix: str, found: Listing, folders: Reached, only: tuple[str, ...] = ()) -> Iterator[Run]:
    """Yield the images of a folder and of those below it, in order and not yet asked for, and add all else to `found`.

    Args:
        path: The folder.
        prefix: Its path below the listed folder, with a `/` at the end.
        found: Gets what is not an image.
        folders: Gets the folders that are reached.
        only: As for `walk`.
    """
    names = [name for name in _names(path) if not only or name in only]
    begin = 0
    # Of half a million names only those that need it are looked at one by one.
    for row in [at for at, name in enumerate(names) if name[-4:] not in USUAL or name[0] == "."]:
        name = names[row]
        if name[0] != "." and _suffix(name) in IMAGE_SUFFIXES:
            continue
        if begin < row:
            yield Run(path, prefix, names[begin:row])
        begin = row + 1
        if name[0] == "." or name in SYSTEM_FOLDERS:
            found.ignored.append(prefix + name)
        elif _is_entered(path, prefix, name, found, folders):
            yield from _runs(f"{path}/{name}", f"{prefix}{name}/", found, folders)
    if begin < len(names):
        yield Run(path, prefix, names[begin:])


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - of half a million names no Path is made
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); give yourself the right to, or move it away"
        ) from None


def _is_entered(path: str, prefix: str, name: str, found: Listing, folders: Reached) -> bool:
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
        return _is_new(prefix, name, _number(own), found, folders)
    if is_table and kind == stat.S_IFREG:
        found.tables[prefix + name] = (own.st_size, own.st_mtime_ns)
    elif is_table:
        found.lost_tables[prefix + name] = KINDS.get(kind, "is not a file")
    return False


def _is_new(prefix: str, name: str, number: tuple[int, int], found: Listing, folders: Reached) -> bool:
    """Tell whether a folder was not reached before, and note it."""
    if not prefix:
        found.parts.append(name)
    is_new = number not in folders
    folders.add(number)
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


def _add(runs: Iterator[Run], found: Listing, folders: Reached, spread: Spread) -> Iterator[np.ndarray]:
    """Yield the four of `Listing.facts` for the images of each run, and add their names to `found`."""
    tasks = list(_tasks(runs))  # before a file is asked for, so that one process and several find the same order
    for task, facts in zip(tasks, spread(_ask, tasks), strict=True):
        begin = 0
        for run in task:
            own = facts[begin : begin + len(run.names)]
            begin += len(run.names)
            yield from _add_run(run, own, found, folders)


def _tasks(runs: Iterator[Run]) -> Iterator[list[Run]]:
    """Yield runs together, about `TASK` files at a time."""
    task: list[Run] = []
    size = 0
    for path, prefix, names in runs:
        for begin in range(0, len(names), TASK):
            task.append(Run(path, prefix, names[begin : begin + TASK]))
            size += len(task[-1].names)
            if size >= TASK:
                yield task
                task, size = [], 0
    if task:
        yield task


def _ask(task: list[Run]) -> np.ndarray:
    """Return (n, 5) int64 for the n files of a task: mode and the four of `Listing.facts`. The mode is -errno if a file cannot be asked for."""
    facts = array("q")
    for path, _, names in task:
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)  # a name in an open folder is found faster than a path
        except OSError as error:
            facts.extend((-(error.errno or errno.EIO), 0, 0, 0, 0) * len(names))
            continue
        try:
            for name in names:
                try:
                    own = os.stat(name, dir_fd=folder)
                except OSError as error:
                    facts.extend((-(error.errno or errno.EIO), 0, 0, 0, 0))
                else:
                    facts.extend((own.st_mode, own.st_size, min(own.st_mtime_ns, MAX_INT64), *_number(own)))
        finally:
            os.close(folder)
    return np.frombuffer(facts, np.int64).reshape(-1, 5)


def _add_run(run: Run, facts: np.ndarray, found: Listing, folders: Reached) -> Iterator[np.ndarray]:
    """Add a run; `facts` are what `_ask` returned."""
    begin = 0
    modes, sizes = facts[:, 0], facts[:, 1]
    is_file = (modes >= 0) & ((modes & S_IFMT) == stat.S_IFREG)
    others: list[int] = np.flatnonzero(~is_file | (sizes == 0)).tolist()
    for row in others:
        found.names += [run.prefix + name for name in run.names[begin:row]]
        yield facts[begin:row, 1:]
        begin = row + 1
        name = run.names[row]
        mode, _, _, *number = facts[row].tolist()
        kind = mode & S_IFMT
        if mode >= 0 and kind == stat.S_IFDIR:
            if _is_new(run.prefix, name, (number[0], number[1]), found, folders):
                below = _runs(f"{run.path}/{name}", f"{run.prefix}{name}/", found, folders)
                yield from _add(below, found, folders, map)
        else:
            found.odd[run.prefix + name] = _why(-mode) if mode < 0 else KINDS.get(kind, "is empty")
    found.names += [run.prefix + name for name in run.names[begin:]]
    yield facts[begin:, 1:]
