"""Recall@N against a slow, obvious twin."""

import numpy as np
import pytest

from vpr.recall import answers, first_hits, rank, recall_at, recalls


def slow_recall(database, queries, positives, n):
    """Per cent, by a stable sort of the full distance matrix."""
    hits = 0
    for query, right in zip(queries, positives, strict=True):
        distances = ((database.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
        hits += bool(set(np.argsort(distances, kind="stable")[:n].tolist()) & set(np.asarray(right).tolist()))
    return 100.0 * hits / len(queries)


@pytest.mark.parametrize("seed", range(40))
def test_recall_equals_the_slow_twin(seed):
    """Whole-number descriptors make exact ties; some queries have no positive; N may exceed the database."""
    rng = np.random.default_rng(seed)
    size, count, dim = rng.integers(1, 120), rng.integers(1, 40), rng.integers(1, 5)
    database = rng.integers(0, 3, (size, dim)).astype(np.float32)
    queries = rng.integers(0, 3, (count, dim)).astype(np.float32)
    positives = [np.flatnonzero(rng.random(size) < rng.choice([0.0, 0.02, 0.1])) for _ in range(count)]
    found = recalls(answers(database, queries, positives))
    assert found == {n: slow_recall(database, queries, positives, n) for n in (1, 5, 10, 20)}


def test_recall_equals_the_slow_twin_on_unit_descriptors():
    rng = np.random.default_rng(0)
    database, queries = rng.normal(size=(500, 64)).astype(np.float32), rng.normal(size=(200, 64)).astype(np.float32)
    database, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (database, queries))
    positives = [rng.choice(500, 3, replace=False) for _ in range(200)]
    assert recalls(answers(database, queries, positives)) == {
        n: slow_recall(database, queries, positives, n) for n in (1, 5, 10, 20)
    }


def test_equal_distances_are_ranked_by_index():
    database = np.zeros((300, 4), dtype=np.float32)
    assert rank(database, np.zeros((2, 4), dtype=np.float32), 20).tolist() == [list(range(20))] * 2


def test_a_query_without_positives_is_a_miss():
    nothing = np.array([], dtype=int)
    assert recall_at(first_hits(np.array([[0], [1]]), [np.array([0]), nothing]), 1) == 50.0
    assert recall_at(first_hits(np.array([[0], [1]]), [nothing, nothing]), 5) == 0.0


def test_a_model_that_says_the_same_of_every_image_is_ranked_in_blocks(monkeypatch):
    monkeypatch.setattr("vpr.recall.BLOCK", 900)
    database, queries = np.ones((300, 4), dtype=np.float32), np.ones((10, 4), dtype=np.float32)
    assert rank(database, queries, 5).tolist() == [list(range(5))] * 10
