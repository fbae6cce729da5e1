"""A whole small search with real Ray, Optuna and MLflow, and what it leaves behind."""

import hashlib
import json
import shlex
import subprocess
import sys

import mlflow
import mlflow.onnx
import numpy as np
import optuna
import pytest
import torch
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import vpr
from search.answers import answers_file
from search.ledger import read_ledger
from tests.search.commands import EXPORTED, ROOT, run
from vpr.data import open_retrieval
from vpr.datasets import find_sets
from vpr.evaluate import evaluate
from vpr.export import load_export
from vpr.results import best_key

pytestmark = pytest.mark.search


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
    assert recalls == sorted(recalls, reverse=True)
    assert 0 < summary["seconds_to_first_step"] < summary["wall_seconds"]
    assert set(summary["test"]) == {"sf_xs/test", "tokyo_xs/test"}


def test_what_is_printed(finished, summary):
    printed, folder, _ = finished
    assert f"export    {folder}/export" in printed and "mlflow ui --backend-store-uri sqlite:////" in printed
    assert "-m vpr.evaluate" in printed and "R@1" in printed and "what varied" in printed
    assert "finalists, each again with 2 seeds" in printed and "the best single run was trial" in printed
    assert "rank correlation with the end" in printed and "test-ledger.jsonl" in printed
    assert "\x1b[" not in printed


def test_the_answer_is_known_without_another_measurement(finished, summary):
    """What each finalist's training answered on val was kept by the training itself, before it reported its last epoch."""
    printed, folder, _ = finished
    assert printed.index("answer    trial") < printed.index("the finalists on the test sets") < printed.index("export ")
    for one in summary["finalists"]:
        for training in one["seeds"]:
            kept = answers_file(folder, (one["trial"], training["seed"]), "val")
            assert kept.stat().st_mtime < training["reported_at"]
            hits = np.load(kept)["first"] < 1
            assert 100 * hits.mean() == pytest.approx(training["best"]["val/recall_at_1"])


def test_the_report_is_there_and_is_written_anew(finished):
    printed, folder, _ = finished
    report = folder / "report.html"
    assert f"report    {report}" in printed and "best with probability" in report.read_text()
    report.unlink()
    again = run("report", folder.name, "--storage", str(folder.parent))
    assert again.stdout.strip() == str(report) and report.exists(), again.stderr


def test_the_export_is_the_best_seed_of_the_best_mean(finished, summary, city):
    means = [np.mean([run["best"]["val/recall_at_1"] for run in one["seeds"]]) for one in summary["finalists"]]
    assert (
        means == sorted(means, reverse=True) == pytest.approx([one["mean"] for one in summary["finalists"]], abs=0.01)
    )
    best = max(summary["finalists"][0]["seeds"], key=lambda run: best_key(run["best"]))
    assert summary["best"] == {
        "trial": summary["finalists"][0]["trial"],
        "seed": best["seed"],
        "export": str(finished[1] / "export"),
    }
    _, config = load_export(finished[1] / "export")
    model = vpr.load(finished[1] / "export")
    torch.set_num_threads(1)
    found = evaluate(model, open_retrieval(find_sets(city).first_val, config.data), "auto", torch.device("cpu"))
    assert (
        found == {n: best["best"][f"val/recall_at_{n}"] for n in (1, 5, 10, 20)}
        and config.training.seed == best["seed"]
    )


def test_the_finalists_are_weighed(summary):
    assert len(summary["finalists"]) == 2 and [len(one["seeds"]) for one in summary["finalists"]] == [2, 2]
    for one in summary["finalists"]:
        assert {run["seed"] for run in one["seeds"]} == {1, 2}
        assert one["interval"][0] <= one["mean"] <= one["interval"][1] and set(one["test"]) == set(summary["test"])
    assert sum(one["probability_best"] for one in summary["finalists"]) == pytest.approx(1, abs=0.01)
    assert summary["tie_group"][0] == summary["finalists"][0]["trial"]


def test_no_trial_touches_a_test_set(finished, summary):
    """The watch sees the driver list the sets before, and measuring processes read them after, and no trial's worker."""
    touched = finished[2]
    runs = summary["trials"] + [run for one in summary["finalists"] for run in one["seeds"]]
    trials = {int(run["worker"].split(":")[1]) for run in runs}
    assert len({path for _, path in touched if path.endswith(".jpg")}) > 20, "the watch sees nothing"
    assert len({pid for pid, _ in touched}) >= 2, "the watch sees the driver alone"
    assert not trials & {pid for pid, _ in touched}


