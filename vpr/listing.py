"""What lies below a folder: images and tables, each with size and time."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
FOREIGN_SUFFIXES = frozenset({".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".jp2", ".ppm"})
"""Images that no set is read from; they are counted."""
TABLE_SUFFIXES = frozenset({".csv", ".npy"})
"""Files that say where the images of a folder were taken, or which of them belong together."""
SYSTEM_FOLDERS = frozenset(
    {"__MACOSX", "@eaDir", "@Recently-Snapshot", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"}
)
"""Folders that archives and file servers leave beside the images; names that begin with a dot are left out too."""


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
    foreign: list[str] = field(default_factory=list)
    """Images in formats other than JPEG and PNG."""
    repeated: list[str] = field(default_factory=list)
    """Folders that were reached before by another path: links in a circle, or two links to one folder."""
    parts: list[str] = field(default_factory=list)
    """Names of the folders directly below, sorted; those that the walk was told to leave out are missing."""

    def left_out(self, below: str = "") -> str:
        """Return what was passed over, in words that follow those about a missing image; empty if nothing was.

        Args:
            below: Folder of which is spoken, with a `/` at the end; empty: all.
        """
        counts = {"hidden files or system folders": self.ignored, "images of other formats": self.foreign}
        own = {what: [name for name in names if name.startswith(below)] for what, names in counts.items()}
        said = [f"{what}: {len(names)}, first {names[0]}" for what, names in own.items() if names]
        return f" ({'; '.join(said)})" if said else ""

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


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Tell whether an entry is a folder or a link to one; not if the link cannot be followed (`is_dir` raises then)."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_folder_at(path: Path) -> bool:
    """Tell whether a path leads to a folder. `Path.is_dir` raises for what lies in another user's folder, until Python 3.14."""
    return os.path.isdir(path)  # noqa: PTH112
