"""One whole small search with real Ray, Optuna and MLflow, which several tests look at."""

import json
import shutil

import pytest

from tests.search.commands import SMALL_NETWORK, run

WATCH = """
import os, sys
def hook(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and arguments and isinstance(arguments[0], (str, bytes, os.PathLike)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if path.startswith(os.environ["VPR_WATCHED"]):
            with open(os.environ["VPR_WATCH_LOG"], "a") as log:
                log.write(f"{os.getpid()} {path}\\n")
sys.addaudithook(hook)
"""
"""Of every Python process of a search: which of them opens or lists what."""


@pytest.fixture(scope="session")
def finished(city, tmp_path_factory):
    """The printed end of a search of five trials with two finalists, its folder, and who touched a test set."""
    storage = tmp_path_factory.mktemp("results")
    watch = tmp_path_factory.mktemp("watch")
    (watch / "sitecustomize.py").write_text(WATCH)
    # `sf_xs/test` and `tokyo_xs/test` of another folder than the rest, so that one prefix names the test sets.
    tests = watch / "tests"
    shutil.copytree(city / "sf_xs/test", tests / "sf_xs/test")
    shutil.copytree(city / "tokyo_xs/test", tests / "tokyo_xs/test")
    log = watch / "log"
    log.touch()
    done = run(
        "run",
        *("--space", "losses", "--data", str(city), "--trials", "5", "--epochs", "2", "--name", "first"),
        *("--test", f"sf_xs/test={tests / 'sf_xs/test'}", "--test", f"tokyo_xs/test={tests / 'tokyo_xs/test'}"),
        *("--confirm", "2", "--confirm-seeds", "2", "--storage", str(storage)),
        *SMALL_NETWORK,
        environment={"PYTHONPATH": str(watch), "VPR_WATCHED": str(tests), "VPR_WATCH_LOG": str(log)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    touched = [line.split(" ", 1) for line in log.read_text().splitlines()]
    return done.stdout, storage / "first", {(int(pid), path) for pid, path in touched}


@pytest.fixture(scope="session")
def summary(finished):
    return json.loads((finished[1] / "summary.json").read_text())
