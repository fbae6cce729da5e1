"""Sets that share pictures or places."""

import os
import shutil
from dataclasses import replace

import pytest

from vpr.datasets import Folders
from vpr.index import retrieval_index, train_index
from vpr.overlap import find_overlap
from vpr.store_files import cache_folder

TRAIN, VAL, TEST = "train/a", "val/database", "test/queries"


@pytest.fixture
def sets(tmp_path):
    """A function that writes an empty picture of that position into a set, and the folders."""

    def add(folder, east, north, zone="30@T", place="7", content=None):
        file = tmp_path / folder / f"@{east:.2f}@{north:.2f}@{zone}@@@@@@@@@@{place}@.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if content is not None else str(file).encode())
        return file

    for number, folder in enumerate((TRAIN, "val/database", "val/queries", "test/database", "test/queries")):
        add(folder, 1e5 + 1e4 * number, 1e6)
    return add, Folders(tmp_path / "train", {"a": tmp_path / "val"}, {"sf_xs/test": tmp_path / "test"})


def test_sets_apart_are_clean(sets):
    overlap = find_overlap(sets[1], 25.0)
    assert overlap.is_clean and overlap.near_val == {"sf_xs/test": 0} and not overlap.train_without_position


def test_the_same_picture_in_two_sets_is_named(sets):
    add, folders = sets
    copy = add(TEST, 5e5, 5e6)
    shutil.copy(next((folders.train / "a").iterdir()), copy)
    overlap = find_overlap(folders, 25.0)
    assert not overlap.is_clean and overlap.same_pictures[0][1] == copy and str(copy) in overlap.describe()


def test_a_file_that_is_gone_is_equal_to_none_and_left_to_who_opens_the_set(sets):
    add, folders = sets
    gone = add(TEST, 5e5, 5e6, content=b"x")
    add(TRAIN, 5e5, 6e6, content=b"x")
    train_index(folders.train, "session")
    for folder in (folders.vals["a"], folders.tests["sf_xs/test"]):
        retrieval_index(folder, "session")
    gone.unlink()
    assert find_overlap(folders, 25.0, "session").is_clean


def test_two_pictures_of_one_set_may_be_the_same(sets):
    add, folders = sets
    add(VAL, 5e5, 5e6, content=b"x"), add(VAL, 5e5, 6e6, content=b"x")
    assert find_overlap(folders, 25.0).is_clean


def test_a_training_place_near_a_held_out_picture_is_named(sets):
    add, folders = sets
    train, test = add(TRAIN, 5e5, 5e6), add(TEST, 5e5 + 15, 5e6 + 20)
    assert find_overlap(folders, 24.9).is_clean
    overlap = find_overlap(folders, 25.0)
    assert overlap.near_train == [(train, test, 25.0)] and "25.0 m" in overlap.describe()


def test_the_same_numbers_in_another_zone_are_another_place(sets):
    add, folders = sets
    add(TRAIN, 5e5, 5e6, zone="10@S"), add(TEST, 5e5, 5e6)
    assert find_overlap(folders, 25.0).is_clean
    add(TRAIN, 7e5, 5e6, zone="@")  # a name without zone: then all share one
    assert not find_overlap(folders, 25.0).is_clean


def test_val_near_test_is_counted(sets):
    add, folders = sets
    add(VAL, 5e5, 5e6), add(VAL, 5e5 + 5, 5e6), add(TEST, 5e5, 5e6)
    overlap = find_overlap(folders, 25.0)
    assert overlap.is_clean and overlap.near_val == {"sf_xs/test": 2}


def test_gsv_cities_says_latitude_and_longitude(sets, tmp_path):
    add, folders = sets
    cities = tmp_path / "gsv_cities"
    (cities / "Images/Madrid").mkdir(parents=True)
    (cities / "Dataframes").mkdir()
    header = "place_id,year,month,northdeg,city_id,lat,lon,panoid"
    (cities / "Dataframes/Madrid.csv").write_text(f"{header}\n1,2019,5,90,Madrid,40.4169,-3.7035,abc_d\n")
    (cities / "Images/Madrid/Madrid_0000001_2019_05_090_40.4169_-3.7035_abc_d.jpg").write_bytes(b"1")
    found = Folders(cities, folders.vals, folders.tests)
    assert find_overlap(found, 25.0).is_clean
    add(TEST, 440321.0, 4474259.0)  # the same spot of Madrid in UTM 30T
    overlap = find_overlap(found, 25.0)
    assert len(overlap.near_train) == 1 and overlap.near_train[0][2] < 25


