"""After the search: the best checkpoint becomes an export, and meets the test sets."""

from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from search.cluster import Slots
from search.plan import Plan
from search.summary import Outcome


def run(slots: Slots, outcome: Outcome, plan: Plan, console: Console) -> None:
    """Fill `outcome.export` and `outcome.test`; a failure is told in one line and costs only what failed."""
    winner = outcome.winner
    if winner is None or winner.checkpoint is None:
        return
    target = outcome.folder / "export"
    exporting = _on_worker(slots)(_export).remote(target, winner.checkpoint, winner.best)
    measure = _on_worker(slots)(_measure)
    measuring = {
        name: measure.remote(winner.checkpoint, folder, plan.cache_budget, slots.cpus, slots.device)
        for name, folder in plan.folders.tests.items()
    }
    try:
        ray.get(exporting)
        outcome.export = target
    except Exception as fault:  # a lost worker, a full disk: the summary still stands
        console.print(f"the best model could not be exported: {_reason(fault)}", soft_wrap=True)
    for name, recalls in measuring.items():
        try:
            outcome.test[name] = ray.get(recalls)
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


def _measure(checkpoint: Path, test: Path, budget_gb: float | None, cpus: int, device: str) -> dict[str, float]:
    import torch

    from vpr.data import open_retrieval
    from vpr.evaluate import evaluate
    from vpr.export import load_model
    from vpr.precision import pick_device

    torch.set_num_threads(cpus)
    model, config = load_model(checkpoint)
    where = pick_device(device)
    retrieval = open_retrieval(test, config.data, budget_gb)
    recalls = evaluate(model.to(where), retrieval, config.training.precision, where)
    return {f"recall_at_{n}": value for n, value in recalls.items()}
