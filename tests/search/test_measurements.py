"""Answers that trainings have kept on val are taken where they are those of the best epoch, and measured again elsewhere."""

from types import SimpleNamespace

import numpy as np
import pytest
import ray
from rich.console import Console

from search.answers import Answers, answers_file, keep_answers
from search.measurements import Measurements
from search.records import TrialRecord
from vpr.folders import Folders
from vpr.recall import NEVER


@pytest.fixture
def begun(monkeypatch):
    """Checkpoints that workers were asked to measure."""
    asked = []
    task = SimpleNamespace(remote=lambda checkpoint, *given: asked.append(checkpoint.name))
    monkeypatch.setattr(ray, "remote", lambda **resources: lambda function: task)
    return asked


def measurements(folder, vals=("v",)):
    folders = Folders(folder, {name: folder / name for name in vals}, {})
    plan = SimpleNamespace(folder=folder, folders=folders, source="", cache_budget=None, on_bad_image="error")
    return Measurements(SimpleNamespace(cpus=1, gpus=0, device="cpu"), plan, Console())


def trained(folder, at_1, name="val"):
    """A training whose best epoch has this recall@1, and 100 % from recall@10 on."""
    best = {f"{name}/recall_at_{n}": value for n, value in zip((1, 5, 10, 20), (at_1, at_1, 100.0, 100.0), strict=True)}
    best |= {"epoch": 2, "val/recall_at_1": at_1, "val/recall_at_5": at_1}
    return TrialRecord(3, {}, seed=1, epochs=[best], checkpoint=folder / "epoch-0002.pt")


def keep(folder, first, name="val"):
    nearest = np.zeros((len(first), 5), np.int32)
    keep_answers(answers_file(folder, (3, 1), name), Answers(np.array(first), nearest))


def test_the_answers_of_the_best_epoch_are_not_measured_again(tmp_path, begun):
    keep(tmp_path, [0, 7])
    found = measurements(tmp_path)
    found.begin([trained(tmp_path, 50.0)], found.plan.folders.reported_vals)
    assert begun == [] and found.first[(3, 1), "val"].tolist() == [0, 7]


def test_each_of_several_val_sets_is_compared_with_its_own_recall(tmp_path, begun):
    keep(tmp_path, [0, 7], "val/b")
    found = measurements(tmp_path, ("a", "b"))
    found.begin([trained(tmp_path, 50.0, "val/b")], {"val/b": tmp_path / "b"})
    assert begun == [] and list(found.first) == [((3, 1), "val/b")]


@pytest.mark.parametrize("first", [[0, 0], [0, NEVER]])
def test_those_of_an_epoch_whose_checkpoint_was_lost_are_measured_again(tmp_path, begun, first):
    keep(tmp_path, first)
    found = measurements(tmp_path)
    found.begin([trained(tmp_path, 50.0)], found.plan.folders.reported_vals)
    assert begun == ["epoch-0002.pt"] and not found.first


def test_damaged_ones_are_measured_again(tmp_path, begun):
    keep(tmp_path, [0, 7])
    answers_file(tmp_path, (3, 1), "val").write_bytes(b"PK damaged")
    found = measurements(tmp_path)
    found.begin([trained(tmp_path, 50.0)], found.plan.folders.reported_vals)
    assert begun == ["epoch-0002.pt"]
