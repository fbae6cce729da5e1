"""MiniCity on this node, and the settings that suit it."""

from pathlib import Path

from filelock import FileLock

from vpr.config import Value
from vpr.store import cache_folder
from vpr.watch import counted

PRESET: dict[str, Value] = {
    "model/weights": "none",
    "model/dim": 256,
    "data/image_size": (64, 112),
    "data/places_per_batch": 16,
    "data/augment": "light",
    "optimizer/lr": 0.02,
    "scheduler/name": "cosine",
    "training/epochs": 8,
}
"""Small pictures, no download, few epochs: a ResNet-18 learns MiniCity from scratch in about a minute on one core."""


def minicity_folder() -> Path:
    """The folder of MiniCity in this node's cache, written first if it is not there (11 s on two quick cores)."""
    folder = cache_folder() / "minicity-2"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _write(folder)
    return folder


def _write(folder: Path) -> None:
    from vpr.minicity import write

    with counted("building  MiniCity") as count:
        write(folder, progress=count)
