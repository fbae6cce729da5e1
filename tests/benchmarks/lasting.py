"""What it costs that nothing is lost: the checkpoint and the tracking of an epoch."""

import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from search.records import TrialRecord
from search.storage import append_line
from search.tracking import Tracker, default_address
from tests.benchmarks.compute import CPU, LEAVES
from tests.benchmarks.table import Row
from vpr.checkpoint import save_epoch
from vpr.data import TrainingData
from vpr.leaves import from_leaves
from vpr.loading import load
from vpr.train import Trainer

EPOCH_SECONDS = 30.0
EPOCHS = 8


def lasting_row(data: TrainingData, folder: Path) -> Row:
    """Seconds that an epoch waits for its checkpoint, its line of history.jsonl and MLflow, one after the other.

    The parts are timed by themselves: what they add is less than what an epoch varies by. A search writes to MLflow in a
    thread while the next epoch runs, so that this is the most that it can cost.
    """
    own = from_leaves({**LEAVES, "optimizer/name": "adam"})
    trainer = Trainer(own, data, CPU)
    rows = next(iter(trainer.sampler))
    trainer.step(next(load(data.images, [rows], CPU))[1], data.labels[rows])  # Adam has its two moments now
    saved, written, tracked = [], [], []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        tracker = Tracker(default_address(Path(place)), "bench", "bench", {}, Path(place))
        record = TrialRecord(0, {})
        tracker.start(record, "bench", {"optimizer/lr": 0.1})
        _delivered(tracker)
        for epoch in range(1, EPOCHS + 1):
            trainer.epoch, trainer.best = epoch, [50.0, 60.0, -1.0]
            metrics = {f"val/recall_at_{n}": 50.0 for n in (1, 5, 10, 20)}
            metrics |= {f"train/{n}": 1.0 for n in range(6)} | {"epoch": epoch}
            saved.append(_seconds(lambda: save_epoch(Path(place) / "trial", trainer.state_dict(), own)))
            written.append(_seconds(partial(append_line, Path(place) / "history.jsonl", str(metrics))))
            record.epochs.append(metrics)
            record.usage.append({})
            record.times.append(time.time())
            tracker.epochs(record)
            tracked.append(_seconds(lambda: _delivered(tracker)))
        size = sum(file.stat().st_size for file in (Path(place) / "trial").iterdir()) / 3
    parts = median(saved), median(written), median(tracked)
    return Row(
        "checkpoint and tracking of an epoch",
        f"{parts[0]:.2f} s for a checkpoint of {size / 1e6:.0f} MB, {parts[1]:.3f} s for history.jsonl, {parts[2]:.3f} s for MLflow, of {EPOCH_SECONDS:.0f} s",
        100 * sum(parts) / EPOCH_SECONDS,
        2,
        "% of an epoch of 30 s",
        is_upper=True,
    )


def _delivered(tracker: Tracker) -> None:
    with tracker.changed:
        tracker.changed.wait_for(lambda: not tracker.waiting)


def _seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
