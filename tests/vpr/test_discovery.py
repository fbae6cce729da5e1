"""Sets are found and named, and a wrong folder is answered with the right one."""

import os
import re
import shutil
from pathlib import Path

import pytest
from layouts import gsv_cities, image, lists, msls_city, named, retrieval, vpr_bench

from vpr.discovery import (
    check_train,
    check_val,
    expand_test,
    find_tests,
    find_train,
    find_val,
    listing_of,
    resolved,
    set_name,
)
from vpr.errors import DataError
from vpr.retrieval_layouts import read_retrieval


def gsv_xs(folder):
    for city in ("rome", "oslo"):
        image(folder / city / named(0, note=f"7_{city}"))
    return folder


@pytest.fixture
def root(tmp_path):
    """A --data folder, two levels deep so that nothing above looks like one."""
    root = tmp_path / "a/b/data"
    gsv_xs(root / "gsv_xs/train")
    for name in ("sf_xs/val", "sf_xs/test", "tokyo_xs/test"):
        retrieval(root / name)
    return root


def test_the_sets_of_a_root_are_found(root):
    assert find_train(root) == root / "gsv_xs/train" and find_val(root) == root / "sf_xs/val"
    assert find_tests(root) == {name: root / name for name in ("sf_xs/test", "tokyo_xs/test")}
    for check, folder in ((check_train, root / "gsv_xs/train"), (check_val, root / "sf_xs/val")):
        check(folder)


def test_sets_of_the_downloader_have_images_between(tmp_path):
    retrieval(tmp_path / "sf_xs/images/val")
    retrieval(tmp_path / "sf_xs/images/test")
    assert find_val(tmp_path) == tmp_path / "sf_xs/images/val"
    assert find_tests(tmp_path) == {"sf_xs/test": tmp_path / "sf_xs/images/test"}


@pytest.mark.parametrize("name", ["gsv_xs", "gsv_cities", "gsv-cities", "gsv-cities-light", "."])
def test_gsv_cities_is_found_under_each_name(tmp_path, name):
    gsv_cities(tmp_path / name)
    assert find_train(tmp_path) == tmp_path / name
    check_train(tmp_path / name)


def test_gsv_xs_without_a_train_folder_is_found(tmp_path):
    gsv_xs(tmp_path / "gsv_xs")
    assert find_train(tmp_path) == tmp_path / "gsv_xs"


def refused(call, folder, message):
    with pytest.raises(DataError) as error:
        call(folder)
    assert "\n" not in str(error.value)
    assert re.search(message, str(error.value)), str(error.value)


@pytest.mark.parametrize("below", ["gsv_xs", "gsv_xs/train", "sf_xs", "sf_xs/val"])
def test_a_set_given_as_the_root_is_answered_with_the_root(root, below):
    refused(find_train, root / below, rf"give --data {root}, which")


def test_an_archive_one_folder_too_deep_is_found(root):
    refused(find_train, root.parent, rf"sets one folder too deep; give --data {root}$")
    refused(find_train, root.parent.parent, rf"sets one folder too deep; give --data {root}$")


def test_a_set_inside_itself_is_found(tmp_path):
    gsv_xs(tmp_path / "gsv_xs/gsv_xs/train")
    retrieval(tmp_path / "sf_xs/sf_xs/val")
    refused(find_train, tmp_path, rf"give --train {tmp_path}/gsv_xs/gsv_xs/train")
    refused(
        find_val,
        tmp_path,
        f"{tmp_path}/sf_xs holds the set one folder too deep; move what is in {tmp_path}/sf_xs/sf_xs up$",
    )
    retrieval(tmp_path / "tokyo_xs/tokyo_xs/images/test")
    refused(
        find_tests,
        tmp_path,
        f"{tmp_path}/tokyo_xs holds the set one folder too deep; move what is in {tmp_path}/tokyo_xs/tokyo_xs up$",
    )


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_a_set_that_is_still_packed_is_named(root, ending):
    for find, name in ((find_train, "gsv_xs/train"), (find_val, "sf_xs/val"), (find_tests, "tokyo_xs/test")):
        folder = root / name.split("/")[0]
        shutil.rmtree(folder)
        archive = folder.with_name(folder.name + ending)
        archive.touch()
        refused(find, root, f"{archive} is not unpacked; unpack it, so that {root / name} is there, or move it away$")
        archive.unlink()
    assert find_tests(root) == {}


def test_an_archive_beside_its_unpacked_set_may_stay(root):
    (root / "tokyo_xs.zip").touch()
    assert "tokyo_xs/test" in find_tests(root)
    shutil.rmtree(root / "sf_xs/test")
    (root / "sf_xs_results.zip").touch()
    assert list(find_tests(root)) == ["tokyo_xs/test"]


def test_a_root_without_val_lists_the_sets_that_are_there(tmp_path):
    retrieval(tmp_path / "pitts30k/images/val")
    retrieval(tmp_path / "pitts30k/images/test")
    lists(tmp_path / "val/msls-val")
    refused(find_val, tmp_path, rf": {tmp_path}/val/msls-val, {tmp_path}/pitts30k/images/val$")


def test_a_set_without_images_says_what_it_holds_instead(root):
    for query in (root / "sf_xs/val/queries").iterdir():
        query.rename(query.with_suffix(".webp"))
    (root / "sf_xs/val/queries/._a.jpg").touch()
    (root / "sf_xs/val/database/._b.jpg").touch()
    with pytest.raises(
        DataError,
        match=r"queries has no .*\(hidden files .*: 1, first queries/._a.jpg; images of other formats: \d, first q",
    ):
        read_retrieval(listing_of(root / "sf_xs/val"))


