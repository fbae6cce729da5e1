"""The scripts of search/ as a person types them, and a trial of a few seconds."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = [
    *("--set=model/weights=none", "--set=model/dim=32", "--set=data/image_size=32x56"),
    *("--set=data/places_per_batch=8", "--set=data/augment=light"),
]
EXPORTED = {"model.safetensors", "model.onnx", "model.pt2", "config.json", "metrics.json", "README.md"}


def run(script, *flags, environment=None):
    return subprocess.run(
        [sys.executable, f"search/{script}.py", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        env={**os.environ, **(environment or {})},
    )