def test_several_val_sets_are_compared_with_all_others(sets, tmp_path):
    add, folders = sets
    several = replace(folders, vals={"a": tmp_path / "val", "b": tmp_path / "second"})
    for part in ("database", "queries"):
        add(f"second/{part}", 3e5, 3e6)
    assert find_overlap(several, 25.0).is_clean
    add(TEST, 3e5, 3e6)
    assert find_overlap(several, 25.0).near_val == {"sf_xs/test": 2}
    train = add(TRAIN, 6e5, 6e6)
    near = add("second/queries", 6e5, 6e6 + 3)
    assert find_overlap(several, 25.0).near_train == [(train, near, 3.0)]
    first, second = add(VAL, 4e5, 4e6, content=b"x"), add("second/database", 4e5, 4e6, content=b"x")
    assert find_overlap(several, 25.0).same_pictures == [(first, second)]


def test_a_folder_given_for_val_and_for_test_is_refused(sets):
    both = Folders(sets[1].train, sets[1].vals, {"again": sets[1].first_val})
    assert len(find_overlap(both, 25.0).same_pictures) == 2


def test_a_damaged_record_of_the_comparison_is_made_again(sets):
    add, folders = sets
    train, near = add(TRAIN, 5e5, 5e6), add(TEST, 5e5, 5e6 + 4)
    before = set((cache_folder() / "index").glob("overlap-*.json"))
    find_overlap(folders, 25.0)
    (record,) = set((cache_folder() / "index").glob("overlap-*.json")) - before
    for damaged in (record.read_text()[:-9], "", "[]", "{}", "\0\0"):
        record.write_text(damaged)
        assert find_overlap(folders, 25.0).near_train == [(train, near, 4.0)]


def test_a_comparison_with_a_file_that_cannot_be_read_is_not_kept(sets, monkeypatch):
    add, folders = sets
    copy = add(TEST, 5e5, 5e6)
    shutil.copy(next((folders.train / "a").iterdir()), copy)
    opened = os.open

    def refusing(path, *given, **more):
        if os.fspath(path) == str(copy):
            raise PermissionError(13, "Permission denied", str(copy))
        return opened(path, *given, **more)

    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refusing)
        assert not find_overlap(folders, 25.0).same_pictures
    assert len(find_overlap(folders, 25.0).same_pictures) == 1


def test_a_shared_gallery_may_repeat_its_own_images(tmp_path):
    """SVOX: two sets of queries beside one gallery, of which two images are equal."""
    parts = {
        "train/a": "1e5",
        "val/database": "2e5",
        "val/queries": "3e5",
        "svox/queries_sun": "4e5",
        "svox/queries_rain": "5e5",
    }
    for part, east in parts.items():
        file = tmp_path / part / f"@{east}@1e6@30@T@@@@@@@@@@7@.jpg"
        file.parent.mkdir(parents=True)
        file.write_text(f"another {part}")
    for north in ("1e6", "1.1e6"):
        file = tmp_path / f"svox/gallery/@6e5@{north}@30@T@@@@@@@@@@7@.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_text("the same image twice")
    tests = {name: tmp_path / "svox" / name for name in ("queries_sun", "queries_rain")}
    assert find_overlap(Folders(tmp_path / "train", {"a": tmp_path / "val"}, tests), 25.0).is_clean


@pytest.mark.parametrize("linked", ["first", "last"])
def test_a_copy_of_a_query_beside_a_hard_link_to_it_is_found(sets, linked):
    add, folders = sets
    query = add("val/queries", 7e5, 2e6)
    first, last = (add("val/database", east, 2e6) for east in (6e5, 8e5))
    link, copy = (first, last) if linked == "first" else (last, first)
    link.unlink()
    os.link(query, link)
    shutil.copy(query, copy)
    assert find_overlap(folders, 25.0).same_pictures == [(copy, query)]
