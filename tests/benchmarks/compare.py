"""`make compare`: a search as people write it today (`as_today.py`) beside ours. The machine must do nothing else.

Both search the same space with as many trials and epochs, train the same model on the same images, and train nothing again.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import psutil
import tyro
from rich.console import Console
from rich.table import Table

from vpr.minicity.preset import minicity_folder

ROOT = Path(__file__).resolve().parents[2]
METRIC = "val/recall_at_1"
SLOTS = 2
STEP = 5.0
"""Per cent of recall between two levels that are timed."""


@dataclass(frozen=True)
class Epoch:
    """What a trial reported after an epoch."""

    trial: str
    seconds: float
    """Since the command."""
    recall: float


@dataclass(frozen=True)
class Run:
    """One search."""

    way: str
    wall_seconds: float
    cpu_seconds: float
    """Of the whole machine, so that no short process is missed."""
    memory_mb: float
    """By which the machine's available memory fell at the most."""
    epochs: list[Epoch]

    @property
    def to_last_epoch(self) -> float:
        """Seconds from the command to the last epoch."""
        return max(epoch.seconds for epoch in self.epochs)

    @property
    def per_epoch(self) -> float:
        """Seconds for each trained epoch."""
        return self.to_last_epoch / len(self.epochs)

    def until(self, recall: float) -> float | None:
        """Seconds until some trial had this recall@1; None if none had."""
        return min((epoch.seconds for epoch in self.epochs if epoch.recall >= recall), default=None)


@dataclass(frozen=True)
class Settings:
    """Compare a search as people write it today with ours, in turns."""

    trials: int = 8
    epochs: int = 4
    turns: int = 3
    backbone: str = "timm:test_resnet"
    """A network of 0.4 million weights: a CPU trains it about as fast as a GPU trains a ResNet-50, so that the data path counts as it does there."""
    image_size: Annotated[tuple[int, int], tyro.conf.arg(metavar="H W")] = (224, 224)


def main(settings: Settings) -> None:
    """Print the table; write results/compare.json, and results/compare.svg, the picture of docs/benchmarks.md."""
    with tempfile.TemporaryDirectory() as folder:
        root = _without_test_sets(Path(folder) / "data")
        runs = []
        for turn in range(settings.turns):
            for way in (today, ours):
                storage = Path(folder) / f"{way.__name__}-{turn}"
                storage.mkdir()
                runs.append(way(settings, root, storage))
                print(f"{runs[-1].way}: {runs[-1].wall_seconds:.0f} s, {len(runs[-1].epochs)} epochs", flush=True)
    (ROOT / "results").mkdir(exist_ok=True)
    found = {"settings": asdict(settings), "runs": [asdict(run) for run in runs]}
    (ROOT / "results/compare.json").write_text(json.dumps(found) + "\n")
    _draw(settings, runs, ROOT / "results/compare.svg")
    Console(width=150).print(_table(settings, runs))


def _without_test_sets(root: Path) -> Path:
    """Return MiniCity as links, without the sets that only a finished search looks at."""
    for name in ("gsv_xs/train", "sf_xs/val"):
        (root / name).parent.mkdir(parents=True)
        (root / name).symlink_to(minicity_folder() / name)
    return root


def _leaves(settings: Settings) -> dict[str, Any]:
    return {
        "model/backbone": settings.backbone,
        "model/weights": "none",
        "model/dim": 256,
        "data/image_size": settings.image_size,
        "data/places_per_batch": 16,
        "data/augment": "randaugment",
        "scheduler/name": "cosine",
        "training/epochs": settings.epochs,
    }


def today(settings: Settings, root: Path, storage: Path) -> Run:
    """Run `as_today.py`."""
    given = {"root": str(root), "storage": str(storage), "trials": settings.trials, "slots": SLOTS}
    argument = json.dumps({**given, "leaves": _leaves(settings)})
    began, *measured = _measured([sys.executable, "-m", "tests.benchmarks.as_today", argument], storage)
    epochs = [
        Epoch(file.parent.name, result["reported_at"] - began, result[METRIC])
        for file in sorted((storage / "today").glob("*/result.json"))
        for result in map(json.loads, file.read_text().splitlines())
    ]
    return Run("as today", *measured, epochs)


