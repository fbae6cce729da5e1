"""The scripts of search/ as a person types them, and a trial of a few seconds."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.settings import SearchSettings
from vpr import cli

ROOT = Path(__file__).resolve().parents[2]
RESNET18 = [
    *("--set=model/weights=none", "--set=model/dim=32", "--set=data/image_size=32x56"),
    *("--set=data/places_per_batch=8", "--set=data/augment=light"),
]
SMALL_NETWORK = ["--set=model/backbone=timm:test_resnet", *RESNET18]
SETTINGS = ["--formats", *SMALL_NETWORK]
"""The export is model.safetensors alone: writing and proving the other formats takes a third of such a search."""
PROGRAMS = {
    "run": ("search.run", "SearchSettings", "python search/run.py"),
    "export": ("search.export", "ExportSettings", "python search/export.py"),
    "doctor": ("search.doctor", "DoctorSettings", "python search/doctor.py"),
    "train": ("vpr.train", "TrainSettings", "python -m vpr.train"),
    "evaluate": ("vpr.evaluate", "EvaluateSettings", "python -m vpr.evaluate"),
}
EXPORTED = {"model.safetensors", "model.onnx", "model.pt2", "config.json", "metrics.json", "README.md"}


def run(script, *flags, environment=None):
    return subprocess.run(
        [sys.executable, f"search/{script}.py", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, **(environment or {})},
    )


def refusal(monkeypatch, capfd, program, *flags):
    """What is printed to stderr, after checking that its last line alone is an error and the code is 2."""
    module, settings, prog = PROGRAMS[program]
    found = importlib.import_module(module)
    monkeypatch.setattr(sys, "argv", [prog, *map(str, flags)])
    with pytest.raises(SystemExit) as stop:
        cli.run(found.main, vars(found).get(settings, SearchSettings), prog)
    printed = capfd.readouterr()
    *notices, error = printed.err.splitlines()
    assert stop.value.code == 2 and error.startswith("error: "), printed.err
    assert not [line for line in notices if not line.startswith(("space: runs the code of", "damaged  "))], printed.err
    assert "Traceback" not in printed.err and "HOSTILE CODE RAN" not in printed.out + printed.err
    return error