def test_a_root_without_anything_is_refused(tmp_path):
    empty = tmp_path / "a/b/c"
    empty.mkdir(parents=True)
    refused(find_train, empty, "has no gsv_xs/train folder")
    refused(find_val, empty, "has no sf_xs/val folder; add it")
    refused(find_train, empty / "nowhere", "is not a folder; give --data")
    gsv_xs(empty / "train")
    refused(find_train, empty, f"give --train {empty}/train")


def test_train_and_val_that_changed_places_are_refused(root, tmp_path):
    refused(check_train, root / "sf_xs/val", "has a database and queries.*give it with --val")
    refused(check_val, root / "gsv_xs/train", "place in their names.*give it with --train")
    refused(check_val, root / "gsv_xs", "place in their names")
    gsv_cities(tmp_path / "cities")
    refused(check_val, tmp_path / "cities", "GSV-Cities, a training set; give it with --train")


def test_a_folder_above_the_set_is_answered_with_the_set(root):
    refused(check_train, root, rf"give --train {root}/gsv_xs/train$")
    refused(check_val, root, rf"give {root}/sf_xs/val$")
    refused(check_val, root / "sf_xs", rf"give {root}/sf_xs/val$")
    gsv_xs(root / "sf_xs/train")
    refused(check_train, root / "sf_xs", rf"give --train {root}/sf_xs/train$")


@pytest.mark.parametrize("above", ["images", "processed", "."])
def test_a_folder_above_train_and_val_is_refused_as_train(tmp_path, above):
    for part in ("train", "val", "test"):
        retrieval(tmp_path / "pitts30k" / above / part)
    refused(check_train, tmp_path / "pitts30k", rf"give --train {tmp_path / 'pitts30k' / above}/train$")
    refused(check_val, tmp_path / "pitts30k", rf"give {tmp_path / 'pitts30k' / above}/val$")


def test_a_train_folder_with_database_and_queries_is_taken(tmp_path):
    check_train(retrieval(tmp_path / "pitts30k/images/train"))
    check_train(tmp_path / "nowhere")
    check_val(tmp_path / "nowhere")


@pytest.mark.parametrize("write", [retrieval, lists, vpr_bench, msls_city], ids=lambda write: write.__name__)
def test_a_set_of_any_layout_is_taken_as_val_and_refused_as_train(tmp_path, write):
    folder = write(tmp_path / "some")
    check_val(folder)
    refused(check_train, folder, "has a database and queries")


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("sf_xs/val", "sf_xs/val"),
        ("pitts30k/images/test", "pitts30k/test"),
        ("sf_xl/processed/val", "sf_xl/val"),
        ("svox/images/test", "svox/test"),
        ("svox/images/test/queries", "svox/test"),
        ("svox/images/test/queries_sun", "svox/test/queries_sun"),
        ("sf_xl/processed/test/queries_v1", "sf_xl/test/queries_v1"),
        ("gsv_xs/train", "gsv_xs/train"),
    ],
)
def test_a_set_is_named_by_its_folders(tmp_path, folder, name):
    retrieval(tmp_path / "svox/images/test", "gallery")
    retrieval(tmp_path / "svox/images/test", "gallery", "queries_sun")
    retrieval(tmp_path / "sf_xl/processed/test", queries="queries_v1")
    assert set_name(tmp_path / folder) == name


def test_the_folder_that_one_stands_in_has_a_name(tmp_path, monkeypatch):
    retrieval(tmp_path / "svox/images/test", "gallery", "queries_sun")
    monkeypatch.chdir(tmp_path / "svox/images/test/queries_sun")
    assert set_name(Path()) == "svox/test/queries_sun"
    assert len(read_retrieval(listing_of(Path())).queries) == 3


def test_a_folder_with_several_queries_gives_several_sets(tmp_path):
    svox, sf_xl = tmp_path / "svox/images/test", tmp_path / "sf_xl/processed/test"
    for part in ("queries", "queries_sun", "queries_night"):
        retrieval(svox, "gallery", part)
    for part in ("queries_v1", "queries_v2"):
        retrieval(sf_xl, queries=part)
    assert expand_test("svox", svox) == {
        "svox": svox,
        "svox/queries_night": svox / "queries_night",
        "svox/queries_sun": svox / "queries_sun",
    }
    assert expand_test("xl", sf_xl) == {f"xl/{part}": sf_xl / part for part in ("queries_v1", "queries_v2")}
    assert expand_test("sun", svox / "queries_sun") == {"sun": svox / "queries_sun"}
    assert expand_test("one", retrieval(tmp_path / "one")) == {"one": tmp_path / "one"}
    for name, folder in {**expand_test("svox", svox), **expand_test("xl", sf_xl)}.items():
        assert len(read_retrieval(listing_of(folder)).queries) == 3, name


def test_a_link_to_itself_and_a_folder_of_another_user_give_their_own_line(root, monkeypatch):
    (root / "loop").symlink_to("loop")
    with pytest.raises(DataError, match="loop is a link that leads to itself"):
        resolved(root / "loop")
    stat = os.stat

    def closed(path, *given, **more):
        if "private" in os.fspath(path) and not str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", path)
        return stat(path, *given, **more)

    (root / "private").mkdir()
    shutil.rmtree(root / "sf_xs/val")
    monkeypatch.setattr(os, "stat", closed)
    with pytest.raises(DataError, match="has no sf_xs/val folder"):
        find_val(root)
