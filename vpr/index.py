"""The index of a set: what its folder holds, read once on each machine and kept beside the image store.

One walk tells whether it is still true. Nothing is pickled: an index is a .npz file of plain arrays.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock

from vpr.discovery import absolute, listing_of, set_name
from vpr.errors import DataError
from vpr.index_arrays import FORM, facts_of, retrieval_arrays, train_arrays, unpacked, walk_of
from vpr.listing import Listing, PathList
from vpr.spread import Spread
from vpr.store_files import cache_folder, in_file_name, written_whole

DAMAGES = (OSError, ValueError, KeyError, RuntimeError, BadZipFile, EOFError)
"""What reading a damaged .npz file raises."""


@dataclass(frozen=True)
class Index:
    """Of one set: n images in the order in which the set is used, with what is known of each."""

    name: str
    """By which the set is reported, `sf_xs/val`."""
    folder: Path
    """Whose names these are."""
    arrays: Any
    """An open .npz, whose arrays are read when they are asked for: a worker needs the names only to decode."""
    facts: dict[str, Any]

    @property
    def layout(self) -> str:
        """How the folder was read."""
        return self.facts["layout"]

    @property
    def state(self) -> str:
        """Hash of the images' names, sizes and times: changes with the images, and differs between copies."""
        return self.facts["state"]

    @property
    def walk(self) -> str:
        """Hash of all that the walk found: changes also with tables, and with hidden files such as `.DS_Store`."""
        return self.facts["walk"]

    @property
    def fingerprint(self) -> str:
        """Hash of names and sizes, the same for copies of a set."""
        return self.facts["fingerprint"]

    @property
    def odd(self) -> dict[Path, str]:
        """Return why files with an image's name were left out: they are empty, or not regular files."""
        return {self.folder / name: why for name, why in self.facts["odd"].items()}

    @cached_property
    def names(self) -> list[str]:
        """Paths below the folder."""
        return unpacked(self._array("names"))

    @cached_property
    def sizes(self) -> np.ndarray:
        """(n,) int64, in bytes."""
        return self._array("sizes")

    @cached_property
    def files(self) -> np.ndarray:
        """(n, 2) int64, device and number of each file."""
        return self._array("files")

    @cached_property
    def utm(self) -> np.ndarray:
        """(n, 3) float64: east and north in metres, UTM zone, negative in the south; NaN where it is not known."""
        return self._array("utm")

    @property
    def paths(self) -> PathList:
        """All n images."""
        return PathList(self.folder, self.names)

    def __len__(self) -> int:
        return int(self.facts["images"])

    def _array(self, name: str) -> np.ndarray:
        try:
            return self.arrays[name]
        except DAMAGES as error:
            file = self.arrays.fid.name
            raise DataError(f"{file} is damaged ({error}); delete it, and it is built again") from None


@dataclass(frozen=True)
class TrainIndex(Index):
    """Images of a place stand together, places in the order of their names."""

    @cached_property
    def places(self) -> np.ndarray | None:
        """(n,) int32 number of each image's place; None where the set has positions only."""
        return self._array("places") if "places" in self.arrays else None

    @cached_property
    def headings(self) -> np.ndarray:
        """(n,) float64 degrees, where the set has positions only."""
        return self._array("headings")


@dataclass(frozen=True)
class RetrievalIndex(Index):
    """The N database images, then the Q queries."""

    @property
    def database(self) -> int:
        """N."""
        return int(self.facts["database"])

    @cached_property
    def truth(self) -> list[np.ndarray] | None:
        """For each query the database indices that are right, where the set gives them instead of positions."""
        if "truth" not in self.arrays:
            return None
        return np.split(self._array("truth"), self._array("truth_ends")[:-1])


def train_index(folder: Path, session: str = "", spread: Spread = map) -> TrainIndex:
    """Return the index of a training set, built or built again where the folder has changed.

    Args:
        folder: Of the set.
        session: Of the search that asks. An index that this search has checked on this machine is taken without a walk.
        spread: As for `vpr.walking.walk`.

    Raises:
        DataError: The folder is not a training set, or cannot be read.
    """
    return TrainIndex(*_found(folder, "train", session, partial(train_arrays, spread=spread), spread))


def retrieval_index(folder: Path, session: str = "") -> RetrievalIndex:
    """Return the index of a database with queries; `train_index` says what its arguments and errors are."""
    return RetrievalIndex(*_found(folder, "retrieval", session, retrieval_arrays))


Read = Callable[[Listing], tuple[dict[str, np.ndarray], dict[str, Any]]]


def _found(
    folder: Path, kind: str, session: str, read: Read, spread: Spread = map
) -> tuple[str, Path, Any, dict[str, Any]]:
    """Return name, folder, arrays and facts of an index that is true now."""
    file = _file(folder, kind)
    file.parent.mkdir(parents=True, exist_ok=True)
    checked = file.with_suffix(".checked")
    with FileLock(file.with_suffix(".lock")):
        known = _opened(file)
        is_trusted = known and session and checked.exists() and checked.read_bytes() == session.encode()
        if not is_trusted:
            listing = listing_of(folder, spread)
            walk = walk_of(listing)
            if known is None or known[1]["walk"] != walk:
                arrays, facts = read(listing)
                # ".." for a queries folder, whose database lies beside it; "train_val" for MSLS.
                listed = "." if listing.folder == folder else os.path.relpath(listing.folder, absolute(folder))
                _write(file, arrays, {**facts, **facts_of(listing), "listed": listed, "walk": walk})
                known = _opened(file)
            if session:
                with written_whole(checked) as sink:
                    sink.write(session.encode())
    assert known
    arrays, facts = known
    own = folder if facts["listed"] == "." else Path(os.path.normpath(absolute(folder) / facts["listed"]))
    return set_name(folder), own, arrays, facts


def _file(folder: Path, kind: str) -> Path:
    # A link to a queries folder keeps its own place: its database lies beside the link.
    own = hashlib.sha256(os.fsencode(folder.parent.resolve() / folder.name)).hexdigest()[:12]
    return cache_folder() / "index" / f"{kind}-{in_file_name(set_name(folder))}-{own}.npz"


def _opened(file: Path) -> tuple[Any, dict[str, Any]] | None:
    try:
        arrays = np.load(file, allow_pickle=False)
        facts = json.loads(arrays["facts"].tobytes())
        return (arrays, facts) if facts["form"] == FORM else None
    except DAMAGES:
        return None


def _write(file: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    own = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    with written_whole(file) as sink:
        np.savez(sink, allow_pickle=False, facts=own, **arrays)