def ours(settings: Settings, root: Path, storage: Path) -> Run:
    """Run our search with an empty cache, so that decoding counts."""
    sets = [
        f"{leaf}={'x'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for leaf, value in _leaves(settings).items()
        if leaf != "training/epochs"
    ]
    flags = [
        "--space",
        "losses",
        "--data",
        str(root),
        "--trials",
        str(settings.trials),
        "--epochs",
        str(settings.epochs),
    ]
    flags += [
        *(f"--set={leaf}" for leaf in sets),
        "--confirm",
        "0",
        "--max-concurrent",
        str(SLOTS),
        "--cpus-per-trial",
        "1",
        "--gpus-per-trial",
        "0",
        "--name",
        "ours",
        "--storage",
        str(storage),
    ]
    began, *measured = _measured([sys.executable, "search/run.py", *flags], storage)
    events = map(json.loads, (storage / "ours/history.jsonl").read_text().splitlines())
    epochs = [
        Epoch(str(event["trial"]), event["reported_at"] - began, event["metrics"][METRIC])
        for event in events
        if event["event"] == "epoch"
    ]
    return Run("ours", *measured, epochs)


def _measured(command: list[str], storage: Path) -> tuple[float, float, float, float]:
    """Run a command to its end; return when it began, and its wall seconds, CPU seconds and memory in MB."""
    least = before = psutil.virtual_memory().available
    has_ended = threading.Event()

    def watch() -> None:
        nonlocal least
        while not has_ended.wait(0.2):
            least = min(least, psutil.virtual_memory().available)

    watcher = threading.Thread(target=watch)
    watcher.start()
    busy, began = _busy(), time.time()
    try:
        environment = {**os.environ, "VPR_CACHE": str(storage / "cache"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    finally:
        has_ended.set()
        watcher.join()
    wall, cpu = time.time() - began, _busy() - busy
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"[-4000:])
    return began, wall, cpu, (before - least) / 1e6


def _busy() -> float:
    """Seconds that the machine's cores were at work; Ray's workers are nice."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system


def _table(settings: Settings, runs: list[Run]) -> Table:
    title = (
        f"{settings.trials} trials of at most {settings.epochs} epochs, {settings.backbone} at {settings.image_size}"
    )
    table = Table(title=f"{title}; medians of {settings.turns} turns")
    for heading in ("measure", "as today", "ours", "as today / ours"):
        table.add_column(heading, justify="left" if heading == "measure" else "right")
    ways = [[run for run in runs if run.way == way] for way in ("as today", "ours")]
    measures = {
        "wall s to the end": [[run.wall_seconds for run in own] for own in ways],
        "wall s to the last trained epoch": [[run.to_last_epoch for run in own] for own in ways],
        "trained epochs": [[float(len(run.epochs)) for run in own] for own in ways],
        "wall s for each trained epoch": [[run.per_epoch for run in own] for own in ways],
        "CPU s": [[run.cpu_seconds for run in own] for own in ways],
        "peak memory MB": [[run.memory_mb for run in own] for own in ways],
    }
    highest = min(max(epoch.recall for epoch in run.epochs) for run in runs)
    for level in range(1, int(highest / STEP) + 1):
        found = [[run.until(level * STEP) for run in own] for own in ways]
        measures[f"wall s until recall@1 {level * STEP:g} %"] = [
            [seconds for seconds in own if seconds is not None] for own in found
        ]
    for name, (theirs, own) in measures.items():
        first, second = median(theirs), median(own)
        table.add_row(name, f"{first:,.1f}", f"{second:,.1f}", f"{first / second:.2f}")
    return table


def _draw(settings: Settings, runs: list[Run], file: Path) -> None:
    """Draw the trained epochs and the best recall@1 of each search over its wall time."""
    from matplotlib import pyplot as plt  # MLflow needs it, so that it is there

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for way, colour in (("as today", "#c2410c"), ("ours", "#1d4ed8")):
        for turn, run in enumerate(run for run in runs if run.way == way):
            epochs = sorted(run.epochs, key=lambda epoch: epoch.seconds)
            seconds = [0.0, *(epoch.seconds for epoch in epochs)]
            best = np.maximum.accumulate([0.0, *(epoch.recall for epoch in epochs)])
            look = {"where": "post", "color": colour, "linewidth": 1.4, "label": None if turn else way}
            left.step(seconds, range(len(seconds)), **look)
            right.step(seconds, best, **look)
    left.set(xlabel="seconds since the command", ylabel="trained epochs, all trials")
    right.set(xlabel="seconds since the command", ylabel="best val recall@1 so far, %")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.legend(frameon=False)
    figure.suptitle(f"{settings.turns} searches each of {settings.trials} trials of at most {settings.epochs} epochs")
    figure.savefig(file)


if __name__ == "__main__":
    main(tyro.cli(Settings))
