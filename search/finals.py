"""After the search: the best checkpoint becomes an export, and the export meets the test sets."""

from pathlib import Path
from typing import Any

import ray

from search.cluster import Slots


def export(slots: Slots, folder: Path, checkpoint: Path, metrics: dict[str, Any]) -> None:
    """Write the export on a worker, where torch is."""
    ray.get(_on_worker(slots)(_export).remote(folder, checkpoint, metrics))


def measure(slots: Slots, export_folder: Path, test: Path) -> dict[str, float]:
    """recall@N of an export on a test set in per cent, on a worker with a trial's resources."""
    return ray.get(_on_worker(slots)(_measure).remote(export_folder, test, slots.cpus))


def _on_worker(slots: Slots) -> Any:
    return ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, max_retries=0)


def _export(folder: Path, checkpoint: Path, metrics: dict[str, Any]) -> None:
    from vpr.export import write_export

    write_export(folder, checkpoint, metrics)


def _measure(export_folder: Path, test: Path, cpus: int) -> dict[str, float]:
    import torch

    from vpr.data import open_retrieval
    from vpr.evaluate import evaluate
    from vpr.export import load_export
    from vpr.precision import pick_device

    torch.set_num_threads(cpus)
    model, config = load_export(export_folder)
    device = pick_device("auto")
    recalls = evaluate(model.to(device), open_retrieval(test, config.data), config.training.precision, device)
    return {f"recall_at_{n}": value for n, value in recalls.items()}
