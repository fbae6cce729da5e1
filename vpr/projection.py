"""Where the linear layer to the descriptor starts: from PCA of pretrained features, not from chance."""

import hashlib
from collections.abc import Hashable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from vpr.data import TrainingData
from vpr.evaluate import vectors
from vpr.images import Images
from vpr.model import PlaceModel

SAMPLE = 2048
"""Training images whose features fit the projection."""


@torch.no_grad()
def fit_projection(model: PlaceModel, data: TrainingData, precision: str, device: torch.device) -> None:
    """Start the projection as attenuated PCA whitening (Jegou & Chum 2012) of the training images' features.

    An even sample of them is used. A random projection of pretrained features moves recall@1 by
    several points with the seed, more than the losses differ that a search compares.
    """
    assert isinstance(model.projection, nn.Linear)
    usable = np.flatnonzero(data.labels >= 0)
    sample = usable[np.linspace(0, len(usable) - 1, min(SAMPLE, len(usable))).astype(int)]
    key = (_fingerprint(model, sample), model.dim, precision, device)
    if data.images not in _FITTED or _FITTED[data.images][0] != key:
        model.eval()
        features = vectors(model.features, data.images, sample, precision, device)  # (S, size)
        _FITTED[data.images] = (key, *pca_whitening(features.to(device), model.projection.out_features))
        model.train()
    _, weight, bias = _FITTED[data.images]
    count = len(weight)  # with fewer images than dimensions the last rows stay random
    model.projection.weight[:count] = weight
    model.projection.bias[:count] = bias


_FITTED: WeakKeyDictionary[Images, tuple[Hashable, Tensor, Tensor]] = WeakKeyDictionary()
"""What was fitted last on these images in this process: a trial that starts from the same features need not look again."""


def _fingerprint(model: PlaceModel, sample: np.ndarray) -> str:
    """Of the images' rows, and of all weights before the projection."""
    digest = hashlib.sha256(sample.tobytes())
    for name, weights in model.state_dict().items():
        if not name.startswith("projection."):
            digest.update(weights.cpu().numpy().tobytes())
    return digest.hexdigest()


def pca_whitening(features: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Weight (k, C) and bias (k,) of the first k <= dim principal directions, each divided by the root of its deviation.

    features: (N, C). Half of full whitening's exponent: all of it blows up the noise of the last directions. The rows' mean
    square norm is 1, so learning rates keep their meaning.
    """
    mean = features.mean(dim=0)
    _, deviations, directions = torch.linalg.svd(features - mean, full_matrices=False)  # (r,), (r, C)
    count = min(dim, int((deviations > deviations[0] * 1e-4).sum()))
    weight = directions[:count] / deviations[:count, None].sqrt()
    weight = weight / weight.square().sum(dim=1).mean().sqrt()
    return weight, -weight @ mean
