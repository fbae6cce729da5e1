"""Files of two sets with the same content: sizes first, then the edges of files, then whole files."""

import hashlib
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from vpr.index import Index, RetrievalIndex
from vpr.spread import Spread

UNREAD = 0
"""Instead of the hash of a file that cannot be read."""
MAX_UINT64 = 2**64 - 1
EDGE = 1024
"""Bytes at the start and at the end of a file that are compared before the whole of it."""
TASK = 256
"""Files that a thread reads before it reports."""
SLOW_SECONDS = 1e-4
"""Longer than this a file takes from a disk, and less from memory."""
AT_ONCE = 8
"""Files that are read at the same time from a disk."""


@dataclass(frozen=True)
class _Part:
    """Images that may stand in no other part: all of train, or the database or the queries of a set."""

    role: str
    """`train`, `val` or `test`."""
    set: str
    index: Index
    rows: np.ndarray
    is_database: bool = False

    def path(self, row: int) -> Path:
        return self.index.paths[self.rows[row]]


def same_files(
    train: Index, others: dict[str, RetrievalIndex], tests: list[str], spread: Spread, unread: list[Path]
) -> list[tuple[Path, Path]]:
    """Return the files of two parts with the same content: sizes first, then the edges of files, then whole files."""
    parts = [_Part("train", "train", train, np.arange(len(train)))]
    for name, index in others.items():
        role = "test" if name in tests else "val"
        database, queries = np.split(np.arange(len(index)), [index.database])
        parts += [_Part(role, name, index, database, is_database=True), _Part(role, name, index, queries)]
    pairs: set[tuple[Path, Path]] = set()
    alike = _shared([part.index.sizes[part.rows] for part in parts])
    edges = [_edges(part, rows, spread) for part, rows in zip(parts, alike, strict=True)]
    for part, own, rows in zip(parts, edges, alike, strict=True):
        unread += [part.path(row) for row in rows[own == UNREAD]]
    left = [
        (part, own[still], rows[still])
        for part, own, rows, still in zip(parts, edges, alike, _shared(edges), strict=True)
    ]
    for (first, own, own_rows), (second, other, other_rows) in combinations(left, 2):
        for value in np.setdiff1d(np.intersect1d(own, other), UNREAD):
            pairs |= set(_equal(first, own_rows[own == value], second, other_rows[other == value], unread))
    return sorted(pairs)


def _shared(values: list[np.ndarray]) -> list[np.ndarray]:
    """Return the rows of each part's values that another part has too."""
    distinct, counts = np.unique(np.concatenate([np.unique(own) for own in values]), return_counts=True)
    shared = distinct[counts > 1]
    return [np.flatnonzero(np.isin(own, shared)) for own in values]


def _edges(part: _Part, rows: np.ndarray, spread: Spread) -> np.ndarray:
    """Return a hash (n,) uint64 of size, start and end of each file, `UNREAD` for one that cannot be read.

    A file with several names is read once.
    """
    if not len(rows):
        return np.zeros(0, np.uint64)
    own = part.rows[rows]
    device, number = part.index.files[own].T
    devices, which = np.unique(device, return_inverse=True)
    _, first, back = np.unique(number * len(devices) + which, return_index=True, return_inverse=True)
    folder, names, sizes = str(part.index.folder), part.index.names, part.index.sizes[own]

    def read(task: np.ndarray) -> list[int]:
        return [_edge(f"{folder}/{names[own[at]]}", int(sizes[at])) for at in task]

    begun = time.perf_counter()
    found = read(first[:TASK])
    # Threads help where each file waits for a disk or a network; from memory they only wait for each other.
    is_slow = time.perf_counter() - begun > TASK * SLOW_SECONDS
    tasks = [first[begin : begin + TASK] for begin in range(TASK, len(first), TASK)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        found += [edge for edges in (threads.map if is_slow else spread)(read, tasks) for edge in edges]
    return np.array(found, np.uint64)[back.ravel()]


def _edge(path: str, size: int) -> int:
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            ends = os.pread(file, 2 * EDGE if size <= 2 * EDGE else EDGE, 0)
            if size > 2 * EDGE:
                ends += os.pread(file, EDGE, size - EDGE)
        finally:
            os.close(file)
    except OSError:  # what opens the set names it, or leaves it out; here it equals no other file
        return UNREAD
    # Python's own hash is three times as fast as one of hashlib, and the same in all forks; files that agree are compared whole.
    return hash((size, ends)) & MAX_UINT64 or 1


def _equal(
    first: _Part, own: np.ndarray, second: _Part, other: np.ndarray, unread: list[Path]
) -> Iterator[tuple[Path, Path]]:
    """Yield the pairs of files whose whole contents agree, at most one for each of `other`; `unread` gets what cannot be read.

    Two names of one file are no pair where a set is made so: hard links between the database and the queries of one set,
    and a database that two test sets, or two val sets, share (SVOX has one gallery for five sets of queries).
    """
    contents: dict[bytes, list[int]] = {}
    for row in own:
        if digest := _digest(first.path(row), unread):
            contents.setdefault(digest, []).append(row)
    for row in other:
        alike = contents.get(_digest(second.path(row), unread), [])
        file = second.index.files[second.rows[row]]
        linked = [here for here in alike if (first.index.files[first.rows[here]] == file).all()]
        if first.is_database and second.is_database and first.role == second.role:
            if any(first.path(here) == second.path(row) for here in linked):
                continue  # the database is shared, so that its images may repeat each other
        elif first.set == second.set:
            alike = [here for here in alike if here not in linked]
        if alike:
            yield first.path(alike[0]), second.path(row)


def _digest(file: Path, unread: list[Path]) -> bytes:
    """Return a hash of the whole content; empty if it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError:
        unread.append(file)
        return b""
