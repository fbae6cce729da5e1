"""Training: resumable to the bit, honest when it fails, and the same from the command line."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

import vpr
from tests.search.commands import refusal
from vpr.batches import PlaceSampler
from vpr.checkpoint import best_file, load_latest, save_checkpoint, save_epoch
from vpr.config import LOSSES, OPTIMIZERS, SCHEDULERS, DataConfig, SchedulerConfig
from vpr.data import open_data
from vpr.datasets import VAL_SET, Folders, find_sets
from vpr.errors import DataError, TrainingError, WeightsError
from vpr.evaluate import evaluate
from vpr.export import load_model, write_export
from vpr.leaves import from_leaves
from vpr.results import best_key
from vpr.schedulers import Schedule
from vpr.train import Trainer

CPU = torch.device("cpu")


def numbers(results):
    return [(result.epoch, result.loss, result.learning_rate, result.recalls) for result in results]


BRISK = {
    "step": {"scheduler/step_epochs": 1},
    "multistep": {"scheduler/milestones": (1,)},
    "plateau": {"scheduler/patience": 0},
    "cosine_restarts": {"scheduler/restart_epochs": 1},
}
"""Schedules that act within two epochs."""

CASES = [
    *({"optimizer/name": name} for name in OPTIMIZERS),
    *({"scheduler/name": name, **BRISK.get(name, {})} for name in SCHEDULERS),
    *({"loss/name": name} for name in LOSSES),
    {"data/augment": "randaugment"},
    {"training/precision": "bf16"},
]


@pytest.mark.slow
@pytest.mark.parametrize("leaves", CASES, ids=lambda leaves: "-".join(map(str, leaves.values())))
def test_resume_equals_uninterrupted(leaves, config, data, tmp_path):
    own = from_leaves(leaves, config)
    whole = Trainer(own, data, CPU)
    found = []
    for result in whole:
        found += numbers([result])
        save_epoch(tmp_path / str(result.epoch), whole.state_dict(), own)
    for epoch in range(1, own.training.epochs):
        torch.manual_seed(99)
        again = Trainer(own, data, CPU, is_resumed=True)
        again.load_state_dict(load_latest(tmp_path / str(epoch), own))
        assert again.metrics["train/loss"] == found[epoch - 1][1] and numbers(again) == found[epoch:]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(config, data, tmp_path, capfd):
    whole = Trainer(config, data, CPU)
    for _ in whole:
        save_epoch(tmp_path, whole.state_dict(), config)
    last, before = tmp_path / "epoch-0002.pt", tmp_path / "epoch-0001.pt"
    for damage in (lambda content: content[: len(content) // 2], lambda content: _flipped(content, len(content) // 2)):
        content = last.read_bytes()
        last.write_bytes(damage(content))
        state = load_latest(tmp_path, config)
        assert state["epoch"] == 1 and str(last) in capfd.readouterr().err
        last.write_bytes(content)
    for file in (last, before):
        file.write_bytes(b"nothing")
    assert load_latest(tmp_path, config) is None
    with pytest.raises(WeightsError, match="holds no whole"):
        best_file(tmp_path)


def _flipped(content: bytes, place: int) -> bytes:
    """With one bit changed, which torch.load does not notice."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def test_the_last_two_epochs_and_the_best_are_kept(config, data, tmp_path):
    state = Trainer(config, data, CPU).state_dict()
    bests = [1, 2, 2, 2, 5, 5]
    for epoch, best in enumerate(bests, start=1):
        known = {"best": [50.0, 60.0, -best], "best_before": [40.0, 60.0, -bests[epoch - 2]] if epoch > 1 else None}
        save_epoch(tmp_path, {**state, "epoch": epoch, **known}, config)
        kept = {int(file.stem[-4:]) for file in tmp_path.iterdir()}
        assert {epoch, max(epoch - 1, 1), best} <= kept and len(kept) <= 4
        assert best_file(tmp_path).name == f"epoch-{best:04d}.pt"
    assert kept == {5, 6}


def test_a_loss_that_is_not_finite_fails_the_trial(config, data):
    own = from_leaves({"optimizer/name": "sgd", "optimizer/lr": 1e30}, config)
    with pytest.raises(TrainingError, match="lower optimizer/lr"):
        list(Trainer(own, data, CPU))


def test_untrained_epochs_zero_yields_nothing(config, data):
    assert list(Trainer(from_leaves({"training/epochs": 0}, config), data, CPU)) == []


@pytest.mark.slow
def test_export_gives_back_the_trials_recall(config, data, city, tmp_path):
    trainer = Trainer(config, data, CPU)
    *_, last = trainer
    save_checkpoint(tmp_path / "last.pt", trainer.state_dict(), config)
    write_export(tmp_path / "export", tmp_path / "last.pt", last.metrics(), find_sets(city).first_val)
    assert evaluate(vpr.load(tmp_path / "export"), data.vals[VAL_SET], "auto", CPU) == last.recalls
    assert evaluate(load_model(tmp_path / "last.pt")[0], data.vals[VAL_SET], "auto", CPU) == last.recalls


