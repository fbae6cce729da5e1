"""Every entry of every registry takes a real step."""

import copy

import pytest
import torch
from torch import nn

from vpr.aggregations import AGGREGATIONS
from vpr.augment import AUGMENTS
from vpr.backbones import TORCHVISION
from vpr.config import AGGREGATIONS as AGGREGATION_NAMES
from vpr.config import (
    CLASSIFIER_LOSSES,
    MINABLE_LOSSES,
    TORCHVISION_BACKBONES,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
)
from vpr.config import LOSSES as LOSS_NAMES
from vpr.config import MINERS as MINER_NAMES
from vpr.config import OPTIMIZERS as OPTIMIZER_NAMES
from vpr.config import SCHEDULERS as SCHEDULER_NAMES
from vpr.leaves import all_leaves, from_leaves
from vpr.losses import LOSSES, MINERS, PlaceLoss
from vpr.model import PlaceModel
from vpr.optimizers import OPTIMIZERS
from vpr.schedulers import SCHEDULERS
from vpr.train import Trainer

CPU = torch.device("cpu")


def trained(config, data, **leaves):
    """A trainer and its results."""
    trainer = Trainer(from_leaves(leaves, config), data, CPU)
    before = copy.deepcopy([weights.detach() for weights in trainer.model.parameters()])
    results = list(trainer)
    moved = any((old != new).any() for old, new in zip(before, trainer.model.parameters(), strict=True))
    return trainer, results, moved


def test_the_config_tree_and_the_registries_have_the_same_names():
    assert set(OPTIMIZERS) == set(OPTIMIZER_NAMES) and set(SCHEDULERS) == set(SCHEDULER_NAMES)
    assert set(LOSSES) == set(LOSS_NAMES) and set(MINERS) == set(MINER_NAMES)
    assert set(AGGREGATIONS) == set(AGGREGATION_NAMES) and set(TORCHVISION) == set(TORCHVISION_BACKBONES)
    assert set(AUGMENTS) == set(all_leaves()["data/augment"][0].metadata["choices"])


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_step_that_the_gradient_scaler_skips_leaves_no_trace(name):
    """fp16 often overflows in its first step."""

    def after_a_good_step(overflows):
        weights = torch.nn.Parameter(torch.ones(64))
        optimizer = OPTIMIZERS[name]([{"params": [weights]}], OptimizerConfig(name=name, lr=0.01))
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        for is_finite in ([False] if overflows else []) + [True]:
            optimizer.zero_grad()
            scaler.scale(weights.sum()).backward()
            if not is_finite:
                weights.grad.fill_(float("inf"))
            scaler.step(optimizer)
            scaler.update()
        return weights.detach()

    assert torch.equal(after_a_good_step(overflows=True), after_a_good_step(overflows=False))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_optimizer(name, config, data):
    trainer, _, moved = trained(config, data, **{"optimizer/name": name, "training/epochs": 1})
    assert moved
    assert type(trainer.optimizer) is getattr(
        torch.optim,
        {"sgd": "SGD", "asgd": "ASGD", "rmsprop": "RMSprop", "nadam": "NAdam", "radam": "RAdam", "adamw": "AdamW"}.get(
            name, name.capitalize()
        ),
    )


def test_adam_is_not_adamw():
    weights = [{"params": [nn.Parameter(torch.ones(1))]}]
    assert type(OPTIMIZERS["adam"](weights, OptimizerConfig(name="adam"))) is torch.optim.Adam


@pytest.mark.parametrize("name", sorted(SCHEDULERS))
def test_scheduler(name, config, data):
    leaves = {"scheduler/name": name, "scheduler/warmup_epochs": 1, "training/epochs": 4}
    leaves |= {
        "plateau": {"scheduler/patience": 0},
        "step": {"scheduler/step_epochs": 1},
        "multistep": {"scheduler/milestones": (1, 2)},
        "cosine_restarts": {"scheduler/restart_epochs": 3},
    }.get(name, {})
    _, results, _ = trained(config, data, **leaves)
    rates = [result.learning_rate for result in results]
    assert rates[0] > 0 and len(rates) == 4
    if name not in ("none", "plateau"):
        assert len(set(rates[1:])) > 1
    if name in ("none", "step", "exponential", "cosine", "linear", "polynomial"):
        assert rates[1] == pytest.approx(config.optimizer.lr)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_loss(name, config, data):
    trainer, results, moved = trained(config, data, **{"loss/name": name, "training/epochs": 1})
    assert moved and results[0].loss > 0
    assert (results[0].loss_weights > 0) == (name in CLASSIFIER_LOSSES)


@pytest.mark.parametrize("name", sorted(CLASSIFIER_LOSSES))
def test_a_loss_with_weights_trains_them_at_its_own_rate(name, config, data):
    own = from_leaves({"loss/name": name, "loss/lr": 0.1, "training/epochs": 1}, config)
    trainer = Trainer(own, data, CPU)
    before = [weights.detach().clone() for weights in trainer.loss.parameters()]
    list(trainer)
    assert all((old != new).any() for old, new in zip(before, trainer.loss.parameters(), strict=True))
    assert trainer.optimizer.param_groups[1]["lr"] == 0.1
    assert any(weights.shape == before[0].shape for weights in trainer.state_dict()["loss"].values())


@pytest.mark.parametrize("loss", sorted(MINABLE_LOSSES))
@pytest.mark.parametrize("miner", sorted(MINERS))
def test_miner(loss, miner):
    module = PlaceLoss(LossConfig(name=loss, miner=miner), places=4, dim=8)
    descriptors = torch.randn(16, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    value = module(nn.functional.normalize(descriptors), torch.arange(4).repeat_interleave(4))
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(descriptors.grad).all()


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_loss_survives_a_batch_without_positive_pairs(name):
    descriptors = torch.eye(3, 8, requires_grad=True)  # three places, one view each
    loss = PlaceLoss(LossConfig(name=name), places=3, dim=8)(descriptors, torch.arange(3))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(descriptors.grad).all()


@pytest.mark.parametrize("name", sorted(AGGREGATIONS))
@pytest.mark.parametrize("dim", [16, None])
def test_aggregation(name, dim):
    model = PlaceModel(ModelConfig(weights="none", aggregation=name, dim=dim), (64, 112))
    descriptors = model(torch.rand(4, 3, 64, 112))
    assert descriptors.shape == (4, model.dim) and (dim is None or model.dim == dim)
    assert torch.allclose(descriptors.norm(dim=1), torch.ones(4), atol=1e-5)
    descriptors[:, 0].sum().backward()
    assert all(weights.grad is not None for weights in model.aggregation.parameters())


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        "timm:tf_efficientnet_lite0",
        "timm:vit_tiny_patch16_224",
        "timm:swin_tiny_patch4_window7_224",
    ],
)
def test_backbone(name):
    model = PlaceModel(ModelConfig(backbone=name, weights="none", dim=8), (64, 96)).eval()
    assert model(torch.rand(2, 3, 64, 96)).shape == (2, 8)


@pytest.mark.parametrize("name", sorted(AUGMENTS))
def test_augmentation_draws_for_every_image_and_follows_the_generator(name):
    images = torch.randint(256, (1, 3, 32, 56), generator=torch.Generator().manual_seed(0)).byte().repeat(16, 1, 1, 1)
    first, again = (AUGMENTS[name](images, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == images.shape
    assert first.min() >= 0 and first.max() <= 1 + 1e-6
    if name != "none":
        assert len({tuple(image.flatten()[:50].tolist()) for image in first}) > 8
