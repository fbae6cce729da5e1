"""The files of a training: one an epoch. No torch, so that a driver can look after them."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vpr.config import TrialConfig


def epoch_file(folder: Path, epoch: int) -> Path:
    """Where the state after an epoch lies."""
    return folder / f"epoch-{epoch:04d}.pt"


def epoch_files(folder: Path) -> dict[int, Path]:
    """The files of a training by epoch, the newest first; none where there is no folder."""
    found = {int(file.stem[6:]): file for file in folder.glob("epoch-*.pt") if re.fullmatch(r"\d+", file.stem[6:])}
    return dict(sorted(found.items(), reverse=True))


def largest_bytes(configs: Iterable[TrialConfig], places: int) -> int:
    """Return how large a file of these trainings can be. Imports torch.

    It has the weights of model and loss, and of each two moments, as Adam keeps them.
    """
    from vpr.losses import PlaceLoss
    from vpr.model import PlaceModel

    sizes = {}
    configs = list(configs)
    models = {config.model: config for config in configs}
    for model_config, config in models.items():
        model = PlaceModel(replace(model_config, weights="none"), config.data.image_size)
        own = sum(weights.nbytes for weights in model.state_dict().values())
        for loss in {other.loss.name: other.loss for other in configs}.values():
            weights = PlaceLoss(loss, places, model.dim).parameters()
            sizes[model_config, loss.name] = 3 * (own + sum(weight.nbytes for weight in weights))
    return max(sizes.values())
