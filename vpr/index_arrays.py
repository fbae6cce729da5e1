"""What an index keeps of a listing: plain arrays and facts, for a training set and for a database with queries."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vpr.errors import DataError
from vpr.listing import Listing
from vpr.names import CHUNK
from vpr.retrieval_layouts import read_retrieval
from vpr.spread import Spread
from vpr.train_layouts import read_train

FORM = 4
"""Version of the arrays and facts; an index of another one is built again."""


def train_arrays(listing: Listing, spread: Spread = map) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return arrays and facts of a training set, its images in the order of their places; raises DataError."""
    table = read_train(listing, spread)
    rows, utm = table.rows, table.utm
    arrays: dict[str, np.ndarray] = {}
    if table.places is None:
        assert table.headings is not None
        arrays["headings"] = table.headings
    else:
        numbers = {place: number for number, place in enumerate(sorted(set(table.places)))}
        places = np.fromiter(map(numbers.__getitem__, table.places), np.int32, len(table.places))
        order = np.argsort(places, kind="stable")
        rows, utm, arrays["places"] = rows[order], utm[order], places[order]
    names, facts = [listing.names[row] for row in rows.tolist()], listing.facts[rows]
    hashes = (  # side by side: half a million names take half a second each
        lambda: fingerprint_of((listing.folder, listing.names, listing.sizes)),
        lambda: _state_of(names, facts),
    )
    fingerprint, state = spread(lambda which: hashes[which](), range(2))
    return {**arrays, **_columns(names, facts), "utm": utm}, {
        "layout": table.layout,
        "images": len(rows),
        "fingerprint": fingerprint,
        "state": state,
    }


def retrieval_arrays(listing: Listing) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return arrays and facts of a database with queries, the database first; raises DataError."""
    table = read_retrieval(listing)
    if not len(table.database) or not len(table.queries):
        empty = "queries" if len(table.database) else "database"
        raise DataError(
            f"{listing.folder} has no .jpg, .jpeg or .png image in its {empty}{listing.left_out()}; check the path"
        )
    rows = np.concatenate([table.database, table.queries])
    names, facts = [listing.names[row] for row in rows], listing.facts[rows]
    arrays = {**_columns(names, facts), "utm": np.concatenate([table.database_utm, table.query_utm])}
    if table.truth is not None:
        arrays["truth"] = np.concatenate([np.zeros(0, np.int64), *table.truth])
        arrays["truth_ends"] = np.cumsum([len(right) for right in table.truth])
    fingerprint = fingerprint_of((listing.folder, names, facts[:, 0]))
    n = len(table.database)
    return arrays, {
        "layout": table.layout,
        "images": len(rows),
        "database": n,
        "fingerprint": fingerprint,
        "state": _state_of(names, facts),
        "part_states": [_state_of(names[:n], facts[:n]), _state_of(names[n:], facts[n:])],
    }


def _columns(names: Sequence[str], facts: np.ndarray) -> dict[str, np.ndarray]:
    return {"names": _packed(names), "sizes": facts[:, 0], "files": facts[:, 2:]}


def _packed(names: Sequence[str]) -> np.ndarray:
    return np.frombuffer(os.fsencode("\0".join(names)), np.uint8)


def unpacked(names: np.ndarray) -> list[str]:
    """Return the names that `_packed` made into bytes."""
    return os.fsdecode(names.tobytes()).split("\0") if len(names) else []


def _state_of(names: Sequence[str], facts: np.ndarray) -> str:
    """Return a hash of the names, sizes and times of images; `facts` are those of `Listing.facts`."""
    digest = hashlib.sha256(os.fsencode("\0".join(names)))
    digest.update(facts[:, :2].tobytes())
    return digest.hexdigest()[:16]


def walk_of(listing: Listing) -> str:
    """Return a hash of all that a walk has found: images, tables, and what is left out."""
    others = json.dumps(
        [listing.tables, listing.odd, len(listing.ignored), len(listing.foreign), len(listing.repeated)]
    )
    images = _state_of(listing.names, listing.facts)
    return hashlib.sha256(f"{images} {others}".encode()).hexdigest()[:16]


def fingerprint_of(*parts: tuple[Path, Sequence[str], np.ndarray]) -> str:
    """Return a hash of the last three parts of each path and its size in bytes; no times, so that copies of a set agree.

    Args:
        parts: Folder, names below it and sizes of the images, one after the other.
    """
    digest = hashlib.sha256()
    for folder, names, sizes in parts:
        *_, above, own = ("", "", *folder.resolve().parts)
        before = (f"{above}/{own}/", f"{own}/", "")  # by the number of folders in the name
        for start in range(0, len(names), CHUNK):
            near = zip(names[start : start + CHUNK], sizes[start : start + CHUNK].tolist(), strict=True)
            lines = [
                f"{before[deep]}{name}\0{size}\n"
                if (deep := name.count("/")) < 3
                else f"{'/'.join(name.split('/')[-3:])}\0{size}\n"
                for name, size in near
            ]
            digest.update(os.fsencode("".join(lines)))
    return digest.hexdigest()[:16]


def facts_of(listing: Listing) -> dict[str, Any]:
    """Return what every index keeps of a walk: files that are left out, counted, and the first of each kind."""
    return {
        "form": FORM,
        "odd": listing.odd,
        "ignored": [len(listing.ignored), *listing.ignored[:1]],
        "foreign": [len(listing.foreign), *listing.foreign[:1]],
        "repeated": [len(listing.repeated), *listing.repeated[:1]],
    }
