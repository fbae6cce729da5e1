"""Several val sets: the mean over them decides, and each is shown."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.utils.validation import _validate_metric_name

from search.answers import answers_file
from search.export import own_val
from search.resume import Beginning, joined
from search.settings import SET_NAME_BYTES, SearchSettings, absolute, check, find_folders
from tests.search.commands import EXPORTED, SETTINGS, run
from vpr.errors import ConfigError
from vpr.results import best_key

NAMES = ("plain", "a/night-1")
NS = (1, 5, 10, 20)


def settings(*val, **given):
    return SearchSettings(train=Path("/t"), val=val, **given)


def test_a_folder_alone_is_named_as_a_set_is_and_reported_as_val():
    for text in ("/data/oslo/val", "/data/x=1/val", "./x=1/val"):
        found = find_folders(settings(text), None)
        folder = Path(text).resolve()
        assert found.vals == {"/".join(folder.parts[-2:]): folder} and found.reported_vals == {"val": folder}
        assert absolute(text) == str(folder)
    assert find_folders(settings("oslo=/x"), None).reported_vals == {"val": Path("/x")}


def test_named_sets_keep_their_order():
    found = find_folders(settings("b=/x", "a=y"), None)
    assert list(found.vals.items()) == [("b", Path("/x")), ("a", Path("y").resolve())]
    assert list(found.reported_vals) == ["val/b", "val/a"] and absolute("a=y") == f"a={Path('y').resolve()}"


def test_val_replaces_the_set_below_data(city):
    found = find_folders(SearchSettings(data=str(city), val=("a=/x", "b=/y")), None)
    assert found.vals == {"a": Path("/x"), "b": Path("/y")} and list(found.tests) == ["sf_xs/test", "tokyo_xs/test"]


@pytest.mark.parametrize(
    "name", ["a b", "../a", "/a", "a/", "a//b", "a/../b", "a/.b", "-a", "a,b", "a:b", "x" * 101, ""]
)
def test_a_name_that_could_leave_a_folder_or_a_metric_is_refused(name):
    with pytest.raises(ConfigError, match="--test"):
        check(SearchSettings(test=(f"{name}=/x",)))


@pytest.mark.parametrize("name", ["oslo", "sf_xs/val", "a-b.c/1", "köln", "x" * SET_NAME_BYTES])
def test_a_name_that_is_accepted_is_one_for_mlflow_and_a_file_below_the_folder(name):
    check(settings(f"{name}=/x", test=(f"{name}=/x",)))
    _validate_metric_name(f"val/{name}/recall_at_20")
    file = answers_file(Path("/search"), (9999, 9999), f"val/{name}")
    assert file.parent == Path("/search/answers") and len(file.name.encode()) < 200


@pytest.mark.parametrize(
    ("kept", "val"),
    [
        ({"val": None}, ()),
        ({"val": "/data/a=b/val"}, ("/data/a=b/val",)),
        ({"val": ["a=/x", "b=/y"]}, ("a=/x", "b=/y")),
    ],
)
def test_a_begun_search_keeps_its_val_sets_also_one_of_version_0_5(kept, val):
    beginning = Beginning("id", {"train": None, "set": [], **kept}, {}, {})
    assert joined(SearchSettings(name="old"), beginning).val == val


def test_older_summaries_say_where_val_was():
    assert own_val({"data": {"vals": {"a": "/x", "b": "/y"}}}) == Path("/x")
    assert own_val({"data": {"root": "/data", "val": "/data/oslo/val"}}) == Path("/data/oslo/val")
    assert own_val({"data": {"root": "/data"}}) == Path("/data/sf_xs/val")


@pytest.fixture(scope="module")
def searched(city, tmp_path_factory):
    """The folder and the printed end of a search with two val sets, the second with fewer queries."""
    place = tmp_path_factory.mktemp("several")
    night = place / "night"
    shutil.copytree(city / "tokyo_xs/test", night)
    for query in sorted((night / "queries").rglob("*.jpg"))[::3]:
        query.unlink()
    done = run(
        "run",
        *("--data", str(city), "--test", f"sf_xs/test={city / 'sf_xs/test'}", "--space", "losses", "--name", "two"),
        *(f"--val={name}={folder}" for name, folder in zip(NAMES, (city / "sf_xs/val", night), strict=True)),
        *("--trials", "3", "--epochs", "2", "--confirm", "2", "--confirm-seeds", "2", "--storage", str(place / "r")),
        *SETTINGS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "r/two", done.stdout


def means(best):
    """What the mean must be."""
    return {n: np.mean([best[f"val/{name}/recall_at_{n}"] for name in NAMES]) for n in NS}


@pytest.mark.search
def test_the_mean_over_the_sets_decides(searched, city):
    folder, printed = searched
    summary = json.loads((folder / "summary.json").read_text())
    assert "val" not in summary["data"] and list(summary["data"]["vals"]) == list(NAMES)
    assert summary["data"]["vals"]["plain"] == str(city / "sf_xs/val")
    for entry in [*summary["trials"], *(seed for one in summary["finalists"] for seed in one["seeds"])]:
        assert {n: entry["best"][f"val/recall_at_{n}"] for n in NS} == pytest.approx(means(entry["best"]))
    ranked = [best_key(entry["best"]) for entry in summary["trials"]]
    assert ranked == sorted(ranked, reverse=True)
    sizes = {name: len(np.load(answers_file(folder, next(keys(summary)), f"val/{name}"))["first"]) for name in NAMES}
    assert sizes["plain"] > sizes["a/night-1"]
    for one in summary["finalists"]:
        assert one["mean"] == pytest.approx(np.mean([one["vals"][name]["mean"] for name in NAMES]), abs=1e-3)
        assert one["mean"] == pytest.approx(
            np.mean([seed["best"]["val/recall_at_1"] for seed in one["seeds"]]), abs=1e-3
        )
    assert set(summary["test"]) == {"sf_xs/test"}


@pytest.mark.search
def test_every_val_set_is_shown(searched):
    folder, printed = searched
    assert "val       the mean over 2 sets" in printed and "val       plain: " in printed
    for text in (printed, (folder / "report.html").read_text(), (folder / "export/README.md").read_text()):
        assert all(name in text for name in NAMES) and re.search("mean (of|over) (the )?2 ", text)
    gallery = (folder / "gallery.html").read_text()
    assert all(f"val/{name}" in gallery for name in NAMES)
    metrics = json.loads((folder / "export/metrics.json").read_text())
    assert {n: metrics[f"val/recall_at_{n}"] for n in NS} == pytest.approx(means(metrics))


@pytest.mark.search
def test_mlflow_has_every_set_at_every_epoch(searched):
    folder, printed = searched
    assert "mlflow    " not in printed, "nothing was refused"
    client = MlflowClient(f"sqlite:///{folder.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("vpr-search").experiment_id
    runs = client.search_runs([experiment], "tags.role = 'trial'")
    assert len(runs) == 3
    for found in runs:
        histories = [client.get_metric_history(found.info.run_id, f"val/{name}/recall_at_1") for name in NAMES]
        mean = client.get_metric_history(found.info.run_id, "val/recall_at_1")
        values = np.mean([[point.value for point in history] for history in histories], axis=0)
        assert [point.value for point in mean] == pytest.approx(values)


@pytest.mark.search
def test_it_goes_on_with_its_val_sets_and_is_refused_with_others(searched, city, tmp_path):
    folder, _ = searched
    shutil.copytree(folder.parent, tmp_path / "r")
    beginning = json.loads((tmp_path / "r/two/search.json").read_text())
    assert beginning["settings"]["val"][0] == f"plain={city / 'sf_xs/val'}"
    again = ["--name", "two", "--storage", str(tmp_path / "r")]
    renamed = [f"--val={text.replace('plain', 'other')}" for text in beginning["settings"]["val"]]
    done = run("run", *again, *renamed)
    assert done.returncode == 2 and "val sets was" in done.stderr
    before = (tmp_path / "r/two/summary.json").read_text()
    weights = tmp_path / "r/two/export/model.safetensors"
    written_at = weights.stat().st_mtime_ns
    done = run("run", *again)
    assert done.returncode == 0, done.stdout + done.stderr
    assert weights.stat().st_mtime_ns == written_at, "the same model is not exported again"
    assert "champion  none" in done.stdout and {file.name for file in weights.parent.iterdir()} == EXPORTED - {
        "model.onnx",
        "model.pt2",
    }
    names = ("trials", "finalists", "tie_group", "test", "data")
    summaries = [json.loads(text) for text in (before, (tmp_path / "r/two/summary.json").read_text())]
    assert [summaries[0][name] for name in names] == [summaries[1][name] for name in names]


@pytest.mark.search
def test_two_trials_are_compared_on_every_val_set(searched, tmp_path):
    folder, _ = searched
    summary = json.loads((folder / "summary.json").read_text())
    first, second, *_ = (str(entry["id"]) for entry in summary["trials"] if entry["checkpoint"])
    to = tmp_path / "own.html"
    done = run("gallery", "two", "--storage", str(folder.parent), "--trials", first, second, "--to", str(to))
    assert done.returncode == 0, done.stderr
    assert all(f"val/{name}" in to.read_text() for name in NAMES) and "sf_xs/test" not in to.read_text()


def keys(summary):
    return ((one["trial"], seed["seed"]) for one in summary["finalists"] for seed in one["seeds"])
