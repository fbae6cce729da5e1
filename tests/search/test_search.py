"""A whole small search with real Ray, Optuna and MLflow, and what it leaves behind."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import torch
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import vpr
from vpr.data import open_retrieval
from vpr.datasets import find_sets
from vpr.evaluate import evaluate
from vpr.export import load_export

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = [
    *("--set=model/weights=none", "--set=model/dim=32", "--set=data/image_size=32x56"),
    *("--set=data/places_per_batch=8", "--set=data/augment=light"),
]
FAILING = '''
"""One trial whose loss explodes, one that trains."""
KNOWN_GOOD = [{"optimizer/lr": 1e30}, {"optimizer/lr": 0.01}]


def suggest(trial):
    trial.suggest_float("optimizer/lr", 1e-4, 1e30, log=True)
'''


def run(script, *flags):
    return subprocess.run(
        [sys.executable, f"search/{script}.py", *flags], cwd=ROOT, capture_output=True, text=True, timeout=400
    )


@pytest.fixture(scope="module")
def finished(city, tmp_path_factory):
    """The printed end of a search of five trials, and its folder."""
    storage = tmp_path_factory.mktemp("results")
    done = run(
        "run",
        "--space",
        "losses",
        "--data",
        str(city),
        "--trials",
        "5",
        "--epochs",
        "2",
        "--name",
        "first",
        "--storage",
        str(storage),
        *SETTINGS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, storage / "first"


@pytest.fixture(scope="module")
def summary(finished):
    return json.loads((finished[1] / "summary.json").read_text())


def test_the_summary_is_what_the_design_says(summary):
    assert {
        "name",
        "space",
        "command",
        "seed",
        "versions",
        "data",
        "wall_seconds",
        "trial_seconds",
        "saved_seconds",
        "seconds_to_first_step",
        "slots",
        "trials",
        "finalists",
        "tie_group",
        "test",
        "best",
    } <= set(summary)
    assert [
        set(entry) >= {"id", "state", "params", "epochs", "seconds", "stop_reason", "best"}
        for entry in summary["trials"]
    ] == [True] * 5
    assert sorted(entry["id"] for entry in summary["trials"]) == list(range(5))
    assert {entry["state"] for entry in summary["trials"]} <= {"completed", "pruned"}
    recalls = [entry["best"]["val/recall_at_1"] for entry in summary["trials"]]
    assert recalls == sorted(recalls, reverse=True) and summary["best"]["trial"] == summary["trials"][0]["id"]
    assert 0 < summary["seconds_to_first_step"] < summary["wall_seconds"]
    assert set(summary["test"]) == {"sf_xs/test", "tokyo_xs/test"}


def test_what_is_printed(finished, summary):
    printed, folder = finished
    assert f"export    {folder}/export" in printed and "mlflow ui --backend-store-uri sqlite:////" in printed
    assert "-m vpr.evaluate" in printed and "R@1" in printed and "what varied" in printed
    assert "\x1b[" not in printed


def test_the_export_has_the_trials_recall_to_the_last_digit(finished, summary, city):
    _, config = load_export(finished[1] / "export")
    model = vpr.load(finished[1] / "export")
    torch.set_num_threads(1)
    found = evaluate(model, open_retrieval(find_sets(city).val, config.data), "auto", torch.device("cpu"))
    assert found == {n: summary["trials"][0]["best"][f"val/recall_at_{n}"] for n in (1, 5, 10, 20)}


def test_export_of_any_trial(finished, tmp_path):
    _, folder = finished
    done = run("export", "first", "--to", str(tmp_path / "out"), "--storage", str(folder.parent), "--trial", "1")
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"model.safetensors", "config.json", "metrics.json"}
    assert vpr.load(tmp_path / "out")(torch.rand(1, 3, 32, 56)).shape == (1, 32)
    for wrong in (["--trial", "99"], []):
        refused = run("export", "first", "--to", str(tmp_path / "out"), "--storage", str(folder.parent), *wrong)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1


def test_optuna_and_mlflow_know_the_same_trials(finished, summary):
    _, folder = finished
    study = optuna.load_study(
        study_name="first", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    )
    states = {"completed": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    client = MlflowClient(f"sqlite:///{folder.parent}/mlflow.db")
    experiment = client.get_experiment_by_name("vpr-search")
    runs = {run.data.tags["trial_id"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"search", *map(str, range(5))}
    for entry in summary["trials"]:
        trial, record = study.trials[entry["id"]], runs[str(entry["id"])]
        assert trial.params == entry["params"] and trial.state.name == states[entry["state"]]
        assert len(trial.intermediate_values) == entry["epochs"]
        history = client.get_metric_history(record.info.run_id, "val/recall_at_1")
        assert {point.step: point.value for point in history} == trial.intermediate_values
        assert {
            "train/loss",
            "train/learning_rate",
            "train/images_per_second",
            "train/seconds",
            "best/val_recall_at_1",
        } <= set(record.data.metrics)
        assert (
            record.data.params["loss/name"] == entry["params"]["loss/name"]
            and record.data.tags["state"] == entry["state"]
        )
        assert record.data.tags["mlflow.parentRunId"] == runs["search"].info.run_id


def test_a_failed_trial_is_told_and_the_search_goes_on(city, tmp_path):
    space = tmp_path / "exploding.py"
    space.write_text(FAILING)
    done = run(
        "run",
        "--space",
        str(space),
        "--data",
        str(city),
        "--trials",
        "2",
        "--epochs",
        "1",
        "--name",
        "f",
        "--storage",
        str(tmp_path),
        *SETTINGS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "f/summary.json").read_text())
    assert {entry["id"]: entry["state"] for entry in summary["trials"]} == {0: "failed", 1: "completed"}
    assert "lower optimizer/lr" in next(entry for entry in summary["trials"] if entry["id"] == 0)["stop_reason"]
    assert "Traceback" not in done.stdout + done.stderr


def test_a_search_without_any_success_ends_with_1(city, tmp_path):
    flags = ["--set=optimizer/lr=1e30", "--trials", "1", "--epochs", "1", "--name", "none", "--storage", str(tmp_path)]
    done = run("run", "--data", str(city), *flags, *SETTINGS)
    assert done.returncode == 1 and "no trial succeeded" in done.stdout, done.stdout + done.stderr
    summary = json.loads((tmp_path / "none/summary.json").read_text())
    assert summary["best"] is None and [entry["state"] for entry in summary["trials"]] == ["failed"]
