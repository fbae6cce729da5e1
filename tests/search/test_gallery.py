"""The gallery: which queries it shows, what it says of them, and how large it may get."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from search.answers import Answers, answers_file, keep_answers, read_answers
from search.finals import Finalist, Finals
from search.gallery import GallerySettings, main, write
from search.gallery_page import AnsweredSet, Model, as_html, as_page, section_of
from search.ledger import read_ledger
from search.queries import ROUND, light_of, order, outcomes
from search.records import TrialRecord
from tests.search.commands import run
from vpr.datasets import Folders, position, read_retrieval_set
from vpr.errors import ConfigError, DataError, VPRError
from vpr.recall import NEVER, first_hits

pytestmark = pytest.mark.search

ROOT = Path(__file__).resolve().parents[2]
MODELS = [Model("trial 3, seed 1", "ntxent · lr 0.02"), Model("trial 1, seed 1", "circle · lr 0.0025")]
MIB = 2**20


def answered(folder, seeds=(0, 1), name=None):
    """A set that models answer by the true distance and an error of their own."""
    pictures = read_retrieval_set(folder)
    answers = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        metres = np.linalg.norm(pictures.query_utm[:, None] - pictures.database_utm, axis=2)
        ranked = np.argsort(metres + rng.normal(0, 15, metres.shape), axis=1)
        answers.append(Answers(first_hits(ranked[:, :20], pictures.positives(25)), ranked[:, :5], 25.0))
    return AnsweredSet(name or pictures.name, folder, pictures, answers)


@pytest.fixture(scope="module")
def sets(city):
    return [answered(city / name) for name in ("sf_xs/val", "sf_xs/test", "tokyo_xs/test")]


def content(section):
    return json.loads(re.search(r'id="gallery-data">(.*?)</script>', section, re.DOTALL)[1])


def test_an_outcome_is_told_by_the_nearest_picture():
    first, second = np.array([0, 3, 0, NEVER]), np.array([1, 0, 0, 2])
    assert outcomes([first, second]) == ["won", "lost", "both right", "both wrong"]
    assert outcomes([first]) == ["right", "wrong", "right", "wrong"]


@pytest.mark.parametrize("models", [1, 2])
def test_the_order_is_that_of_a_slow_twin(models):
    rng = np.random.default_rng(models)
    sets = [[rng.choice([0, 1, 7, NEVER], size) for _ in range(models)] for size in (40, 1, 25)]
    found = list(order(sets))
    assert sorted(found) == [(place, query) for place, firsts in enumerate(sets) for query in range(len(firsts[0]))]

    def kind(place, query):
        return outcomes([first[[query]] for first in sets[place]])[0]

    left = list(found)
    for step in range(sum(len(firsts[0]) for firsts in sets) * len(ROUND)):
        wanted = ROUND[step % len(ROUND)]
        if own := [pair for pair in left if kind(*pair) == wanted]:
            assert left[0] == own[0], "outcomes take turns, as long as there are any"
            left.pop(0)
    for place in range(len(sets)):
        for wanted in set(ROUND):
            apart = [
                abs(min(first, 100) - min(last, 100))
                for one, query in found
                if (one, kind(one, query)) == (place, wanted)
                for first, last in [(sets[one][0][query], sets[one][-1][query])]
            ]
            assert apart == sorted(apart, reverse=True)


def test_every_picture_is_there_once_and_its_distance_is_that_of_the_names(sets):
    section = as_html(MODELS, sets, 20 * MIB)
    data = content(section)
    assert len(data["rows"]) == sum(len(one.pictures.queries) for one in sets)
    for uri, width, height in data["pictures"]:
        assert section.count(uri) == 1 and 0 < height < width <= 192
    shown = {(row["set"], place[0]) for row in data["rows"] for found in row["answers"] for place in found["nearest"]}
    assert len(data["pictures"]) == len(shown) + len(data["rows"])
    for row in data["rows"]:
        one = sets[row["set"]]
        own = np.array(position(one.pictures.queries[row["query"]]))
        for answers, found in zip(one.answers, row["answers"], strict=True):
            for index, (_, metres, bearing, is_right) in zip(
                answers.nearest[row["query"]], found["nearest"], strict=True
            ):
                east, north = np.array(position(one.pictures.database[index])) - own
                assert abs(metres - np.hypot(east, north)) <= 0.05 and is_right == (np.hypot(east, north) <= 25)
                back = metres * np.array([np.sin(np.radians(bearing)), np.cos(np.radians(bearing))])
                assert np.allclose(back, [east, north], atol=0.05 + metres * np.radians(1))
            assert (found["first"] == 0) == bool(found["nearest"][0][3])
    differing = [row["outcome"] in ("won", "lost") for row in data["rows"]]
    assert differing == sorted(differing, reverse=True) and any(differing)


@pytest.mark.parametrize("kib", [40, 120, 400])
def test_the_size_holds_and_what_is_left_out_is_counted(sets, kib):
    section = as_html(MODELS, sets, kib * 1024)
    shown = len(content(section)["rows"])
    assert len(section.encode()) <= kib * 1024 and shown
    left = sum(len(one.pictures.queries) for one in sets) - shown
    assert (f"{left:,} queries are left out" in section) == (left > 0)


def test_a_cap_without_room_and_a_missing_picture_are_refused(sets, city, tmp_path):
    with pytest.raises(ConfigError, match="--max-mb has no room"):
        as_html(MODELS, sets, 1024)
    shutil.copytree(city / "sf_xs/val", tmp_path / "val")
    gone = answered(tmp_path / "val")
    shutil.rmtree(tmp_path / "val/database")
    with pytest.raises(DataError, match="cannot be shown.*--data"):
        as_html(MODELS, [gone], MIB)


def test_what_others_named_ends_neither_text_nor_script(city, tmp_path):
    evil = "</script><img src=x onerror=alert(1)>&\"'"
    folder = tmp_path / "val"
    shutil.copytree(city / "sf_xs/val", folder)
    for query in (folder / "queries").iterdir():
        query.rename(query.with_name(query.name.replace("@.jpg", f"@{evil.replace('/', '')}@.jpg")))
    section = as_html([Model(evil, evil)], [answered(folder, [0], evil)], MIB)
    assert "<img" not in section and section.count("<script") == section.count("</script>") == 2
    data = content(section)
    assert evil.replace("/", "") in data["rows"][0]["name"] and data["sets"] == [evil]
    assert set(re.findall(r"https?://", as_page(evil, section))) == set(), "nothing is asked for elsewhere"


def test_day_and_night_are_known_where_a_name_says_so():
    plain = Path("@0388005.00@3948039.25@54@S@035.58395@0139.76293@3q00103@0103@127@@@@202208@@.jpg")
    assert light_of("tokyo_xs/test", plain) is None and light_of("svox/night", plain) == "night"
    assert light_of("sf_xs/val", Path("sunset") / plain) == "sunset"
    assert light_of("holiday/today", Path(plain.name.replace("@@.jpg", "@day@.jpg"))) == "day"
    assert light_of("mine/daylight", plain) is None


def test_answers_come_back_as_they_were_kept(tmp_path):
    file = answers_file(tmp_path, (3, 1), "sf_xs/test")
    assert read_answers(file) is None and answers_file(tmp_path, (3, 1), "sf_xs-test") != file
    keep_answers(file, Answers(np.array([0, NEVER]), np.array([[1, 2], [0, 2]]), 25.0, ["database/é.jpg"], "abc"))
    found = read_answers(file)
    assert found.first.tolist() == [0, NEVER] and found.nearest.tolist() == [[1, 2], [0, 2]]
    assert (found.radius_m, found.skipped, found.fingerprint) == (25.0, ["database/é.jpg"], "abc")
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(DataError, match="is damaged"):
        read_answers(file)


@pytest.fixture(scope="module")
def searched(finished, tmp_path_factory):
    """The storage of a finished search, to be changed."""
    storage = tmp_path_factory.mktemp("storage") / "copy"
    shutil.copytree(finished[1].parent, storage)
    return storage


def test_a_finished_search_is_shown_without_another_look_at_its_test_sets(searched, summary, tmp_path):
    looks = len(read_ledger(searched / "test-ledger.jsonl"))
    done = run("gallery", "first", "--storage", str(searched))
    assert done.returncode == 0, done.stderr
    data = content((searched / "first/gallery.html").read_text())
    assert data["sets"] == ["val", "sf_xs/test", "tokyo_xs/test"] and len(data["models"]) == 2
    first, second, *_ = (entry["id"] for entry in summary["trials"] if entry["checkpoint"])
    own = GallerySettings("first", trials=(first, second), to=tmp_path / "own.html", storage=searched)
    assert main(own) == 0
    data = content((tmp_path / "own.html").read_text())
    assert [model["title"] for model in data["models"]] == [f"trial {second}", f"trial {first}"]
    assert data["sets"] == ["val"]
    with pytest.raises(VPRError, match="are the same"):
        main(replace(own, trials=(first, first)))
    with pytest.raises(VPRError, match="is sealed"):
        main(replace(own, set="sf_xs/test"))
    assert len(read_ledger(searched / "test-ledger.jsonl")) == looks


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"trials": (0, 7)}, "no weights of trial 7 are kept; trials whose weights are kept: "),
        ({"set": "oslo"}, "it has val, sf_xs/test, tokyo_xs/test"),
        ({"data": "/nowhere"}, "give --data the folder that holds"),
        ({"max_mb": 0}, "must be above 0"),
        ({"name": "other"}, "holds no finished search"),
    ],
)
def test_what_cannot_be_shown_is_told(searched, flags, said):
    with pytest.raises(VPRError, match=said):
        main(GallerySettings(**{"name": "first", "storage": searched, **flags}))


def test_the_end_of_a_search_writes_it_and_is_not_hurt_by_pictures_that_are_gone(searched, city, tmp_path):
    shutil.copytree(searched / "first/answers", tmp_path / "answers")
    shutil.copytree(city / "sf_xs/val", tmp_path / "val")
    summary = json.loads((searched / "first/summary.json").read_text())
    metrics = {"epoch": 1, "val/recall_at_1": 1.0, "val/recall_at_5": 2.0}
    finalists = [
        Finalist(TrialRecord(one["trial"], {}), [TrialRecord(one["trial"], {}, 1, epochs=[metrics])])
        for one in summary["finalists"]
    ]
    folders = Folders(city, {"sf_xs/val": city / "sf_xs/val"}, {"sf_xs/test": city / "sf_xs/test"})
    plan = SimpleNamespace(name="first", folder=tmp_path, folders=folders)
    console = Console(record=True, width=200)
    write(plan, Finals(finalists), console)
    assert 0 < len(section_of((tmp_path / "gallery.html").read_text()).encode()) <= MIB
    folders.vals["sf_xs/val"] = tmp_path / "val"
    next((tmp_path / "val/database").iterdir()).unlink()
    write(plan, Finals(finalists), console)
    assert "the gallery could not be made" in (text := console.export_text()) and "put them back" in text


def test_answers_of_an_earlier_version_are_read_and_no_test_set_is_measured_again(searched):
    answers = searched / "first/answers"
    looks = len(read_ledger(searched / "test-ledger.jsonl"))
    for file in list(answers.glob("*.npz")):
        np.save(file.with_suffix(".npy"), np.load(file)["first"])
        file.unlink()
    before = json.loads((searched / "first/summary.json").read_text())
    done = run("run", "--name", "first", "--storage", str(searched))
    assert done.returncode == 0, done.stderr
    assert len(read_ledger(searched / "test-ledger.jsonl")) == looks
    assert json.loads((searched / "first/summary.json").read_text())["finalists"] == before["finalists"]
    assert {file.name.split("-", 2)[2] for file in answers.glob("*.npz")} == {"val.npz"}, "val may be looked at again"
    done = run("gallery", "first", "--storage", str(searched))
    assert done.returncode == 0 and "left out  sf_xs/test: its rankings were not kept, and a test set" in done.stdout


def test_a_set_that_lists_its_right_images_has_no_distances(tmp_path):
    """VPR-Bench has ref/ and query/ instead of database/ and queries/, and no positions."""
    for part, count in (("ref", 3), ("query", 2)):
        (tmp_path / part).mkdir()
        for number in range(count):
            Image.new("RGB", (8, 8), (50 * number, 0, 0)).save(tmp_path / part / f"{number}.png")
    np.save(tmp_path / "ground_truth_new.npy", np.array([[0, 2], [1, 0]]))
    nearest = np.array([[2, 1], [1, 0]])
    pictures = read_retrieval_set(tmp_path)
    answers = Answers(first_hits(nearest, pictures.positives(25.0)), nearest, 25.0)
    rows = content(as_html(MODELS[:1], [AnsweredSet("bench", tmp_path, pictures, [answers])], MIB))["rows"]
    places = {row["query"]: [place[1:] for place in row["answers"][0]["nearest"]] for row in rows}
    assert places == {0: [[None, None, 1], [None, None, 0]], 1: [[None, None, 0], [None, None, 1]]}
