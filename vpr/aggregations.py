"""From a feature map (B, C, h, w) to one vector (B, size), by exact name."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FeatureShape = tuple[int, int, int]
"""Channels, height and width of the feature map: (C, h, w)."""
EPS = 1e-6


class Average(nn.Module):
    """Mean over the map."""

    def __init__(self, shape: FeatureShape) -> None:
        super().__init__()
        self.size = shape[0]

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(2, 3))  # (B, C, h, w) -> (B, C)


class GeM(nn.Module):
    """Generalised mean with a trained exponent (Radenovic et al. 2018, eq. 3): mean(x^p)^(1/p)."""

    def __init__(self, shape: FeatureShape, p: float) -> None:
        super().__init__()
        self.size = shape[0]
        self.p = nn.Parameter(torch.tensor(p))

    def forward(self, features: Tensor) -> Tensor:
        # In float32: half precision loses small activations to the cube.
        powered = features.float().clamp(min=EPS).pow(self.p)
        return powered.mean(dim=(2, 3)).pow(1 / self.p)  # (B, C, h, w) -> (B, C)


class CosPlaceHead(nn.Module):
    """L2 over channels, GeM, linear (Berton et al. 2022, github.com/gmberton/CosPlace); the linear layer is `model/dim`'s."""

    def __init__(self, shape: FeatureShape, p: float) -> None:
        super().__init__()
        self.size = shape[0]
        self.gem = GeM(shape, p)

    def forward(self, features: Tensor) -> Tensor:
        return self.gem(F.normalize(features, dim=1))  # (B, C, h, w) -> (B, C)


class ConvAP(nn.Module):
    """1x1 convolution, then the means of a 2x2 grid (Ali-bey et al. 2022, section 4)."""

    def __init__(self, shape: FeatureShape, channels: int) -> None:
        super().__init__()
        self.size = channels * 4
        self.reduce = nn.Conv2d(shape[0], channels, kernel_size=1)
        self.pool = nn.AdaptiveAvgPool2d((2, 2))

    def forward(self, features: Tensor) -> Tensor:
        return self.pool(self.reduce(features)).flatten(1)  # (B, C, h, w) -> (B, channels*4)


class Mixer(nn.Module):
    """One feature mixer of MixVPR: a residual perceptron over positions (Ali-bey et al. 2023, eq. 2)."""

    def __init__(self, positions: int) -> None:
        super().__init__()
        first, second = nn.Linear(positions, positions), nn.Linear(positions, positions)
        for layer in (first, second):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        self.mix = nn.Sequential(nn.LayerNorm(positions), first, nn.ReLU(), second)

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.mix(maps)


class MixVPR(nn.Module):
    """Mixers over flattened maps, then channel and row projections to channels x 4 (Ali-bey et al. 2023, section 3)."""

    ROWS = 4

    def __init__(self, shape: FeatureShape, channels: int, depth: int) -> None:
        super().__init__()
        depth_in, height, width = shape
        self.size = channels * self.ROWS
        self.mixers = nn.Sequential(*(Mixer(height * width) for _ in range(depth)))
        self.project_channels = nn.Linear(depth_in, channels)
        self.project_rows = nn.Linear(height * width, self.ROWS)

    def forward(self, features: Tensor) -> Tensor:
        mixed = self.mixers(features.flatten(2))  # (B, C, h, w) -> (B, C, h*w)
        channels = self.project_channels(mixed.transpose(1, 2))  # (B, h*w, C) -> (B, h*w, channels)
        return self.project_rows(channels.transpose(1, 2)).flatten(1)  # (B, channels, 4) -> (B, channels*4)


class NetVLAD(nn.Module):
    """Residuals to soft-assigned clusters (Arandjelovic et al. 2016, eq. 4), normalised within each cluster.

    The centres start at random on the unit sphere and are trained, as no training descriptors exist yet.
    """

    ALPHA = 100.0  # sharpness of the first assignment, as in the paper

    def __init__(self, shape: FeatureShape, clusters: int) -> None:
        super().__init__()
        self.size = clusters * shape[0]
        self.centers = nn.Parameter(F.normalize(torch.randn(clusters, shape[0]), dim=1))
        self.assign = nn.Conv2d(shape[0], clusters, kernel_size=1)
        self.assign.weight.data.copy_((2 * self.ALPHA * self.centers)[:, :, None, None])
        nn.init.constant_(self.assign.bias, -self.ALPHA)  # type: ignore[arg-type]  # centres have norm 1

    def forward(self, features: Tensor) -> Tensor:
        local = F.normalize(features, dim=1)
        shares = self.assign(local).flatten(2).softmax(dim=1)  # (B, clusters, h*w)
        local = local.flatten(2).to(shares.dtype)  # (B, C, h*w)
        sums = shares @ local.transpose(1, 2)  # (B, clusters, C)
        residuals = sums - shares.sum(dim=2, keepdim=True) * self.centers.to(shares.dtype)
        return F.normalize(residuals, dim=2).flatten(1)  # (B, clusters, C) -> (B, clusters*C)


# Each takes the ModelConfig with the fields of that aggregation.
AGGREGATIONS: dict[str, Callable[[Any, FeatureShape], nn.Module]] = {
    "avg": lambda config, shape: Average(shape),
    "gem": lambda config, shape: GeM(shape, config.gem_p),
    "cosplace": lambda config, shape: CosPlaceHead(shape, config.gem_p),
    "convap": lambda config, shape: ConvAP(shape, config.channels),
    "mixvpr": lambda config, shape: MixVPR(shape, config.channels, config.mix_depth),
    "netvlad": lambda config, shape: NetVLAD(shape, config.clusters),
}
