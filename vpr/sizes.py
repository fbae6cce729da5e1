"""How large a training's checkpoint can be. Torch is imported by the call alone, which a driver leaves to another process."""

from collections.abc import Iterable
from dataclasses import replace

from vpr.config import TrialConfig


def largest_bytes(configs: Iterable[TrialConfig], places: int) -> int:
    """Return how large a checkpoint of these trainings can be.

    It has the weights of model and loss, and of each two moments, as Adam keeps them.

    Args:
        configs: Of the trainings.
        places: Of the training set.

    Returns:
        Bytes.
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
