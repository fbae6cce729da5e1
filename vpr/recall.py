"""Exact nearest neighbours and recall@N: one function for each number."""

from collections.abc import Sequence

import faiss
import numpy as np

NS = (1, 5, 10, 20)
"""The N of every recall@N that is reported."""
NEVER = np.iinfo(np.int64).max
BLOCK = 2**24
"""Distances that are held at once where queries are ranked against the whole database."""


def rank(database: np.ndarray, queries: np.ndarray, n: int) -> np.ndarray:
    """The `n` nearest database indices of each query, nearest first, equal distances by lower index.

    database: (N, D), queries: (Q, D), both float32; returns (Q, min(n, N)) int64. Exact L2 (faiss.knn, which goes through the
    database block by block and, unlike an index, holds no second copy of it).
    """
    size = len(database)
    distances, indices = _sorted_search(database, queries, min(n + 1, size))
    if n >= size:
        return indices
    # Where the last place is shared, FAISS keeps any of the equal ones: those queries are ranked in full.
    shared = np.flatnonzero(distances[:, n - 1] == distances[:, n])
    indices = np.ascontiguousarray(indices[:, :n])
    step = max(1, BLOCK // size)
    for start in range(0, len(shared), step):
        block = shared[start : start + step]
        indices[block] = _sorted_search(database, queries[block], size)[1][:, :n]
    return indices


def first_hits(ranked: np.ndarray, positives: Sequence[np.ndarray]) -> np.ndarray:
    """(Q,) place of the first positive in each ranking, counted from 0; `NEVER` where it has none.

    ranked: (Q, n) database indices, nearest first; positives: for each query its database indices.
    """
    # One number for each (query, index) pair, so that all queries are looked up at once.
    right = np.concatenate(positives)
    size = 1 + max(ranked.max(initial=0), right.max(initial=0))
    offsets = size * np.arange(len(ranked))
    right = np.sort(right + np.repeat(offsets, [len(own) for own in positives]))
    if not len(right):
        return np.full(len(ranked), NEVER)
    pairs = ranked + offsets[:, None]
    is_hit = right[np.searchsorted(right, pairs).clip(max=len(right) - 1)] == pairs  # (Q, n)
    return np.where(is_hit.any(axis=1), is_hit.argmax(axis=1), NEVER)


def recall_at(first: np.ndarray, n: int) -> float:
    """Per cent of queries with a positive among the first `n`; a query without positives is a miss.

    first: (Q,) from `first_hits` of rankings that hold at least `n` indices, or the whole database.
    """
    return 100.0 * int((first < n).sum()) / len(first)


def answers(database: np.ndarray, queries: np.ndarray, positives: Sequence[np.ndarray]) -> np.ndarray:
    """(Q,) place of each query's first right answer, as far as a reported recall@N looks (`first_hits`)."""
    return first_hits(rank(database, queries, max(NS)), positives)


def recalls(first: np.ndarray) -> dict[int, float]:
    """recall@1, 5, 10 and 20 in per cent, by N, from `answers`."""
    return {n: recall_at(first, n) for n in NS}


def _sorted_search(database: np.ndarray, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    distances, indices = faiss.knn(queries, database, n)  # (Q, n), (Q, n)
    order = np.lexsort((indices, distances), axis=1)
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)
