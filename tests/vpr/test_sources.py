"""Sets at an address of fsspec, copied once to this node."""

import shutil
from pathlib import Path

import fsspec
import pytest
from moto.server import ThreadedMotoServer

from vpr.datasets import find_sets
from vpr.errors import DataError
from vpr.index import train_index
from vpr.sources import copied


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VPR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_address_is_copied_once_and_is_the_same_set(city, cache):
    folder = copied(f"local://{city}")
    found, own = find_sets(folder), find_sets(city)
    assert folder.is_relative_to(cache) and set(found.tests) == set(own.tests)
    assert train_index(found.train).fingerprint == train_index(own.train).fingerprint
    times = {file: file.stat().st_mtime_ns for file in folder.rglob("*.jpg")}
    assert copied(f"local://{city}") == folder
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.jpg")} == times


def test_a_copy_that_was_cut_off_goes_on(city, cache):
    folder = copied(f"local://{city}")
    files = sorted(folder.rglob("*.jpg"))
    kept = files[0].stat().st_mtime_ns
    partial = folder.with_name(f"{folder.name}.partial")
    folder.rename(partial)
    (partial / files[1].relative_to(folder)).write_bytes(b"half")
    assert copied(f"local://{city}") == folder and not partial.exists()
    assert files[0].stat().st_mtime_ns == kept
    assert files[1].read_bytes() == (city / files[1].relative_to(folder)).read_bytes()


def test_a_set_that_changed_is_copied_anew_and_the_old_copy_goes(city, tmp_path, cache):
    own = shutil.copytree(city, tmp_path / "own")
    before = copied(f"local://{own}")
    next(own.rglob("*.jpg")).unlink()
    after = copied(f"local://{own}")
    assert after != before and after.exists() and not before.exists()


@pytest.mark.parametrize(
    ("address", "words"),
    [("nowhere://x", "Protocol not known"), ("local:///no/such/folder", "holds no images")],
)
def test_an_address_that_cannot_be_used_is_named(address, words):
    with pytest.raises(DataError, match=words) as fault:
        copied(address)
    assert address in str(fault.value)


def test_relative_folders_are_found_below_any_copy(city):
    folder = copied(f"local://{city}")
    found = find_sets(folder).relative_to(folder)
    assert found.train == Path("gsv_xs/train") and all(not test.is_absolute() for test in found.tests.values())


@pytest.mark.slow
def test_a_bucket_is_copied(city, monkeypatch):
    """S3 as a mock on loopback speaks it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        bucket = fsspec.filesystem("s3", skip_instance_cache=True)
        bucket.mkdir("my-data")
        bucket.put(f"{city}/", "my-data/vpr/", recursive=True)
        found, own = find_sets(copied("s3://my-data/vpr")), find_sets(city)
        assert train_index(found.train).fingerprint == train_index(own.train).fingerprint
        with pytest.raises(DataError, match="s3://my-data/nothing"):
            copied("s3://my-data/nothing")
    finally:
        server.stop()
