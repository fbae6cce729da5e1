"""The database images that are right for a query. Found once on each machine, and kept beside the index of the set."""

import hashlib

import numpy as np

from vpr.index import DAMAGES, RetrievalIndex
from vpr.index_arrays import FORM
from vpr.store_files import cache_folder, written_whole


def positives(index: RetrievalIndex, radius_m: float) -> list[np.ndarray]:
    """Return for each query of an index the database images that are right, by their place in the index, ascending.

    Args:
        index: Of a database with queries.
        radius_m: Metres to the query, inclusive; not used where the set gives the truth.
    """
    if index.truth is not None:
        return index.truth
    known_by = hashlib.sha256(repr((FORM, index.walk, radius_m)).encode()).hexdigest()[:16]
    file = cache_folder() / "index" / f"positives-{known_by}.npz"
    try:
        with np.load(file) as kept:
            return np.split(kept["database"], kept["ends"][:-1])
    except DAMAGES:
        pass  # not known yet, or a damaged file
    found = _near(index.utm[: index.database, :2], index.utm[index.database :, :2], radius_m)
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as sink:
        np.savez(sink, database=np.concatenate(found), ends=np.cumsum([len(right) for right in found]))
    return found


def _near(database: np.ndarray, queries: np.ndarray, radius_m: float) -> list[np.ndarray]:
    """Return for each query (Q, 2) the rows of the database (N, 2) within the radius, ascending."""
    from scipy.spatial import cKDTree  # only here: its import takes half a second, which a later start need not wait

    near = cKDTree(database).query_ball_point(queries, radius_m)
    return [np.array(sorted(rows), dtype=np.int64) for rows in near]
