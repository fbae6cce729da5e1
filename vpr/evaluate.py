"""Descriptors of a set and its recall@N. `python -m vpr.evaluate CHECKPOINT --data ROOT --split sf_xs/test`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from vpr import cli
from vpr.augment import none
from vpr.data import Retrieval, open_retrieval
from vpr.errors import DataError, TrainingError
from vpr.images import Images
from vpr.loading import load
from vpr.precision import autocast, pick_device
from vpr.recall import NS, first_hits, rank, recalls

CPU_BATCH = 64
"""Images that a CPU describes at once; it gains nothing from more."""
GPU_BATCH, GPU_PIXELS = 256, 256 * 224 * 224
"""The most images, and pixels, that a GPU describes at once."""


def describe(model: nn.Module, images: Images, precision: str, device: torch.device) -> np.ndarray:
    """N images -> descriptors (N, D) float32 of unit length, in evaluation mode.

    Raises TrainingError where they are not finite: NaN would count as recall 0.
    """
    was_training = model.training
    model.eval()
    descriptors = vectors(model, images, np.arange(len(images)), precision, device).numpy()
    model.train(was_training)
    if not np.isfinite(descriptors).all():
        raise TrainingError("the model's descriptors are not finite; lower optimizer/lr or loss/lr")
    return descriptors


@torch.inference_mode()
def vectors(
    forward: Callable[[Tensor], Tensor], images: Images, rows: np.ndarray, precision: str, device: torch.device
) -> Tensor:
    """What `forward` gives for the images `rows` (S,), batch by batch: (S, size) float32 on the CPU."""
    found = torch.empty(0)
    done = 0
    height, width = images.shape[2:]
    size = CPU_BATCH if device.type == "cpu" else max(1, min(GPU_BATCH, GPU_PIXELS // (height * width)))
    for batch, pixels in load(images, np.split(rows, range(size, len(rows), size)), device):
        inputs = none(pixels)  # (B, 3, H, W) float in 0..1
        with autocast(device, precision):
            outputs = forward(inputs)  # (B, size)
        if not done:
            found = torch.empty(len(rows), outputs.shape[1], pin_memory=device.type == "cuda")
        found[done : done + len(batch)].copy_(outputs, non_blocking=True)
        done += len(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # copies that nobody waited for
    return found


def evaluate(model: nn.Module, retrieval: Retrieval, precision: str, device: torch.device) -> dict[int, float]:
    """recall@1, 5, 10 and 20 in per cent over all queries, by N."""
    return recalls(answer(model, retrieval, precision, device))


def answer(model: nn.Module, retrieval: Retrieval, precision: str, device: torch.device) -> np.ndarray:
    """(Q,) place of each query's first right answer, counted from 0 (`vpr.recall.answers`)."""
    return first_hits(ranking(model, retrieval, precision, device), retrieval.positives)


def ranking(model: nn.Module, retrieval: Retrieval, precision: str, device: torch.device) -> np.ndarray:
    """(Q, n) database indices nearest to each query, nearest first, as many as a reported recall@N looks at (`vpr.recall.rank`)."""
    database = describe(model, retrieval.database, precision, device)
    queries = describe(model, retrieval.queries, precision, device)
    return rank(database, queries, max(NS))


@dataclass(frozen=True)
class EvaluateSettings:
    """Measure a checkpoint or an export on one set and print its recall@N."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Folder of an export, or a checkpoint file of vpr.train."""
    data: Path | None = None
    """Folder that holds gsv_xs, sf_xs and tokyo_xs; MiniCity if not given."""
    split: str = "sf_xs/test"
    """Folder below it with database/ and queries/."""
    device: str = "auto"
    """auto, cpu or cuda."""
    cache_budget: float | None = None
    """GB of disk for decoded images. Above it the image files are packed instead. Without it, what fits into memory."""
    on_bad_image: Literal["error", "skip"] = "error"
    """What to do with images that cannot be read: list them and end, or leave them out."""


def main(settings: EvaluateSettings) -> int:
    from vpr.export import load_model  # it needs this module's neighbours, which need this one
    from vpr.minicity.preset import minicity_folder

    root = settings.data or minicity_folder()
    folder = root / settings.split
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; --split names one below --data, such as sf_xs/val or tokyo_xs/test")
    model, config = load_model(settings.checkpoint)
    device = pick_device(settings.device)
    retrieval = open_retrieval(folder, config.data, settings.cache_budget, settings.on_bad_image)
    found = evaluate(model.to(device), retrieval, config.training.precision, device)
    print(f"{retrieval.name}: {len(retrieval.database)} database images, {len(retrieval.queries)} queries, ", end="")
    print(f"{retrieval.queries_without_positives} without any within {config.data.positive_radius_m:g} m")
    if retrieval.skipped:
        print(f"{len(retrieval.skipped)} images cannot be read and are left out")
    for n, value in found.items():
        print(f"recall@{n:<3} {value:6.2f} %")
    return 0


if __name__ == "__main__":
    cli.run(main, EvaluateSettings, "python -m vpr.evaluate")
