"""The card of an export says what its three files say, and its code runs."""

import copy
import re
import shutil
import subprocess
import sys

import mlflow
import pytest
from mlflow import MlflowClient
from PIL import Image

from search import card
from search.champion import dethrone, register
from search.registry import fetch
from vpr.checkpoint import save_checkpoint
from vpr.datasets import find_sets
from vpr.errors import WeightsError
from vpr.export import write_export
from vpr.model import PlaceModel

pytestmark = pytest.mark.slow

RECALLS = {f"recall_at_{n}": 40.0 + n for n in (1, 5, 10, 20)}
VAL = {f"val/{name}": value for name, value in RECALLS.items()}
RUN = {"seed": 1, "best": VAL, "test": {"sf_xs/test": RECALLS}}
KNOWN = {"mean": 33.4, "interval": [30.0, 36.0]}
SUMMARY = {
    "name": "mine",
    "space": "losses",
    "data": {"root": "/data", "fingerprint": "abc", "overlap": []},
    "versions": {"torch": "2"},
    "trials": [{"id": 4}, {"id": 2}],
    "finalists": [{"trial": 4, "seeds": [RUN], **KNOWN, "test": {"sf_xs/test": KNOWN}}],
    "tie_group": [4, 2],
    "test": {"sf_xs/test": RECALLS},
    "best": {"trial": 4, "seed": 1, "export": None},
}


@pytest.fixture(scope="module")
def checkpoint(config, tmp_path_factory):
    model = PlaceModel(config.model, config.data.image_size)
    file = tmp_path_factory.mktemp("card") / "c.pt"
    save_checkpoint(file, {"model": model.state_dict()}, config)
    return file


@pytest.fixture(scope="module")
def written(city, checkpoint):
    """An export without its card."""
    write_export(checkpoint.with_name("staged"), checkpoint, VAL, find_sets(city).first_val)
    return checkpoint.with_name("staged")


@pytest.fixture
def staged(written, tmp_path):
    shutil.copytree(written, tmp_path / "staged")
    return tmp_path / "staged"


def test_the_card_says_what_is_known_and_its_code_runs(staged, tmp_path):
    card.finish(staged, tmp_path / "export", SUMMARY, 4, 1)
    text = (tmp_path / "export/README.md").read_text()
    assert "| sf_xs/test | 41.0 | 45.0 | 50.0 | 60.0 | 33.4 [30.0, 36.0] |" in text and not staged.exists()
    assert "fingerprint of train and val abc" in text and "cannot be told apart from trial 2" in text
    Image.new("RGB", (50, 40), "red").save(tmp_path / "export/photo.jpg")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = "\n".join([*blocks, "assert descriptors.shape == (1, 32)"])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "export", capture_output=True, text=True)
    assert len(blocks) == 4 and done.returncode == 0, done.stderr


@pytest.mark.parametrize(("formats", "there"), [((), set()), (("pt2",), {"model.pt2"})])
def test_an_export_has_the_formats_that_were_asked_for_and_its_card_no_other(
    formats, there, city, checkpoint, tmp_path
):
    write_export(tmp_path / "staged", checkpoint, VAL, find_sets(city).first_val, formats=formats)
    card.finish(tmp_path / "staged", tmp_path / "export", SUMMARY, 4, 1)
    text = (tmp_path / "export/README.md").read_text()
    models = {file.name for file in (tmp_path / "export").glob("model.*")}
    assert models == {"model.safetensors", *there}
    assert {name for name in ("model.safetensors", "model.onnx", "model.pt2") if name in text} == models


def test_a_trial_that_is_no_finalist_has_no_test_recall(staged, tmp_path):
    summary = copy.deepcopy(SUMMARY) | {"tie_group": [4]}
    card.finish(staged, tmp_path / "export", summary, 2, None)
    text = (tmp_path / "export/README.md").read_text()
    assert "No test set was measured" in text and "not among those" in text and "33.4" not in text


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """Its address, which is the process's own as long as the test lasts."""
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)  # which MLflow has just taken away
    yield address
    mlflow.set_tracking_uri(None)


def test_a_champion_is_registered_once_however_often_it_is_tried(staged, registry, tmp_path):
    client = MlflowClient(registry)
    experiment = client.create_experiment("e", (tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment).info.run_id
    for seed in ("1", "1", "2"):
        register(client, experiment, run, "v1.2", staged, {"search_id": "s", "trial": "4", "seed": seed}, "the answer")
    versions = client.search_model_versions("name = 'v1.2'")
    assert sorted((int(one.version), one.tags["seed"]) for one in versions) == [(1, "1"), (2, "2")]
    champion = client.get_model_version_by_alias("v1.2", "champion")
    assert (int(champion.version), champion.description) == (2, "the answer")
    assert (fetch("models:/v1.2@champion", tmp_path / "here") / "model.onnx").exists()
    for name in ("v1.2", "never registered"):  # the winner of a later session has no ONNX model
        dethrone(client, name)
    assert client.get_registered_model("v1.2").aliases == {} and len(client.search_model_versions("name = 'v1.2'")) == 2


def test_a_model_that_the_registry_does_not_have(registry, tmp_path):
    with pytest.raises(WeightsError, match=r"models:/none@champion cannot be fetched .*MLFLOW_TRACKING_URI"):
        fetch("models:/none@champion", tmp_path)
