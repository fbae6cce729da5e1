"""Backbone, aggregation and projection as one module from images to descriptors."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vpr.aggregations import AGGREGATIONS
from vpr.backbones import build_backbone
from vpr.config import ModelConfig


class PlaceModel(nn.Module):
    """Images (B, 3, H, W) in 0..1 -> descriptors (B, D) of unit length; it normalises with the backbone's own mean and std.

    Its convolutions are channels last in memory, wherever it was built: the same numbers in a trial and from an export.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig, image_size: tuple[int, int]) -> None:
        super().__init__()
        self.backbone = build_backbone(config, image_size)
        self.register_buffer("mean", torch.tensor(self.backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(self.backbone.std).view(1, 3, 1, 1), persistent=False)
        channels, height, width = _feature_shape(self.backbone, image_size)
        self.aggregation = AGGREGATIONS[config.aggregation](config, (channels, height, width))
        size: int = self.aggregation.size  # type: ignore[assignment]
        self.projection = nn.Linear(size, config.dim) if config.dim else nn.Identity()
        if isinstance(self.projection, nn.Linear):
            # Orthogonal rows keep the distances of pretrained features better than independent ones.
            nn.init.orthogonal_(self.projection.weight)
            nn.init.zeros_(self.projection.bias)
        self.dim = config.dim or size
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Tensor, is_own: bool = False) -> Tensor:
        """is_own: the images may be overwritten, which saves a training step a fresh copy of its batch."""
        features = self.features(images, is_own)  # (B, size)
        with torch.autocast(images.device.type, enabled=False):
            return F.normalize(self.projection(features), dim=1)  # (B, D)

    def features(self, images: Tensor, is_own: bool = False) -> Tensor:
        """Images (B, 3, H, W) in 0..1 -> the aggregation's vector (B, size), before the projection."""
        centred = images.sub_(self.mean) if is_own else images.sub(self.mean)
        features = self.backbone(centred.div_(self.std))  # (B, C, h, w)
        # Autocast ends with the backbone: rounding a descriptor to 8 bits of mantissa costs recall, and saves nothing here.
        with torch.autocast(images.device.type, enabled=False):
            return self.aggregation(features.float())  # (B, size)


def _feature_shape(backbone: nn.Module, image_size: tuple[int, int]) -> tuple[int, int, int]:
    """(C, h, w) of the feature map, from one empty image."""
    was_training = backbone.training
    with torch.no_grad():
        features = backbone.eval()(torch.zeros(1, 3, *image_size))
    backbone.train(was_training)
    return tuple(features.shape[1:])  # type: ignore[return-value]
