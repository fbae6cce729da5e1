"""Where weights come from, and what is said where they do not."""

from urllib.error import URLError

import pytest
import torch

from vpr import backbones
from vpr.config import ModelConfig
from vpr.errors import WeightsError
from vpr.model import PlaceModel


def test_an_impossible_download_names_both_other_ways(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    with pytest.raises(WeightsError, match=r"cannot be downloaded .*model/weights=PATH .*model/weights=none"):
        PlaceModel(ModelConfig(), (64, 64))


def test_a_classifier_in_the_file_is_left_out(tmp_path):
    network = backbones.torchvision.models.resnet18()
    torch.save({"state_dict": network.state_dict()}, tmp_path / "w.pth")
    model = PlaceModel(ModelConfig(weights=str(tmp_path / "w.pth"), dim=8), (64, 64))
    assert torch.equal(model.backbone.network.conv1.weight, network.conv1.weight)


def test_weights_are_read_once_and_a_model_is_the_same_after_any_other(tmp_path, monkeypatch):
    torch.save(backbones.torchvision.models.resnet18().state_dict(), tmp_path / "w.pth")
    config = ModelConfig(weights=str(tmp_path / "w.pth"), dim=8)

    def built():
        torch.manual_seed(3)
        return PlaceModel(config, (64, 64)).state_dict()

    first = built()
    monkeypatch.setattr(backbones, "read_weights", None)  # the file is not read again
    again = built()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first["projection.weight"].data_ptr() != again["projection.weight"].data_ptr()


def test_files_that_are_no_weights(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"123")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, words in (("bad.safetensors", "cannot be read"), ("list.pth", "no state dict"), ("none.pth", "no file")):
        with pytest.raises(WeightsError, match=words):
            PlaceModel(ModelConfig(weights=str(tmp_path / name)), (64, 64))
