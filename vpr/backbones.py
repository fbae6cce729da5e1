"""Feature extractors by exact name, and where their weights come from."""

from collections.abc import Callable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from vpr.config import ModelConfig
from vpr.errors import ConfigError, WeightsError

HEADS = ("fc.", "classifier.", "head.")
"""Weights of an ImageNet classifier, which a descriptor does not need; files may carry them."""


class ResNetFeatures(nn.Module):
    """torchvision's ResNet up to layer4: images (B, 3, H, W), normalised -> (B, C, H/32, W/32)."""

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self, network: torchvision.models.ResNet) -> None:
        super().__init__()
        del network.avgpool, network.fc
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        n = self.network
        features = n.maxpool(n.relu(n.bn1(n.conv1(images))))
        return n.layer4(n.layer3(n.layer2(n.layer1(features))))


class TimmFeatures(nn.Module):
    """timm's unpooled features as (B, C, h, w), whatever the architecture gives: NCHW, NHWC or tokens."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.mean, self.std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
        self.is_channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        features = self.network.forward_features(images)
        if features.ndim == 3:  # (B, prefix + h*w, C): class and register tokens stand before the grid's
            grid = features[:, getattr(self.network, "num_prefix_tokens", 0) :]
            return grid.transpose(1, 2).unflatten(2, self.network.patch_embed.grid_size)
        return features.permute(0, 3, 1, 2) if self.is_channels_last else features


TORCHVISION: dict[str, tuple[Callable[..., Any], Any]] = {
    "resnet18": (torchvision.models.resnet18, torchvision.models.ResNet18_Weights.IMAGENET1K_V1),
    "resnet50": (torchvision.models.resnet50, torchvision.models.ResNet50_Weights.IMAGENET1K_V1),
}


def build_backbone(config: ModelConfig, image_size: tuple[int, int]) -> ResNetFeatures | TimmFeatures:
    """The feature extractor with its weights loaded.

    Raises ConfigError for a timm name that does not exist, WeightsError where weights cannot be had or do not fit.
    """
    own = ModelConfig(backbone=config.backbone, weights=config.weights)
    try:
        if config.weights == "none":
            return _with_weights(own, image_size)
        file = Path(config.weights)
        return deepcopy(_loaded(own, image_size, file.stat().st_mtime_ns if file.is_file() else 0))
    except (OSError, RuntimeError) as fault:  # no network; timm has no weights of that name
        reason = " ".join(str(fault).split())[:120]
        raise WeightsError(
            f"the ImageNet weights of {config.backbone} cannot be downloaded ({reason}); give a file with "
            "--set model/weights=PATH (.safetensors or .pth), or start from nothing with --set model/weights=none"
        ) from None


@lru_cache(maxsize=1)
def _loaded(config: ModelConfig, image_size: tuple[int, int], version: int) -> ResNetFeatures | TimmFeatures:
    """Kept for the next trial of this process. No random number is used up, so that a trial is the same after any other."""
    with torch.random.fork_rng(devices=[]):
        return _with_weights(config, image_size)


def _with_weights(config: ModelConfig, image_size: tuple[int, int]) -> ResNetFeatures | TimmFeatures:
    download = config.weights == "imagenet"
    if config.backbone in TORCHVISION:
        builder, imagenet = TORCHVISION[config.backbone]
        network = builder(weights=imagenet if download else None)
        backbone: ResNetFeatures | TimmFeatures = ResNetFeatures(network)
    else:
        backbone = TimmFeatures(_timm_network(config.backbone.removeprefix("timm:"), image_size, download))
    if config.weights not in ("imagenet", "none"):
        _fit(backbone.network, read_weights(Path(config.weights)), config)
    return backbone


def _timm_network(name: str, image_size: tuple[int, int], download: bool) -> Any:
    import timm  # seconds and 100 MiB that a torchvision backbone does without

    if not timm.is_model(name):
        close = timm.list_models(f"*{name}*")[:3]
        hint = f"; names like it: {', '.join(close)}" if close else "; timm.list_models() gives the names"
        raise ConfigError(f"model/backbone=timm:{name} does not exist in timm {timm.__version__}{hint}")
    try:
        return timm.create_model(name, pretrained=download, num_classes=0, img_size=image_size)
    except TypeError:  # convolutional networks take any size and have no such argument
        return timm.create_model(name, pretrained=download, num_classes=0)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .pth file; never runs code from it. Raises WeightsError."""
    if not path.is_file():
        raise WeightsError(f"model/weights={path} is no file; give a .safetensors or .pth file, `imagenet` or `none`")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as fault:  # safetensors and the unpickler have no common error type
        reason = type(fault).__name__
        raise WeightsError(
            f"{path} cannot be read as weights ({reason}); give a .safetensors or .pth state dict"
        ) from None
    found = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(f"{path} holds no state dict of tensors; save one with torch.save(model.state_dict(), PATH)")
    return found


def _fit(network: nn.Module, weights: dict[str, Tensor], config: ModelConfig) -> None:
    own = network.state_dict()
    missing = sorted(set(own) - set(weights))
    unknown = sorted(name for name in set(weights) - set(own) if not name.startswith(HEADS))
    shapes = sorted(name for name in set(own) & set(weights) if own[name].shape != weights[name].shape)
    for what, names in (("lacks", missing), ("has the unknown", unknown), ("has another shape for", shapes)):
        if names:
            raise WeightsError(
                f"{config.weights} does not fit model/backbone={config.backbone}: it {what} {len(names)} tensors, "
                f"first {names[0]}; give the weights of that backbone"
            )
    network.load_state_dict({name: weights[name] for name in own})
