"""Every retrieval set that is bad gives its line, and no pickle runs anything."""

import os
import pickle

import numpy as np
import pytest
from layouts import image, lists, msls_city, named, objects, retrieval, vpr_bench

from vpr.discovery import listing_of
from vpr.errors import DataError
from vpr.npy_lists import read_npy, read_truth
from vpr.retrieval_layouts import read_retrieval


class Command:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.system, (f"touch {self.file}",)


def pickled(file, content, rows=1):
    """A .npy file with a pickle of our own."""
    with file.open("wb") as stream:
        header = {"shape": (rows,), "fortran_order": False, "descr": "|O"}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(content)
    return file


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
def test_arrays_that_every_numpy_pickled_are_read(tmp_path, protocol, core):
    rows = objects([[1, 2], np.array([3]), (np.int64(4), np.int32(0))])
    content = pickle.dumps(rows, protocol)
    name = next(name for name in (b"numpy._core", b"numpy.core") if name in content)
    if protocol < 4:  # later ones write how long the name is
        content = content.replace(name, core.encode())
    file = pickled(tmp_path / "gt.npy", content, rows=3)
    assert [right.tolist() for right in read_truth(file, 3, 5)] == [[1, 2], [3], [0, 4]]


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        b"cnumpy\nndarray\n(I9\ntR.",
        b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
        b"I1\n.",
        b"",
    ],
)
def test_a_pickle_of_anything_but_arrays_is_refused(tmp_path, content):
    with pytest.raises(DataError, match="cannot be read as a list"):
        read_npy(pickled(tmp_path / "gt.npy", content))


def save(name, value):
    return lambda root: np.save(root / name, value if not callable(value) else value(root))


GT = "msls_val_gt_25m.npy"
BAD_RETRIEVAL = {
    "a command in a pickle": (lists, save(GT, lambda root: objects([Command(root / "ran")])), "asks for posix.system"),
    "ground truth too short": (lists, save(GT, objects([[0], [1]])), "has 2 entries for 3 queries"),
    "ground truth too long": (lists, save(GT, objects([[0]] * 4)), "has 4 entries for 3 queries"),
    "an index too high": (lists, save(GT, objects([[0], [5], [1]])), "query 1 has index 5, outside 0 to 4"),
    "an index below 0": (lists, save(GT, objects([[0], [-1], [1]])), "query 1 has index -1, outside"),
    "half an index": (lists, save(GT, objects([[0], [0.5], [1]])), "query 1 holds no whole numbers"),
    "text": (lists, lambda root: (root / GT).write_text("0 1 2"), "cannot be read as a list"),
    "half a file": (
        lists,
        lambda root: (root / GT).write_bytes((root / GT).read_bytes()[:140]),
        "cannot be read as a list",
    ),
    "no ground truth": (lists, lambda root: (root / GT).unlink(), "needs one list msls_val_gt.npy and has none"),
    "two ground truths": (lists, save("msls_val_gt.npy", np.arange(3)), "has several"),
    "a missing image": (lists, lambda root: (root / "sf/query/key0.jpg").unlink(), "1 of 3 images .* are missing"),
    "numbers for names": (lists, save("msls_val_qImages.npy", np.arange(3)), "where image paths belong"),
    "VPR-Bench's query twice": (
        vpr_bench,
        save("ground_truth_new.npy", np.array([[0, 1], [0, 2], [1, 1]])),
        "query 0, twice",
    ),
    "VPR-Bench too short": (vpr_bench, save("ground_truth_new.npy", np.array([[0, 1]])), "1 entries for 3 queries"),
    "VPR-Bench without pairs": (
        vpr_bench,
        save("ground_truth_new.npy", np.arange(3)),
        r"is not \[query, \[indices\]\]",
    ),
    "VPR-Bench with a gap": (
        vpr_bench,
        lambda root: (root / "ref/0000001.jpg").unlink(),
        "has no image 1, and ground_truth_new.npy counts all images",
    ),
    "VPR-Bench with a number twice": (
        vpr_bench,
        lambda root: image(root / "ref/1.jpg"),
        "has two images 1",
    ),
    "MSLS without its raw tables": (
        lambda root: msls_city(root / "sf"),
        lambda root: (root / "sf/query/raw.csv").unlink(),
        "query has no raw.csv, which says what is a panorama",
    ),
    "MSLS without a volume": (
        lambda root: msls_city(root / "sf"),
        lambda root: (root / "sf/query/images/query1.jpg").unlink(),
        "1 of 3 images of .*postprocessed.csv are missing",
    ),
    "MSLS without positions": (
        lambda root: msls_city(root / "sf"),
        lambda root: (root / "sf/database/postprocessed.csv").write_text(",key,easting,northing\n0,k,,\n"),
        "k has no position",
    ),
    "one city of MSLS's val": (lambda root: msls_city(root / "sf") and root, lambda root: None, "has no cph"),
    "degrees": (
        lambda root: root,
        lambda root: [image(root / part / "@40.476900@-3.705600@1@.jpg") for part in ("database", "queries")],
        "say degrees where metres belong",
    ),
    "degrees, latitude first, in America": (
        lambda root: root,
        lambda root: [image(root / part / "@37.774900@-122.419400@1@.jpg") for part in ("database", "queries")],
        "say degrees where metres belong",
    ),
    "no position": (retrieval, lambda root: image(root / "queries/x.jpg"), "x.jpg has no coordinates in its name"),
    "no queries": (
        retrieval,
        lambda root: [file.unlink() for file in (root / "queries").iterdir()],
        r"queries has no \.jpg",
    ),
    "two databases": (retrieval, lambda root: (root / "gallery").mkdir(), "has database/ and gallery/"),
    "several queries": (
        lambda root: retrieval(root, queries="queries_v1"),
        lambda root: image(root / "queries_v2" / named(0)),
        "has queries_v1, queries_v2; give one of them",
    ),
    "nothing known": (lambda root: root, lambda root: image(root / "a.jpg"), "looked for .*VPR-Bench.*MSLS.*database/"),
}


@pytest.mark.parametrize("case", BAD_RETRIEVAL)
def test_a_bad_set_gives_one_line(tmp_path, case):
    write, spoil, message = BAD_RETRIEVAL[case]
    folder = write(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        read_retrieval(listing_of(folder))
    assert "\n" not in str(error.value) and not (tmp_path / "ran").exists()
