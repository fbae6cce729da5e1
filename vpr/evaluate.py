"""Descriptors of a set and its recall@N. `python -m vpr.evaluate CHECKPOINT --data ROOT --split sf_xs/test`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import nn

from vpr import cli
from vpr.data import Retrieval, open_retrieval
from vpr.errors import DataError, TrainingError
from vpr.precision import autocast, pick_device
from vpr.recall import recalls

BATCH = 64


@torch.inference_mode()
def describe(model: nn.Module, images: np.ndarray, precision: str, device: torch.device) -> np.ndarray:
    """Images (N, H, W, 3) uint8 -> descriptors (N, D) float32 of unit length, in evaluation mode.

    Raises TrainingError where they are not finite: NaN would count as recall 0.
    """
    was_training = model.training
    model.eval()
    rows = []
    for start in range(0, len(images), BATCH):
        batch = to_batch(images[start : start + BATCH], device)
        with autocast(device, precision):
            rows.append(model(batch).float().cpu().numpy())
    model.train(was_training)
    descriptors = np.concatenate(rows)
    if not np.isfinite(descriptors).all():
        raise TrainingError("the model's descriptors are not finite; lower optimizer/lr or loss/lr")
    return descriptors


def evaluate(model: nn.Module, retrieval: Retrieval, precision: str, device: torch.device) -> dict[int, float]:
    """recall@1, 5, 10 and 20 in per cent over all queries, by N."""
    database = describe(model, retrieval.database, precision, device)
    queries = describe(model, retrieval.queries, precision, device)
    return recalls(database, queries, retrieval.positives)


def to_batch(images: np.ndarray, device: torch.device) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float in 0..1, channels last in memory, on the device."""
    batch = torch.from_numpy(np.array(images)).to(device, non_blocking=True)
    return batch.permute(0, 3, 1, 2).float().div_(255)


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


def main(settings: EvaluateSettings) -> int:
    from vpr.export import load_model  # it needs this module's neighbours, which need this one
    from vpr.minicity.preset import minicity_folder

    root = settings.data or minicity_folder()
    folder = root / settings.split
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; --split names one below --data, such as sf_xs/val or tokyo_xs/test")
    model, config = load_model(settings.checkpoint)
    device = pick_device(settings.device)
    retrieval = open_retrieval(folder, config.data)
    found = evaluate(model.to(device), retrieval, config.training.precision, device)
    print(f"{retrieval.name}: {len(retrieval.database)} database images, {len(retrieval.queries)} queries, ", end="")
    print(f"{retrieval.queries_without_positives} without any within {config.data.positive_radius_m:g} m")
    for n, value in found.items():
        print(f"recall@{n:<3} {value:6.2f} %")
    return 0


if __name__ == "__main__":
    cli.run(main, EvaluateSettings, "python -m vpr.evaluate")
