"""The index of a set: read once, true after every change of the folder, and used by all that looks at the set."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from layouts import image, lists, msls_city, named, retrieval

from vpr import index as indexes
from vpr.config import DataConfig
from vpr.data import open_data, open_retrieval
from vpr.datasets import read_places, read_retrieval_set
from vpr.errors import BadImagesError, DataError
from vpr.folders import Folders
from vpr.index import retrieval_index, train_index
from vpr.index_arrays import fingerprint_of

SIZE = DataConfig(image_size=(16, 16), places_per_batch=2)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    monkeypatch.setenv("VPR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def train(tmp_path):
    """Three places in two cities; the last has two images."""
    for place, city, views in (("12_Oslo", "oslo", 4), ("7_Oslo", "oslo", 4), ("3_Rome", "rome", 2)):
        for view in range(views):
            image(tmp_path / "gsv_xs/train" / city / named(1000 * len(place) + view, note=place, pano=view))
    return tmp_path / "gsv_xs/train"


def forbidden(*given):
    raise AssertionError("this is not read again")


def test_images_of_a_place_stand_together_in_the_order_of_the_place(train):
    index = train_index(train)
    assert [path.name.split("@")[-2] for path in index.paths] == ["12_Oslo"] * 4 + ["3_Rome"] * 2 + ["7_Oslo"] * 4
    assert index.places.tolist() == [0] * 4 + [1] * 2 + [2] * 4 and index.layout == "GSV-XS"
    assert index.sizes.tolist() == [path.stat().st_size for path in index.paths]
    assert index.utm[0].tolist() == [547000.0, 4175000.0, 10.0]


def test_an_unchanged_folder_is_walked_and_not_read_again(train, monkeypatch):
    before = train_index(train)
    monkeypatch.setattr("vpr.index_arrays.read_train", forbidden)
    after = train_index(train)
    assert after.names == before.names and (after.utm == before.utm).all() and after.state == before.state


def test_what_a_session_has_checked_is_not_walked_again_by_it(train, monkeypatch):
    names = train_index(train, "first").names
    monkeypatch.setattr(indexes, "listing_of", forbidden)
    assert train_index(train, "first").names == names
    with pytest.raises(AssertionError, match="not read again"):
        train_index(train, "second")
    with pytest.raises(AssertionError, match="not read again"):
        train_index(train)


def add(folder):
    image(folder / "rome" / named(9, note="3_Rome", pano=9))


def remove(folder):
    next((folder / "rome").iterdir()).unlink()


def rewrite(folder):
    """Other content of the same length, some time later."""
    file = next((folder / "rome").iterdir())
    file.write_bytes(bytes(file.stat().st_size))
    os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("change", [add, remove, rewrite])
def test_a_change_of_the_folder_is_noticed(train, change):
    before = train_index(train)
    change(train)
    after = train_index(train)
    assert after.state != before.state and (after.fingerprint == before.fingerprint) == (change is rewrite)


def test_a_damaged_index_is_read_again_and_no_index_is_a_pickle(train, cache):
    names = train_index(train).names
    (file,) = (cache / "index").glob("*.npz")
    with np.load(file, allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)
    for content in (b"", file.read_bytes()[:100], b"not an index"):
        file.write_bytes(content)
        assert train_index(train).names == names


def test_a_flipped_byte_is_named_with_its_file(train, cache):
    assert train_index(train).names
    (file,) = (cache / "index").glob("*.npz")
    content = bytearray(file.read_bytes())
    content[content.index(b"12_Oslo")] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"{file} is damaged .*; delete it"):
        train_index(train).names  # noqa: B018
    file.unlink()
    assert len(train_index(train).names) == 10


def test_copies_of_a_set_have_one_fingerprint_and_a_rename_another(train, tmp_path):
    copy = tmp_path / "copy/gsv_xs/train"
    shutil.copytree(train, copy, copy_function=shutil.copy)
    assert train_index(copy).fingerprint == train_index(train).fingerprint
    assert train_index(copy).state != train_index(train).state
    first = next((copy / "oslo").iterdir())
    first.rename(first.with_name(f"{first.name[:-4]}x.jpg"))
    assert train_index(copy).fingerprint != train_index(train).fingerprint


def test_the_fingerprint_is_that_of_earlier_versions(tmp_path):
    """Searches of version 0.5 recorded it, and continue."""
    file = image(tmp_path / "a/b/c/d.jpg")
    file.write_bytes(b"12345")
    for folder, name in ((tmp_path / "a/b/c", "d.jpg"), (tmp_path / "a", "b/c/d.jpg"), (tmp_path, "a/b/c/d.jpg")):
        assert fingerprint_of((folder, [name], np.array([5]))) == "dab85b8efb658b64"


def test_small_places_are_left_out_and_counted(train):
    found = read_places(train, DataConfig())
    assert found.labels.tolist() == [0] * 4 + [-1] * 2 + [1] * 4
    assert str(found.small) == "1 of 3 places have fewer than 4 images and are left out (2 images)"


def test_data_opens_from_an_index_and_stores_without_reading_a_name(train, tmp_path, monkeypatch):
    """What a worker does: half a million names would cost it a second."""
    folders = Folders(train, {"val": retrieval(tmp_path / "sf_xs/val")})
    first = open_data(folders, SIZE, session="a")
    monkeypatch.setattr(indexes, "unpacked", forbidden)
    again = open_data(folders, SIZE, session="a")
    assert again.labels.tolist() == first.labels.tolist() and again.content == first.content
    assert [right.tolist() for right in again.vals["val"].positives] == [[0, 1, 2], [3], []]


def test_a_changed_image_of_the_same_length_changes_the_content(tmp_path):
    folder = retrieval(tmp_path / "sf_xs/val")
    before = open_retrieval(folder, SIZE)
    file = next((folder / "queries").iterdir())
    content = bytearray(file.read_bytes())
    content[-3] ^= 1  # in the compressed picture
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))
    after = open_retrieval(folder, SIZE)
    assert after.content != before.content
    assert retrieval_index(folder).fingerprint == fingerprint_of(
        (folder, retrieval_index(folder).names, retrieval_index(folder).sizes)
    )


def test_sets_of_queries_share_the_store_of_their_database_and_a_new_query_leaves_it(tmp_path, cache):
    folder = retrieval(tmp_path / "svox/images/test", "gallery", "queries_sun")
    retrieval(folder, "gallery", "queries_night")
    for part in ("queries_sun", "queries_night"):
        assert open_retrieval(folder / part, SIZE).name == f"svox/test/{part}"
    before = sorted(file.name for file in cache.glob("*.npy"))
    assert len(before) == 3
    image(folder / "queries_sun" / named(3, pano="new"))
    assert len(open_retrieval(folder / "queries_sun", SIZE).queries) == 4
    after = sorted(file.name for file in cache.glob("*.npy"))
    assert len(after) == 3 and len(set(before) & set(after)) == 2


def test_what_is_no_image_file_is_named_or_left_out(tmp_path):
    folder = retrieval(tmp_path / "sf_xs/val")
    os.mkfifo(folder / "queries" / named(77))
    (folder / "database" / named(78)).touch()
    with pytest.raises(BadImagesError, match="2 images cannot be read") as error:
        open_retrieval(folder, SIZE)
    assert sorted(error.value.faults.values()) == ["is a named pipe, not a file", "is empty"]
    found = open_retrieval(folder, SIZE, on_bad_image="skip")
    assert len(found.skipped) == 2 and len(found.queries) == 3 and len(found.database) == 5


def test_truth_that_a_set_gives_follows_images_that_are_left_out(tmp_path):
    folder = lists(tmp_path / "sf-val")
    whole = read_retrieval_set(folder)
    assert whole.index.truth is not None
    without = {whole.database[0], whole.queries[1]}
    found = read_retrieval_set(folder, without)
    expected = [[whole.database[row] for row in right if row != 0] for right in whole.positives(25.0)]
    del expected[1]
    assert [[found.database[row] for row in right] for right in found.positives(25.0)] == expected


def test_positives_are_found_once_for_each_radius_and_again_after_a_change(tmp_path, monkeypatch):
    retrieval(tmp_path / "val")

    def counts(radius_m):
        return [len(right) for right in read_retrieval_set(tmp_path / "val").positives(radius_m)]

    near, far = counts(25), counts(1e6)
    assert sum(near) < sum(far)
    with monkeypatch.context() as patched:
        patched.setattr("vpr.positives._near", forbidden)
        assert (counts(25), counts(1e6)) == (near, far)
    query = next((tmp_path / "val/queries").iterdir())
    image(tmp_path / "val/database" / query.name)
    assert sum(counts(25)) > sum(near)


def test_damaged_positives_are_found_again(tmp_path, cache):
    retrieval(tmp_path / "val")
    before = read_retrieval_set(tmp_path / "val").positives(25)
    (file,) = (cache / "index").glob("positives-*.npz")
    file.write_bytes(file.read_bytes()[:-40])
    after = read_retrieval_set(tmp_path / "val").positives(25)
    assert [right.tolist() for right in after] == [right.tolist() for right in before]


@pytest.mark.parametrize("letter", ["x", "é"])
def test_a_set_in_folders_of_long_names_is_opened(tmp_path, letter):
    folder = tmp_path / (250 // len(letter.encode()) * letter) / (250 // len(letter.encode()) * letter)
    retrieval(folder)
    assert len(open_retrieval(folder, SIZE).queries) == len(list((folder / "queries").iterdir()))


def test_a_hidden_file_changes_no_store(train):
    """The Finder of macOS writes .DS_Store into each folder that it shows."""
    before = train_index(train)
    (train / ".DS_Store").touch()
    after = train_index(train)
    assert after.facts["ignored"] == [1, ".DS_Store"] and after.state == before.state


@pytest.mark.parametrize("end", ["", "train_val"])
def test_images_of_msls_are_found_from_either_of_its_folders(tmp_path, end):
    for city in ("cph", "sf"):
        msls_city(tmp_path / "msls/train_val" / city)
    assert all(path.is_file() for path in retrieval_index(tmp_path / "msls" / end).paths)


def test_a_queries_folder_is_indexed_with_the_database_beside_it(tmp_path, monkeypatch):
    """Also from inside it, and where two sets link to one folder of queries."""
    first, second = retrieval(tmp_path / "a"), retrieval(tmp_path / "b")
    next((second / "database").iterdir()).unlink()
    for folder in (first, second):
        (folder / "queries_sun").symlink_to(first / "queries")
    databases = [retrieval_index(folder / "queries_sun", "session").database for folder in (first, second)]
    assert databases == [5, 4]
    monkeypatch.chdir(first / "queries_sun")
    assert all(path.is_file() for path in retrieval_index(Path("../queries")).paths)