def test_every_look_is_in_the_ledger(finished, summary):
    looks = read_ledger(finished[1].parent / "test-ledger.jsonl")
    runs = {(one["trial"], run["seed"]): run for one in summary["finalists"] for run in one["seeds"]}
    assert {(look["trial"], look["seed"], look["set"]) for look in looks} == {
        (*key, name) for key in runs for name in ("sf_xs/test", "tokyo_xs/test")
    }
    for look in looks:
        file = finished[1] / runs[look["trial"], look["seed"]]["checkpoint"]
        assert look["checkpoint"] == hashlib.sha256(file.read_bytes()).hexdigest() and look["search"] == "first"
    assert summary["ledger"]["looks"] == {name: {"this_search": 4, "all": 4} for name in summary["test"]}


def test_the_printed_command_trains_the_same_numbers(summary, tmp_path):
    entry = next(entry for entry in summary["trials"] if entry["state"] == "completed")
    command = shlex.split(entry["train"])
    done = subprocess.run(
        [sys.executable, *command[1:], "--out", str(tmp_path / "again")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    best = entry["best"]
    recalls = "  ".join(f"recall@{n} {best[f'val/recall_at_{n}']:.1f}" for n in (1, 5, 10, 20))
    line = next(line for line in done.stdout.splitlines() if line.startswith(f"epoch {best['epoch']} "))
    assert recalls in line


def test_export_of_the_trials_whose_weights_are_kept(finished, summary, tmp_path):
    """The three best; the others' are gone."""
    _, folder, _ = finished
    kept = [entry["id"] for entry in summary["trials"] if entry["checkpoint"]]
    gone = summary["trials"][-1]["id"]
    assert kept == [entry["id"] for entry in summary["trials"][:3]]
    flags = ["first", "--to", str(tmp_path / "out"), "--storage", str(folder.parent)]
    done = run("export", *flags, "--trial", str(kept[-1]))
    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "out").iterdir()} == EXPORTED
    assert "README.md" in EXPORTED and {file.name for file in (folder / "export").iterdir()} == EXPORTED
    card = (folder / "export/README.md").read_text()
    assert f"[{summary['finalists'][0]['interval'][0]:.1f}, " in card and "sf_xs/test" in card
    assert json.loads((folder / "export/metrics.json").read_text())["test"] == summary["test"]
    assert not list(folder.glob("*.partial*"))
    assert vpr.load(tmp_path / "out")(torch.rand(1, 3, 32, 56)).shape == (1, 32)
    best = run("export", "first", "--to", str(tmp_path / "best"), "--storage", str(folder.parent))
    assert f"trial {summary['best']['trial']} again, seed {summary['best']['seed']}" in best.stdout
    assert load_export(tmp_path / "best")[1] == load_export(folder / "export")[1]
    for wrong in (["--trial", "99"], ["--trial", str(gone)], []):
        refused = run("export", *flags, *wrong)
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1


def test_optuna_and_mlflow_know_the_same_trials(finished, summary):
    _, folder, _ = finished
    study = optuna.load_study(
        study_name="first", storage=JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    )
    states = {"completed": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    client = MlflowClient(f"sqlite:///{folder.parent}/mlflow.db")
    experiment = client.get_experiment_by_name("vpr-search")
    runs = {run.data.tags["trial_id"]: run for run in client.search_runs([experiment.experiment_id])}
    again = {f"{one['trial']}-seed-{run['seed']}": one["trial"] for one in summary["finalists"] for run in one["seeds"]}
    assert set(runs) == {"search", *map(str, range(5)), *again}
    for name, number in again.items():
        assert runs[name].data.tags["mlflow.parentRunId"] == runs[str(number)].info.run_id
        assert runs[name].data.params["training/seed"] == name[-1] and runs[name].data.tags["state"] == "completed"
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
            and record.data.tags["stop_reason"] == entry["stop_reason"]
        )
        assert record.data.tags["mlflow.parentRunId"] == runs["search"].info.run_id


def test_the_winner_is_the_champion_of_its_registered_model(finished, summary, monkeypatch):
    printed, folder, _ = finished
    address = f"sqlite:///{folder.parent}/mlflow.db"
    assert "champion  models:/first@champion" in printed and "failed attempts" not in printed
    champion = MlflowClient(address).get_model_version_by_alias("first", "champion")
    best = summary["best"]
    assert (int(champion.version), champion.tags["trial"]) == (1, str(best["trial"]))
    assert champion.tags["seed"] == str(best["seed"]) and "recall@1" in champion.description
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(None)
    images = torch.rand(2, 3, 32, 56)
    assert torch.equal(vpr.load("models:/first@champion")(images), vpr.load(folder / "export")(images))
    model = mlflow.onnx.load_model("models:/first@champion")
    signature = mlflow.models.get_model_info("models:/first@champion").signature
    assert [spec.shape for spec in signature.inputs] == [(-1, 3, 32, 56)] and model.graph.input[0].name == "images"
