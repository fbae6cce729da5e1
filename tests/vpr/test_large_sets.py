"""A large training set is indexed and compared by another process, beside the command that needs it."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest
from layouts import image, named, retrieval

from vpr.errors import DataError
from vpr.folders import Folders
from vpr.index import retrieval_index, train_index
from vpr.large_sets import prepared
from vpr.overlap import find_overlap


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A training set that counts as large, val and test; relative paths and a relative cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VPR_CACHE", "cache")
    monkeypatch.setattr("vpr.large_sets.MANY", 3)
    for view in range(4):
        image(tmp_path / "train/oslo" / named(9000 + view, note="12_Oslo", pano=view))
    for part in ("val", "test"):
        retrieval(tmp_path / part)
    return Folders(Path("train"), {"val": Path("val")}, {"sf_xs/test": Path("test")})


def forbidden(*given):
    raise AssertionError("this is not read again")


def test_another_process_has_indexed_and_compared_the_sets(folders, monkeypatch):
    with prepared(folders, 25.0, "session"):
        pass
    monkeypatch.setattr("vpr.index.listing_of", forbidden)
    monkeypatch.setattr("vpr.overlap._compare", forbidden)
    assert len(train_index(folders.train, "session")) == 4
    assert len(retrieval_index(Path("test"), "session")) > 0
    assert not find_overlap(folders, 25.0, "session").near_train
    assert list(Path("cache/index").glob("*.npz"))


def test_it_finds_what_this_process_finds_alone(folders, monkeypatch):
    with prepared(folders, 25.0, "session"):
        pass
    index, overlap = train_index(folders.train, "session"), find_overlap(folders, 25.0, "session")
    monkeypatch.setenv("VPR_CACHE", "second cache")
    alone = train_index(folders.train)
    assert (index.names, index.facts) == (alone.names, alone.facts) and overlap == find_overlap(folders, 25.0)


def test_it_ends_with_the_command_that_fails_and_leaves_no_process(folders):
    before = psutil.Process().children(recursive=True)
    with pytest.raises(ZeroDivisionError), prepared(folders, 25.0, "session") as is_beside:
        begun = [child for child in psutil.Process().children(recursive=True) if child not in before]
        assert is_beside and begun
        raise ZeroDivisionError
    assert psutil.wait_procs(begun, timeout=10)[1] == []
    assert not list(Path("cache/index").glob("*.partial*"))


def test_an_error_of_a_set_is_left_to_the_command(folders, capfd):
    image(Path("train/oslo/plain.jpg"))
    with prepared(folders, 25.0, "session") as is_beside:
        assert is_beside
    assert capfd.readouterr() == ("", "")
    with pytest.raises(DataError, match="no place id"):
        train_index(folders.train, "session")


SLEEPING = """
import time
from vpr.spread import spread
spread(time.sleep, [60, 60])
"""


@pytest.mark.skipif(sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2, reason="one process does all")
def test_forks_end_with_a_process_that_is_killed():
    process = psutil.Popen([sys.executable, "-c", SLEEPING])
    try:
        until = time.monotonic() + 60
        while len(forks := process.children()) < 2:
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        process.kill()
    process.wait()
    assert psutil.wait_procs(forks, timeout=10)[1] == []
