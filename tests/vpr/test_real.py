"""Real photographs and real pretrained weights: the published figures come out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from vpr.data import open_retrieval
from vpr.errors import WeightsError
from vpr.evaluate import evaluate
from vpr.leaves import from_leaves
from vpr.model import PlaceModel

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tower):
    return tower.parents[1] / "weights/tf_efficientnet_lite0.safetensors"


def pretrained(weights, **leaves):
    return from_leaves(
        {"model/backbone": "timm:tf_efficientnet_lite0", "model/weights": str(weights), "model/dim": None, **leaves}
    )


@pytest.mark.parametrize(
    ("size", "split", "expected", "tolerance"),
    [
        ("128x224", "sf_xs/val", {1: 49.8}, 0.0),  # bilinear, antialiased: our own filter
        ("160x288", "sf_xs/val", {1: 52.6, 5: 77.7, 10: 87.4}, 2.0),  # found with another filter
    ],
)
def test_untrained_features_give_the_published_recall(tower, weights, size, split, expected, tolerance):
    config = pretrained(weights, **{"data/image_size": size})
    found = evaluate(
        PlaceModel(config.model, config.data.image_size), open_retrieval(tower / split, config.data), "fp32", CPU
    )
    assert all(round(abs(round(found[n], 1) - value), 1) <= tolerance for n, value in expected.items()), found


def test_a_timm_backbone_brings_its_own_mean_and_std(weights):
    model = PlaceModel(pretrained(weights).model, (64, 64))
    assert model.mean.flatten().tolist() == [0.5] * 3 and model.std.flatten().tolist() == [0.5] * 3


def test_weights_of_another_backbone_are_refused(weights, tmp_path):
    config = from_leaves({"model/weights": str(weights)})
    with pytest.raises(WeightsError, match="does not fit model/backbone=resnet18"):
        PlaceModel(config.model, (64, 64))
    torch.save(load_file(weights), tmp_path / "same.pth")
    PlaceModel(pretrained(tmp_path / "same.pth").model, (64, 64))
    tensors = load_file(weights)
    tensors.pop("conv_stem.weight")
    save_file(tensors, tmp_path / "less.safetensors")
    with pytest.raises(WeightsError, match="lacks 1 tensors, first conv_stem.weight"):
        PlaceModel(pretrained(tmp_path / "less.safetensors").model, (64, 64))


@pytest.mark.search
@pytest.mark.long
def test_a_search_on_real_photographs(tower, weights, tmp_path):
    leaves = [
        *(f"--set=model/weights={weights}", "--set=model/backbone=timm:tf_efficientnet_lite0"),
        *("--set=data/image_size=64x112", "--set=data/places_per_batch=32"),
    ]
    flags = ["--data", str(tower), "--trials", "2", "--epochs", "1", "--storage", str(tmp_path), "--name", "tower"]
    flags += ["--confirm", "2", "--confirm-seeds", "1"]
    done = subprocess.run(
        [sys.executable, "search/run.py", *flags, *leaves], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "tower/summary.json").read_text())
    assert [entry["state"] for entry in summary["trials"]] == ["completed"] * 2
    assert (
        set(summary["test"]) == {"sf_xs/test", "tokyo_xs/test"} and summary["test"]["sf_xs/test"]["recall_at_10"] > 20
    )
