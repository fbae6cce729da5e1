"""An export in each of its formats gives what the trained model gives, or there is no export."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import vpr
from vpr.aggregations import AGGREGATIONS
from vpr.checkpoint import save_checkpoint
from vpr.data import open_retrieval
from vpr.datasets import find_sets
from vpr.errors import WeightsError
from vpr.export import check_export, load_model, write_export
from vpr.formats import read_onnx, read_pt2
from vpr.leaves import from_leaves
from vpr.model import PlaceModel

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FILES = {"model.safetensors", "model.onnx", "model.pt2", "config.json", "metrics.json"}


def checkpoint(folder, config, **leaves):
    own = from_leaves({"model/backbone": "timm:test_resnet", **leaves}, config)
    model = PlaceModel(own.model, own.data.image_size)
    save_checkpoint(folder / "c.pt", {"model": model.state_dict()}, own)
    return folder / "c.pt"


@pytest.fixture(scope="module")
def export(city, config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    write_export(folder / "x", checkpoint(folder, config), {"val/recall_at_1": 1.0}, find_sets(city).first_val)
    return folder / "x"


def outputs(folder, images):
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        return {
            "safetensors": vpr.load(folder)(images).numpy(),
            "pt2": torch.export.load(folder / "model.pt2").module()(images).numpy(),
            "onnx": session.run(None, {"images": images.numpy()})[0],
        }


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
def test_every_aggregation_in_every_format_and_any_batch(name, city, config, tmp_path):
    file = checkpoint(tmp_path, config, **{"model/aggregation": name})
    write_export(tmp_path / "x", file, {}, find_sets(city).first_val)
    assert {one.name for one in (tmp_path / "x").iterdir()} == FILES
    trained = load_model(file)[0]
    for count in (1, 3, 32):
        images = torch.rand(count, 3, 32, 56)
        with torch.inference_mode():
            expected = trained(images).numpy()
        for found in outputs(tmp_path / "x", images).values():
            assert found.shape == (count, 32) and np.abs(found - expected).max() < 1e-4
            assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(count), abs=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "timm:vit_tiny_patch16_224"])
def test_other_backbones(name, city, config, tmp_path):
    write_export(
        tmp_path / "x", checkpoint(tmp_path, config, **{"model/backbone": name}), {}, find_sets(city).first_val
    )
    found = json.loads((tmp_path / "x/metrics.json").read_text())["formats"]
    assert all(found[format_]["largest_difference"] < 1e-4 for format_ in FILES if format_.startswith("model."))


def test_the_metrics_say_what_was_compared(export, city):
    found = json.loads((export / "metrics.json").read_text())
    recalls = [
        {name: value for name, value in found["formats"][file].items() if name.startswith("recall")}
        for file in ("model.safetensors", "model.onnx", "model.pt2")
    ]
    assert not [file.name for file in export.iterdir() if str(ROOT).encode() in file.read_bytes()]
    assert not [file.name for file in export.iterdir() if b"site-packages" in file.read_bytes()]
    assert found["val/recall_at_1"] == 1.0 and recalls[0] == recalls[1] == recalls[2] and len(recalls[0]) == 4


def tampered_onnx(folder):
    model = onnx.load(folder / "model.onnx")
    weights = next(one for one in model.graph.initializer if len(one.dims) == 4)
    changed = onnx.numpy_helper.to_array(weights) + 0.1
    weights.CopyFrom(onnx.numpy_helper.from_array(changed, weights.name))
    onnx.save(model, folder / "model.onnx")


def other_pt2(folder):
    torch.export.save(torch.export.export(torch.nn.Flatten(), (torch.rand(2, 3, 32, 56),)), folder / "model.pt2")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (tampered_onnx, "model.onnx gives other descriptors"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"no model"), "model.onnx cannot be read"),
        (lambda folder: (folder / "model.pt2").write_bytes(b"no model"), "model.pt2 cannot be read"),
        (other_pt2, "model.pt2"),
    ],
)
def test_a_format_that_is_not_the_models_is_refused(change, words, export, config, city, tmp_path):
    shutil.copytree(export, tmp_path / "x")
    trained, own = load_model(export)
    change(tmp_path / "x")
    with pytest.raises(WeightsError, match=words):
        check_export(tmp_path / "x", trained, open_retrieval(find_sets(city).first_val, own.data))


def test_a_model_whose_descriptors_are_not_finite_leaves_no_folder(city, config, tmp_path):
    file = checkpoint(tmp_path, config)
    model, own = load_model(file)
    model.projection.weight.data.fill_(float("nan"))
    save_checkpoint(file, {"model": model.state_dict()}, own)
    with pytest.raises(WeightsError, match="differ by nan"):
        write_export(tmp_path / "x", file, {}, find_sets(city).first_val)
    assert [one.name for one in tmp_path.iterdir()] == ["c.pt"]


def test_the_readers_take_threads_and_any_batch(export):
    images = torch.rand(3, 3, 32, 56)
    assert torch.allclose(read_onnx(export / "model.onnx")(images), read_pt2(export / "model.pt2")(images), atol=1e-4)


def registered(place, export, monkeypatch, code):
    """An installed package that fetches `models:/`, as a wheel's metadata says it."""
    (place / "fetching-1.dist-info").mkdir()
    (place / "fetching-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: fetching\nVersion: 1\n")
    (place / "fetching-1.dist-info/entry_points.txt").write_text("[vpr.sources]\nshelf = fetching:fetch\n")
    (place / "fetching.py").write_text(code)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "fetching", raising=False)


def test_an_address_is_fetched_by_whatever_package_knows_it(export, tmp_path, monkeypatch):
    code = f"import shutil\ndef fetch(address, folder):\n    shutil.copytree({str(export)!r}, folder / 'artifacts/export')\n    return folder\n"
    registered(tmp_path, export, monkeypatch, code)
    images = torch.rand(2, 3, 32, 56)
    assert torch.equal(vpr.load("shelf:/tower@champion")(images), vpr.load(export)(images))


def test_an_address_without_an_export_or_without_a_package(tmp_path, export, monkeypatch):
    registered(tmp_path, export, monkeypatch, "def fetch(address, folder): return folder")
    with pytest.raises(WeightsError, match="holds 0 exports"):
        vpr.load("shelf:/tower@champion")
    with pytest.raises(WeightsError, match="nothing that is installed fetches moon:/"):
        vpr.load("moon:/tower/3")
