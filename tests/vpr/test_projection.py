"""A projection that starts from the data."""

import numpy as np
import torch

from vpr.leaves import from_leaves
from vpr.projection import pca_whitening
from vpr.train import Trainer

CPU = torch.device("cpu")


def test_outputs_are_centred_uncorrelated_and_attenuated():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 6, generator=generator) * torch.tensor([9.0, 5.0, 3.0, 2.0, 1.0, 0.5]) + 7
    rotated = features @ torch.linalg.qr(torch.randn(6, 6, generator=generator))[0]
    weight, bias = pca_whitening(rotated, 4)
    out = (rotated @ weight.T + bias).double().numpy()
    covariance = np.cov(out.T)
    assert np.abs(out.mean(axis=0)).max() < 1e-3
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3 * covariance.max()
    plain = np.linalg.svd(rotated.numpy() - rotated.numpy().mean(axis=0), compute_uv=False)[:4]
    assert np.allclose(np.diag(covariance) / covariance[0, 0], plain / plain[0], rtol=1e-3)
    assert torch.isclose(weight.square().sum(dim=1).mean(), torch.tensor(1.0))


def test_auto_is_random_without_weights_and_pca_is_repeatable(config, data):
    def projection(seed, start, weights):
        own = from_leaves({"model/projection_init": start, "training/seed": seed, "model/weights": weights}, config)
        return Trainer(own, data, CPU).model.projection.weight.detach()

    assert not torch.equal(projection(0, "random", "none"), projection(1, "random", "none"))
    first = projection(0, "pca", "none")
    assert torch.equal(first, projection(0, "pca", "none")) and not torch.equal(first, projection(0, "auto", "none"))


def test_the_next_trial_finds_the_features_fitted(config, data, monkeypatch):
    own = from_leaves({"model/projection_init": "pca", "training/seed": 5}, config)
    first = Trainer(own, data, CPU).model.projection.weight.detach()
    monkeypatch.setattr("vpr.projection.vectors", None)  # nothing is described again
    assert torch.equal(first, Trainer(own, data, CPU).model.projection.weight.detach())


def test_fewer_images_than_dimensions_leave_the_rest_random():
    weight, bias = pca_whitening(torch.randn(5, 16, generator=torch.Generator().manual_seed(0)), 8)
    assert weight.shape == (4, 16) and bias.shape == (4,)
