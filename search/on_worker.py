"""What workers do at the end of a search. They import this module alone: that of Tune would take them two seconds more."""

from pathlib import Path
from typing import Any

from search.answers import Answers, keep_answers, measure
from search.storage import patiently
from vpr.sources import root_here


def measure_and_keep(
    checkpoint: Path,
    kept_in: Path,
    source: str,
    folder: Path,
    budget_gb: float | None,
    on_bad_image: str,
    cpus: int,
    device: str,
) -> Answers:
    """Measure a model on a set, below `vpr.sources.root_here(source)`, and keep its answers.

    The worker keeps them itself: a look at a test set is not lost with a driver that does not wait for it.
    """
    import torch

    torch.set_num_threads(cpus)
    answers = measure(checkpoint, root_here(source) / folder, budget_gb, on_bad_image, device)
    patiently(keep_answers, kept_in, answers)
    return answers


def export(
    folder: Path,
    checkpoint: Path,
    metrics: dict[str, Any],
    source: str,
    val: Path,
    budget_gb: float | None,
    on_bad_image: str,
    formats: tuple[str, ...],
    cpus: int,
) -> None:
    """Write an export without its card (`vpr.export.write_export`); val: below `vpr.sources.root_here(source)`."""
    import torch

    from vpr.export import write_export

    torch.set_num_threads(cpus)
    patiently(write_export, folder, checkpoint, metrics, root_here(source) / val, budget_gb, on_bad_image, formats)
