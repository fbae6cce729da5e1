"""What workers do at the end of a search. They import only this module: to import Tune takes two seconds more."""

import os
from pathlib import Path
from typing import Any

from search.answers import Answers, measure
from search.storage import patiently
from vpr.sources import root_here


def measured(
    checkpoint: Path, source: str, folder: Path, budget_gb: float | None, on_bad_image: str, cpus: int, device: str
) -> Answers:
    """Return what a model answers on a set, whose folder is below `vpr.sources.root_here(source)`."""
    import torch

    torch.set_num_threads(cpus)
    return measure(checkpoint, root_here(source) / folder, budget_gb, on_bad_image, device)


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

    torch.set_num_threads(min(cpus, os.cpu_count() or 1))
    patiently(write_export, folder, checkpoint, metrics, root_here(source) / val, budget_gb, on_bad_image, formats)