def test_several_val_sets_have_equal_weight_in_the_mean_and_one_is_as_ever(config, city, tmp_path):
    folders = {"day": city / VAL_SET, "night": tmp_path / "night"}
    shutil.copytree(city / "tokyo_xs/test", folders["night"])
    for query in sorted((folders["night"] / "queries").rglob("*.jpg"))[::3]:
        query.unlink()
    both, day, night = (
        Trainer(config, open_data(Folders(city / "gsv_xs/train", vals), config.data), CPU)
        for vals in (folders, {"day": folders["day"]}, {"night": folders["night"]})
    )
    sizes = [len(val.queries) for val in both.data.vals.values()]
    assert sizes[0] != sizes[1], "the sets must tell their weights"
    for result, of_day, of_night in zip(both, day, night, strict=True):
        assert result.recalls_by_set == {"day": of_day.recalls, "night": of_night.recalls}
        assert result.recalls == {n: (of_day.recalls[n] + of_night.recalls[n]) / 2 for n in (1, 5, 10, 20)}
        metrics = result.metrics()
        assert metrics["val/recall_at_1"] == (metrics["val/day/recall_at_1"] + metrics["val/night/recall_at_1"]) / 2
        assert set(metrics) - set(of_day.metrics()) == {
            f"val/{name}/recall_at_{n}" for name in folders for n in (1, 5, 10, 20)
        }


def test_a_batch_holds_places_once_and_images_once():
    labels = np.repeat(np.arange(21), 6)
    sampler = PlaceSampler(labels, DataConfig(places_per_batch=8, images_per_place=4), seed=0)
    epoch = list(sampler)
    assert len(epoch) == len(sampler) == 3
    for batch in epoch:
        assert len(set(batch.tolist())) == 32 and (np.bincount(labels[batch], minlength=21) % 4 == 0).all()
        assert (np.bincount(labels[batch]) > 0).sum() == 8
    assert set(labels[np.concatenate(epoch)]) == set(range(21))
    with pytest.raises(DataError, match="21 places, but data/places_per_batch=32"):
        PlaceSampler(labels, DataConfig(places_per_batch=32), seed=0)


def test_warm_up_rises_linearly_and_then_the_schedule_begins():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = Schedule(SchedulerConfig(name="cosine", warmup_epochs=2), optimizer, epochs=6, steps=5)
    rates = []
    for _ in range(6):
        for _ in range(5):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(50.0)
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10::5] == pytest.approx([(1 + np.cos(np.pi * epoch / 4)) / 2 for epoch in range(4)])


def test_the_best_epoch_by_the_one_rule():
    rows = [(1, 50.0, 70.0), (2, 51.0, 70.0), (3, 51.0, 72.0), (4, 51.0, 72.0), (5, 50.9, 99.0)]
    named = [{"epoch": e, "val/recall_at_1": one, "val/recall_at_5": five} for e, one, five in rows]
    assert max(named, key=best_key)["epoch"] == 3


def test_a_hostile_or_foreign_checkpoint_is_refused(config, tmp_path):
    class Hostile:
        def __reduce__(self):
            return print, ("ran",)

    torch.save({"config": {}, "trainer": Hostile()}, tmp_path / "hostile.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("hostile.pt", "text.pt", "missing.pt"):
        with pytest.raises(WeightsError):
            load_model(tmp_path / name)
    for trainer in ({}, [], {"model": None}):
        save_checkpoint(tmp_path / "hollow.pt", trainer, config)
        with pytest.raises(WeightsError, match="cannot be read as a checkpoint"):
            load_model(tmp_path / "hollow.pt")
    save_checkpoint(tmp_path / "own/epoch-0001.pt", {"model": {}}, config)
    with pytest.raises(WeightsError, match="lacks augment_generator, best"):
        load_latest(tmp_path / "own", config)
    with pytest.raises(WeightsError, match="loss/name"):
        load_latest(tmp_path / "own", from_leaves({"loss/name": "circle"}, config))


@pytest.mark.slow
def test_the_command_line_trains_resumes_and_measures(city, tmp_path, monkeypatch, capfd):
    def python(*words):
        return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, timeout=300)

    leaves = [
        f"--set={leaf}"
        for leaf in (
            "model/weights=none",
            "model/dim=16",
            "data/image_size=32x56",
            "data/places_per_batch=8",
            "training/epochs=1",
        )
    ]
    out = str(tmp_path / "out")
    done = python("vpr.train", "--data", str(city), "--out", out, *leaves)
    assert done.returncode == 0, done.stderr
    recall = (
        next(line for line in done.stdout.splitlines() if line.startswith("epoch 1")).split("recall@1 ")[1].split()[0]
    )
    measured = python("vpr.evaluate", out, "--data", str(city), "--split", "sf_xs/val")
    shown = measured.stdout.splitlines()[1].split()[1]
    assert f"{float(shown):.1f}" == recall, measured.stdout
    assert "--resume" in refusal(monkeypatch, capfd, "train", "--data", city, "--out", out, *leaves)
    wrong = refusal(monkeypatch, capfd, "evaluate", f"{out}/epoch-0001.pt", "--data", city, "--split", "oslo")
    assert "--split" in wrong
