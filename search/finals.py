"""After the search: the best checkpoint becomes an export, and the export meets the test sets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from search.cluster import Slots
from search.summary import Outcome


def run(slots: Slots, outcome: Outcome, tests: Mapping[str, Path], console: Console) -> None:
    """Fill `outcome.export` and `outcome.test`; a failure is told in one line and costs only what failed."""
    winner = outcome.winner
    if winner is None or winner.checkpoint is None:
        return
    target = outcome.folder / "export"
    try:
        ray.get(_on_worker(slots)(_export).remote(target, winner.checkpoint, winner.best))
    except Exception as fault:  # a lost worker, a full disk: the summary still stands
        console.print(f"the best model could not be exported: {_reason(fault)}", soft_wrap=True)
        return
    outcome.export = target
    for name, folder in tests.items():
        try:
            outcome.test[name] = ray.get(_on_worker(slots)(_measure).remote(target, folder, slots.cpus, slots.device))
        except Exception as fault:  # also an unreadable test picture, which nobody looked at before
            console.print(f"test {name} could not be measured: {_reason(fault)}", soft_wrap=True)


def _reason(fault: Exception) -> str:
    """Ray's text of a remote fault is a traceback; the fault itself is its cause."""
    cause = getattr(fault, "cause", None) or fault
    return " ".join(str(cause).split())[:300]


def _on_worker(slots: Slots) -> Any:
    return ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, max_retries=0)


def _export(folder: Path, checkpoint: Path, metrics: dict[str, Any]) -> None:
    from vpr.export import write_export

    write_export(folder, checkpoint, metrics)


def _measure(export_folder: Path, test: Path, cpus: int, device: str = "auto") -> dict[str, float]:
    import torch

    from vpr.data import open_retrieval
    from vpr.evaluate import evaluate
    from vpr.export import load_export
    from vpr.precision import pick_device

    torch.set_num_threads(cpus)
    model, config = load_export(export_folder)
    where = pick_device(device)
    recalls = evaluate(model.to(where), open_retrieval(test, config.data), config.training.precision, where)
    return {f"recall_at_{n}": value for n, value in recalls.items()}
