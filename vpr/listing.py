"""One walk of a folder: its images and tables, each with size and time, asked of the system once."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np

from vpr.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
TABLE_SUFFIXES = frozenset({".csv", ".npy"})
"""Files that say where the images of a folder were taken, or which of them belong together."""
SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "@Recently-Snapshot", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
"""Folders that archives and file servers leave beside the images; names that begin with a dot are left out too."""
MAX_INT64 = 2**63 - 1
"""Network file systems (GlusterFS, CephFS) number files up to 2**64 - 1, which no int64 holds."""
KINDS = {
    stat.S_IFIFO: "is a named pipe, not a file",
    stat.S_IFSOCK: "is a socket, not a file",
    stat.S_IFCHR: "is a device, not a file",
    stat.S_IFBLK: "is a device, not a file",
}


class PathList(Sequence[Path]):
    """Paths below a folder, each made when it is asked for: half a million Path objects take 300 MB."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self.names = folder, names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, row: int) -> Path: ...
    @overload
    def __getitem__(self, row: slice) -> "PathList": ...
    def __getitem__(self, row: int | slice) -> "Path | PathList":
        if isinstance(row, slice):
            return PathList(self.folder, self.names[row])
        return self.folder / self.names[row]

    def __iter__(self) -> Iterator[Path]:
        return (self.folder / name for name in self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Listing:
    """What lies below a folder, sorted by the parts of the paths."""

    folder: Path
    names: list[str] = field(default_factory=list)
    """N images, by their path below the folder, with `/` between the parts."""
    facts: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.int64))
    """(N, 4) int64: size in bytes, time of the last change in nanoseconds since 1970, device, number on the device."""
    tables: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Size and time of each .csv and .npy file."""
    odd: dict[str, str] = field(default_factory=dict)
    """Names of images that are not regular files with content, and of links to folders that lead nowhere, and why."""
    lost_tables: dict[str, str] = field(default_factory=dict)
    """Names of tables that are not regular files, and why; only a layout that needs them is hurt."""
    ignored: list[str] = field(default_factory=list)
    """Hidden files and system folders (`._x.jpg`, `__MACOSX`), whose content was not looked at."""
    repeated: list[str] = field(default_factory=list)
    """Folders that were reached before by another path: links in a circle, or two links to one folder."""
    parts: list[str] = field(default_factory=list)
    """Names of the folders directly below, sorted; those that the walk was told to leave out are missing."""

    @property
    def sizes(self) -> np.ndarray:
        """(N,) int64, in bytes."""
        return self.facts[:, 0]

    @property
    def times(self) -> np.ndarray:
        """(N,) int64, when each was last changed, in nanoseconds since 1970."""
        return self.facts[:, 1]

    @property
    def files(self) -> np.ndarray:
        """(N, 2) int64, device and number: two names of one file have the same."""
        return self.facts[:, 2:]


def walk(folder: Path, only: tuple[str, ...] = ()) -> Listing:
    """List the images and tables below `folder`, links followed, each folder once.

    Args:
        folder: Folder to list.
        only: Names directly below `folder` to look at, files or folders; empty: all.

    Raises:
        DataError: `folder` is not a folder, or a folder below it cannot be read.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; the layout is database/ and queries/ below each set, or gsv_xs/train"
        )
    found, facts, own = Listing(folder), list[int](), folder.stat()
    folders = {(own.st_dev, own.st_ino)}
    tops = [name for name in _names(str(folder)) if not only or name in only]
    _add(str(folder), "", tops, found, facts, folders)
    found.facts = np.array(facts, np.int64).reshape(-1, 4)
    return found


def _names(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - of half a million names no Path is made
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); give yourself the right to, or move it away"
        ) from None


def _add(
    path: str, prefix: str, names: list[str], found: Listing, facts: list[int], folders: set[tuple[int, int]]
) -> None:
    """Add what a folder holds.

    Args:
        path: The folder.
        prefix: Its path below the listed folder, with a `/` at the end.
        names: What to add of it.
        found: Gets all but the facts.
        facts: Get the four of `Listing.facts` for each image.
        folders: Device and number of the folders that were reached.
    """
    images, listed = IMAGE_SUFFIXES, found.names
    for name in names:
        if name[0] == "." or name in SYSTEM_FOLDERS:
            found.ignored.append(prefix + name)
            continue
        suffix = name[name.rfind(".") :].lower()
        try:
            own = os.stat(f"{path}/{name}")  # noqa: PTH116 - as above
        except OSError as error:
            is_lost = error.errno in (errno.ENOENT, errno.ELOOP)
            why = "is a broken link" if is_lost else str(error.strerror)
            if suffix in TABLE_SUFFIXES:
                found.lost_tables[prefix + name] = why
            elif (
                suffix in images or "." not in name
            ):  # without a suffix it was a link to a folder, whose images are missed
                found.odd[prefix + name] = why
            continue
        kind = stat.S_IFMT(own.st_mode)
        if kind == stat.S_IFDIR:
            if not prefix:
                found.parts.append(name)
            key = own.st_dev, own.st_ino
            if key in folders:
                found.repeated.append(prefix + name)
            else:
                folders.add(key)
                below = f"{path}/{name}"
                _add(below, f"{prefix}{name}/", _names(below), found, facts, folders)
        elif suffix in images:
            if kind == stat.S_IFREG and own.st_size:
                listed.append(prefix + name)
                facts += own.st_size, own.st_mtime_ns, own.st_dev & MAX_INT64, own.st_ino & MAX_INT64
            else:
                found.odd[prefix + name] = KINDS.get(kind, "is empty")
        elif suffix in TABLE_SUFFIXES:
            if kind == stat.S_IFREG:
                found.tables[prefix + name] = (own.st_size, own.st_mtime_ns)
            else:
                found.lost_tables[prefix + name] = KINDS.get(kind, "is not a file")


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Tell whether an entry is a folder or a link to one; not if the link cannot be followed (`is_dir` raises then)."""
    try:
        return entry.is_dir()
    except OSError:
        return False
