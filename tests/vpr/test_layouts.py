"""Every layout of retrieval sets is read with the right counts and ground truth."""

import numpy as np
import pytest
from layouts import EASTS, TRUTH, image, lists, msls_city, named, objects, retrieval, vpr_bench

from vpr.discovery import listing_of
from vpr.errors import DataError
from vpr.retrieval_layouts import LAYOUTS, read_retrieval


def positives(table, radius=25.0):
    """Database indices within the radius of each query, the slow way."""
    apart = np.linalg.norm(table.query_utm[:, None, :2] - table.database_utm[None, :, :2], axis=-1)
    return [np.flatnonzero(row <= radius).tolist() for row in apart]


def by_key(listing, rows):
    return [listing.names[row] for row in rows]


def one_city(root):
    return msls_city(root / "sf")


READABLE = {
    "database/queries": ("database and queries", retrieval),
    "gallery/queries": ("database and queries", lambda root: retrieval(root, "gallery")),
    "one folder of queries": ("database and queries", lambda root: retrieval(root, queries="queries_v1")),
    "OpenVPRLab": ("lists of images", lists),
    "OpenVPRLab, other names": (
        "lists of images",
        lambda root: lists(root, ("_ref_image_names", "_query_image_names", "_ground_truth_25m")),
    ),
    "VPR-Bench": ("VPR-Bench", vpr_bench),
    "a city of MSLS": ("MSLS", one_city),
}


@pytest.mark.parametrize("case", READABLE)
def test_each_layout_has_the_images_and_the_ground_truth_of_the_positions(tmp_path, case):
    layout, write = READABLE[case]
    listing = listing_of(write(tmp_path))
    table = read_retrieval(listing)
    assert table.layout == layout
    assert (len(table.database), len(table.queries)) == (len(EASTS["database"]), len(EASTS["queries"]))
    right = table.truth if table.truth is not None else positives(table)
    found = {
        query: [listing.names[table.database[index]] for index in indices]
        for query, indices in zip(by_key(listing, table.queries), right, strict=True)
    }
    queries, database = sorted(by_key(listing, table.queries)), sorted(by_key(listing, table.database))
    assert [sorted(map(database.index, found[query])) for query in queries] == TRUTH
    assert (table.truth is None) == (not np.isnan(table.database_utm).any())


def test_every_layout_has_a_mock():
    assert {layout for layout, _ in READABLE.values()} == set(LAYOUTS)


def test_each_folder_of_queries_is_a_set_with_the_database_beside_it(tmp_path):
    retrieval(tmp_path, "gallery")
    image(tmp_path / "queries_sun" / named(12))
    for folder, queries in ((tmp_path, 3), (tmp_path / "queries", 3), (tmp_path / "queries_sun", 1)):
        listing = listing_of(folder)
        table = read_retrieval(listing)
        assert listing.folder == tmp_path and (len(table.database), len(table.queries)) == (5, queries)
    assert by_key(listing, table.queries) == [f"queries_sun/{named(12)}"]


@pytest.mark.parametrize("end", ["", "train_val"])
def test_msls_is_its_two_cities_of_val_kept_apart(tmp_path, end):
    for city, zone in (("cph", (55.7, 12.6)), ("sf", (37.7, -122.4)), ("boston", (42.3, -71.0))):
        msls_city(tmp_path / "train_val" / city, zone)
    table = read_retrieval(listing_of(tmp_path / end))
    assert (len(table.database), len(table.queries)) == (10, 6)
    assert sorted(set(table.database_utm[:, 2])) == [10, 33]
    assert positives(table) == [*TRUTH, *([n + 5 for n in right] for right in TRUTH)]


def test_index_lists_of_gsv_cities_choose_the_queries(tmp_path):
    lists(tmp_path, ("_dbImages", "_qImages", "_pIdx"))
    np.save(tmp_path / "msls_val_qIdx.npy", np.array([2, 0]))
    np.save(tmp_path / "msls_val_pIdx.npy", objects([np.array([4, 3]), [0]]))
    table = read_retrieval(listing_of(tmp_path))
    assert len(table.queries) == 2 and [right.tolist() for right in table.truth] == [[3, 4], [0]]
    np.save(tmp_path / "msls_val_qIdx.npy", np.array([2, 3]))
    with pytest.raises(DataError, match="outside 0 to 2"):
        read_retrieval(listing_of(tmp_path))


@pytest.mark.parametrize(
    "truth", [np.array([[1], [2], [0]]), np.array([1, 2, 0]), objects([np.array([1]), (2,), [0, 0]])]
)
def test_ground_truth_may_be_an_array_or_lists(tmp_path, truth):
    np.save(lists(tmp_path) / "msls_val_gt_25m.npy", truth)
    assert [right.tolist() for right in read_retrieval(listing_of(tmp_path)).truth] == [[1], [2], [0]]


def test_a_listed_image_that_is_no_file_moves_the_ground_truth(tmp_path):
    lists(tmp_path)
    (tmp_path / "sf/database/key1.jpg").write_bytes(b"")  # index 3 of the list, which is reversed
    listing = listing_of(tmp_path)
    table = read_retrieval(listing)
    assert len(table.database) == 4 and list(listing.odd) == ["sf/database/key1.jpg"]
    assert [right.tolist() for right in table.truth] == [[], [1], [2, 3]]


def test_vpr_bench_counts_images_by_their_numbers(tmp_path):
    for number in range(12):
        image(tmp_path / f"ref/{number}.jpg")
    image(tmp_path / "query/0.jpg")
    truth = np.empty((1, 2), dtype=object)
    truth[0] = [0, [2, 10]]
    np.save(tmp_path / "ground_truth_new.npy", truth)
    listing = listing_of(tmp_path)
    table = read_retrieval(listing)
    assert by_key(listing, table.database[table.truth[0]]) == ["ref/2.jpg", "ref/10.jpg"]
