"""What is looked at before a search spends anything: the sets, and whether they are those that it began with."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from search.announce import describe
from search.plan import make_plan
from search.resume import DATA, DATA_BEFORE, SMALL, Beginning, budget_of, check_same, facts_of
from search.sets import fingerprint_of_all
from search.settings import SearchSettings
from vpr.errors import BadImagesError, ConfigError, DataError

LEAVES = ("model/weights=none", "data/image_size=16x16", "data/places_per_batch=8", "training/epochs=1")


@pytest.fixture
def root(city, tmp_path, monkeypatch):
    """A copy of the little city, with a cache of its own."""
    monkeypatch.setenv("VPR_CACHE", str(tmp_path / "cache"))
    shutil.copytree(city, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def settings(root, tmp_path):
    return SearchSettings(space="losses", data=str(root), set=LEAVES, storage=tmp_path / "results", name="x")


def queries(root):
    return sorted((root / "sf_xs/val/queries").rglob("*.jpg"))


def test_what_does_not_count_is_counted_and_said(root, settings):
    images = sorted((root / "gsv_xs/train").rglob("*.jpg"))
    place = images[0].name.split("@")[-2]
    own = [image for image in images if image.name.split("@")[-2] == place]
    for image in own[3:]:
        image.unlink()
    (images[-1].parent / f"._{images[-1].name}").write_bytes(b"\x00\x05\x16\x07")
    (root / "gsv_xs/train/__MACOSX").mkdir()
    (root / "sf_xs/val/database/1.webp").touch()
    (root / "sf_xs/val/queries/2.TIF").touch()
    (root / "sf_xs/val/database/loop").symlink_to(root / "sf_xs/val")
    said = []
    plan = make_plan(settings, tell=said.append)
    count = len({image.name.split("@")[-2] for image in images})
    assert said[0].startswith("search    x: 12 trials") and said[1].startswith("store     decoded: ")
    lines = describe(plan)
    assert f"places    1 of {count} places have fewer than 4 images and are left out (3 images)" in lines
    assert any(line.startswith("ignored   2 hidden files and system folders of train, first ") for line in lines)
    assert "ignored   2 images of val are neither JPEG nor PNG, first database/1.webp" in lines
    assert "repeated  1 folders of val are reached by two paths and read once, first database/loop" in lines
    assert plan.sets.places == count - 1 and plan.sets.images == len(images) - len(own) + 3


def test_the_highest_recall_that_can_be_reached_is_said(root, settings):
    far = queries(root)[:3]
    for number, query in enumerate(far):
        query.rename(query.with_name(f"@{900000 + number}@{900000}@{number}@.jpg"))
    plan = make_plan(settings)
    missing, count = plan.sets.ceilings["val"]
    assert missing >= 3 and count == len(queries(root))
    line = f"ceiling   {missing} of {count} queries of val have no database image near: "
    assert any(text.startswith(line) for text in describe(plan))


def test_a_val_set_without_any_positive_is_refused(root, settings):
    for number, query in enumerate(queries(root)):
        query.rename(query.with_name(f"@{900000 + number}@{900000}@{number}@.jpg"))
    with pytest.raises(DataError, match="no query of .*sf_xs/val has a database image within 25 m"):
        make_plan(settings)


def test_a_query_that_was_copied_into_its_database_is_refused(root, settings):
    query = queries(root)[0]
    shutil.copy(query, root / "sf_xs/val/database" / query.name)
    with pytest.raises(DataError, match="1 pictures stand in two sets"):
        make_plan(settings)


def test_a_query_that_is_a_second_name_of_a_database_image_is_let_through(root, settings):
    query = queries(root)[0]
    os.link(query, root / "sf_xs/val/database" / query.name)
    assert make_plan(settings).sets.overlap.is_clean


def test_named_pipes_are_listed_and_left_out(root, settings):
    query = queries(root)[0]
    query.unlink()
    os.mkfifo(query)
    with pytest.raises(BadImagesError, match=r"1 images cannot be read, first .* \(is a named pipe, not a file\)"):
        make_plan(settings)
    plan = make_plan(replace(settings, on_bad_image="skip"))
    assert plan.sets.skipped == {"val": 1}


def test_a_search_continues_with_its_own_images_alone(root, settings):
    plan = make_plan(settings)
    plan.folder.mkdir(parents=True)
    beginning = Beginning(plan.search_id, {}, facts_of(plan), budget_of(plan))
    check_same(beginning, make_plan(settings))
    query = queries(root)[0]
    content = bytearray(query.read_bytes())
    content[len(content) // 2] ^= 255
    query.write_bytes(content)
    with pytest.raises((ConfigError, BadImagesError), match=r"contents of the images|cannot be read"):
        check_same(beginning, make_plan(settings))


def test_a_search_that_an_earlier_version_began_continues(root, settings):
    plan = make_plan(settings)
    plan.folder.mkdir(parents=True)
    facts = facts_of(plan)
    for new in (DATA, "contents of the images of all sets (hash)", "data/cell_m", "data/sector_deg"):
        del facts[new]
    facts |= {SMALL: "false", DATA_BEFORE: fingerprint_of_all(plan.folders)}
    check_same(Beginning(plan.search_id, {}, facts, budget_of(plan)), plan)
    facts[DATA_BEFORE] = "another"
    with pytest.raises(ConfigError, match="another"):
        check_same(Beginning(plan.search_id, {}, facts, budget_of(plan)), plan)


def test_positions_of_the_little_city_are_known(root, settings):
    plan = make_plan(settings)
    assert plan.sets.overlap.train_without_position == 0 and np.isfinite(plan.sets.overlap.near_val["sf_xs/test"])
