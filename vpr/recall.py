"""Exact nearest neighbours and recall@N: one function for each number."""

from collections.abc import Sequence

import faiss
import numpy as np

NS = (1, 5, 10, 20)
"""The N of every recall@N that is reported."""


def rank(database: np.ndarray, queries: np.ndarray, n: int) -> np.ndarray:
    """The `n` nearest database indices of each query, nearest first, equal distances by lower index.

    database: (N, D), queries: (Q, D), both float32; returns (Q, min(n, N)) int64. Exact L2 (faiss.IndexFlatL2).
    """
    index = faiss.IndexFlatL2(database.shape[1])
    index.add(database)
    n = min(n, len(database))
    ranked = _sorted_search(index, queries, min(n + 1, len(database)))
    if n == len(database):
        return ranked[1]
    # Where the last place is shared, FAISS keeps any of the equal ones: those queries are ranked in full.
    distances, indices = ranked
    shared = np.flatnonzero(distances[:, n - 1] == distances[:, n])
    indices = np.ascontiguousarray(indices[:, :n])
    if len(shared):
        indices[shared] = _sorted_search(index, queries[shared], len(database))[1][:, :n]
    return indices


def recall_at(ranked: np.ndarray, positives: Sequence[np.ndarray], n: int) -> float:
    """Per cent of queries with a positive among the first `n`; a query without positives is a miss.

    ranked: (Q, >= n or all of the database) indices, nearest first; positives: for each query its database indices.
    """
    hits = sum(bool(np.isin(row[:n], right).any()) for row, right in zip(ranked, positives, strict=True))
    return 100.0 * hits / len(positives)


def recalls(database: np.ndarray, queries: np.ndarray, positives: Sequence[np.ndarray]) -> dict[int, float]:
    """recall@1, 5, 10 and 20 in per cent, by N."""
    ranked = rank(database, queries, max(NS))
    return {n: recall_at(ranked, positives, n) for n in NS}


def _sorted_search(index: faiss.IndexFlatL2, queries: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    distances, indices = index.search(queries, n)  # (Q, n), (Q, n)
    order = np.lexsort((indices, distances), axis=1)
    return np.take_along_axis(distances, order, axis=1), np.take_along_axis(indices, order, axis=1)
