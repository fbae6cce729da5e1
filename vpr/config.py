"""One frozen dataclass tree is the trial. Its leaves are named by their path: `optimizer/lr`.

A field made with `only(...)` belongs to some choices of the branch's `name` alone, each with its own default: it is
None for all others, and setting it for one of those is an error. Nothing else in the project holds a default.
`vpr.leaves` reads a tree from leaves, with every check.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Value = str | int | float | bool | tuple[int, ...] | None


def leaf(default: Value, **limits: Any) -> Any:
    """A field with limits: `low`/`high` (inclusive), `above`/`below` (exclusive), or `choices`."""
    return field(default=default, metadata=limits)


def only(owners: Mapping[str, Value], by: str = "name", **limits: Any) -> Any:
    """A field that exists only where the field `by` of the same branch is one of `owners`, with that default."""
    return field(default=None, metadata={"owners": owners, "by": by, **limits})


class Branch:
    """Fills the `only` fields of the chosen names with their defaults."""

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            if "owners" in f.metadata and getattr(self, f.name) is None:
                default = f.metadata["owners"].get(getattr(self, f.metadata["by"]))
                object.__setattr__(self, f.name, default)


OPTIMIZERS = ("sgd", "asgd", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "nadam", "radam")
SCHEDULERS = (
    *("none", "step", "multistep", "exponential", "cosine", "cosine_restarts", "one_cycle", "plateau"),
    *("linear", "polynomial", "cyclic"),
)
CLASSIFIER_LOSSES = ("arcface", "cosface", "subcenter_arcface", "proxy_anchor")
MINABLE_LOSSES = ("triplet", "contrastive", "circle", "multi_similarity", "ntxent", "supcon", "lifted")
LOSSES = (*MINABLE_LOSSES, *CLASSIFIER_LOSSES, "fast_ap", "smooth_ap", "centroid_triplet")
MINERS = ("none", "multi_similarity", "triplet_semihard", "triplet_hard", "pair_margin")
AGGREGATIONS = ("avg", "gem", "cosplace", "convap", "mixvpr", "netvlad")
EXPORT_FORMATS: tuple[Literal["onnx", "pt2"], ...] = ("onnx", "pt2")
"""Formats of a finished model that need none of this project."""
TORCHVISION_BACKBONES = ("resnet18", "resnet50")
ADAMS = ("adam", "adamw", "nadam", "radam")


@dataclass(frozen=True)
class ModelConfig(Branch):
    """Backbone, aggregation and projection; the descriptor is always scaled to unit length."""

    backbone: str = leaf("resnet18", choices=TORCHVISION_BACKBONES, prefix="timm:")
    """`resnet18`, `resnet50` (torchvision) or `timm:NAME`."""
    weights: str = "imagenet"
    """`imagenet` (downloaded by the library), `none`, or the path of a .safetensors or .pth file."""
    aggregation: str = leaf("gem", choices=AGGREGATIONS)
    """How the feature map becomes one vector."""
    dim: int | None = leaf(512, low=2, high=65536)
    """Descriptor size D after a linear projection; `none`: the aggregation's own size, no projection."""
    projection_init: str = leaf("auto", choices=("auto", "pca", "random"))
    """Start of the projection: `pca` of the training images' features, `random` (the study's), or `auto`: pca where the
    backbone has weights. The one default that is not the study's: a random start moves recall@1 more than a loss does."""
    gem_p: float | None = only({"gem": 3.0, "cosplace": 3.0}, by="aggregation", above=0.0)
    """Initial exponent of generalised-mean pooling (trained)."""
    clusters: int | None = only({"netvlad": 16}, by="aggregation", low=2, high=4096)
    """NetVLAD's cluster count."""
    channels: int | None = only({"convap": 128, "mixvpr": 128}, by="aggregation", low=1, high=16384)
    """Channels after the 1x1 convolution (ConvAP) or the channel projection (MixVPR)."""
    mix_depth: int | None = only({"mixvpr": 4}, by="aggregation", low=1)
    """MixVPR's number of feature mixers."""


@dataclass(frozen=True)
class DataConfig(Branch):
    """What a batch is, how an image is prepared, and what counts as correct."""

    image_size: tuple[int, int] = leaf((224, 224), low=16, high=8192)
    """Height x width in pixels that every image is resized to (bilinear, antialiased)."""
    places_per_batch: int = leaf(64, low=2)
    """Places of a batch (P)."""
    images_per_place: int = leaf(4, low=2)
    """Different images drawn from each place of a batch, without replacement (K)."""
    skip_small_places: bool = True
    """Leave out places with fewer than K images, as public loaders of GSV-Cities do; `false` refuses the data set instead."""
    augment: str = leaf("randaugment", choices=("none", "light", "randaugment"))
    """Training augmentation, with own random parameters for every image."""
    positive_radius_m: float = leaf(25.0, above=0.0)
    """A database image this close to the query (metres, inclusive) counts as correct."""
    cell_m: float = leaf(10.0, above=0.0)
    """Side in metres of the map cells that become places; only for training sets without places, as SF-XL (CosPlace's M)."""
    sector_deg: float = leaf(30.0, above=0.0, high=360.0)
    """Compass sector of such a place in degrees, a divisor of 360; only for training sets without places (CosPlace's alpha)."""


@dataclass(frozen=True)
class LossConfig(Branch):
    """The loss and its own knobs (pytorch-metric-learning's meanings)."""

    name: str = leaf("contrastive", choices=LOSSES)
    """Which loss; classifier losses train weights of their own."""
    miner: str | None = only(dict.fromkeys(MINABLE_LOSSES, "none"), choices=MINERS)
    """Which pairs or triplets of a batch count."""
    margin: float | None = only(
        {"triplet": 0.3, "circle": 0.25, "cosface": 0.35, "proxy_anchor": 0.1, "centroid_triplet": 0.3},
        low=0.0,
        high=2.0,
    )
    """Distance (triplet losses) or cosine (circle, cosface, proxy_anchor)."""
    margin_deg: float | None = only({"arcface": 28.6, "subcenter_arcface": 28.6}, low=0.0, below=90.0)
    """Angular margin in degrees."""
    pos_margin: float | None = only({"contrastive": 0.0, "lifted": 0.0}, low=0.0, high=2.0)
    """Distance below which a positive pair costs nothing."""
    neg_margin: float | None = only({"contrastive": 1.0, "lifted": 1.0}, low=0.0, high=2.0)
    """Distance above which a negative pair costs nothing."""
    scale: float | None = only(
        {"arcface": 64.0, "cosface": 64.0, "subcenter_arcface": 64.0, "circle": 64.0, "proxy_anchor": 32.0}, above=0.0
    )
    """Multiplier of the cosine: `gamma` of circle, `alpha` of proxy_anchor."""
    alpha: float | None = only({"multi_similarity": 1.0}, above=0.0)
    """Weight of positive pairs; GSV-Cities (Ali-bey et al. 2022) uses 1."""
    beta: float | None = only({"multi_similarity": 50.0}, above=0.0)
    """Weight of negative pairs."""
    base: float | None = only({"multi_similarity": 0.0}, low=-1.0, high=1.0)
    """Cosine around which pairs are weighed; GSV-Cities uses 0."""
    temperature: float | None = only({"ntxent": 0.07, "supcon": 0.1, "smooth_ap": 0.01}, above=0.0)
    """Divisor of the cosine."""
    bins: int | None = only({"fast_ap": 10}, low=2, high=1000)
    """Histogram bins of the distance."""
    sub_centers: int | None = only({"subcenter_arcface": 3}, low=1)
    """Centres of a class."""
    lr: float | None = only(dict.fromkeys(CLASSIFIER_LOSSES, 0.05), above=0.0, high=1e30)
    """Learning rate of the loss's own weights."""


@dataclass(frozen=True)
class OptimizerConfig(Branch):
    """torch.optim's classes and their own parameters."""

    name: str = leaf("sgd", choices=OPTIMIZERS)
    """`adam` is torch.optim.Adam, `adamw` is AdamW, and so on."""
    lr: float = leaf(0.0025, above=0.0, high=1e30)
    """Learning rate of the model's weights at its highest, before any schedule."""
    weight_decay: float = leaf(0.001, low=0.0, high=1e30)
    """L2 penalty; decoupled for adamw."""
    momentum: float | None = only({"sgd": 0.9, "rmsprop": 0.0}, low=0.0, below=1.0)
    """0 is plain SGD."""
    nesterov: bool | None = only({"sgd": False})
    """Nesterov's momentum; needs momentum above 0."""
    beta1: float | None = only(dict.fromkeys(ADAMS, 0.9), low=0.0, below=1.0)
    """Decay of the first moment."""
    beta2: float | None = only(dict.fromkeys(ADAMS, 0.999), low=0.0, below=1.0)
    """Decay of the second moment."""
    alpha: float | None = only({"rmsprop": 0.99, "asgd": 0.75}, low=0.0, high=1.0)
    """Smoothing constant (rmsprop); power of the step-size decay (asgd)."""
    lambd: float | None = only({"asgd": 1e-4}, low=0.0)
    """Decay term of asgd."""
    rho: float | None = only({"adadelta": 0.9}, low=0.0, below=1.0)
    """Decay of the squared gradients' average."""
    lr_decay: float | None = only({"adagrad": 0.0}, low=0.0)
    """Decay of adagrad's learning rate."""
    momentum_decay: float | None = only({"nadam": 4e-3}, low=0.0)
    """Decay of nadam's momentum."""
    eps: float | None = only(
        {**dict.fromkeys(ADAMS, 1e-8), "rmsprop": 1e-8, "adagrad": 1e-10, "adadelta": 1e-6}, above=0.0
    )
    """Added to the denominator."""


@dataclass(frozen=True)
class SchedulerConfig(Branch):
    """torch.optim.lr_scheduler's classes, times in epochs, after a linear warm-up.

    one_cycle and cyclic move at every step, the others after every epoch (as the study did).
    """

    name: str = leaf("none", choices=SCHEDULERS)
    """Which schedule of the learning rate."""
    warmup_epochs: int = leaf(0, low=0)
    """Epochs in which the learning rate rises linearly, step by step; the schedule begins after them."""
    step_epochs: int | None = only({"step": 3}, low=1)
    """Epochs between two drops."""
    milestones: tuple[int, ...] | None = only({"multistep": (5, 8)}, low=1)
    """Epochs after which the rate drops, counted from the end of the warm-up."""
    gamma: float | None = only(
        {"step": 0.3, "multistep": 0.1, "exponential": 0.9, "plateau": 0.1}, above=0.0, below=1.0
    )
    """Factor of each drop (plateau's `factor`)."""
    min_lr: float | None = only({"cosine": 0.0, "cosine_restarts": 0.0, "plateau": 0.0}, low=0.0)
    """Lowest learning rate (`eta_min`)."""
    restart_epochs: int | None = only({"cosine_restarts": 5}, low=1)
    """Epochs until the first restart (`T_0`)."""
    restart_factor: int | None = only({"cosine_restarts": 1}, low=1)
    """Each period is this many times longer than the one before (`T_mult`)."""
    patience: int | None = only({"plateau": 5}, low=0)
    """Epochs without a better val recall@1 before a drop."""
    power: float | None = only({"polynomial": 0.9}, above=0.0)
    """Exponent of the decay to zero."""
    end_factor: float | None = only({"linear": 0.1}, low=0.0, high=1.0)
    """Share of the learning rate that is left at the end."""
    rise: float | None = only({"one_cycle": 0.3}, above=0.0, below=1.0)
    """Share of the steps in which the rate rises (`pct_start`)."""
    low_factor: float | None = only({"cyclic": 0.1}, low=0.0, below=1.0)
    """Lowest rate of a cycle, as a share of the highest."""
    cycle_epochs: float | None = only({"cyclic": 2.0}, above=0.0)
    """Length of one cycle, up and down."""


@dataclass(frozen=True)
class TrainingConfig(Branch):
    """How long, how exactly, and which random numbers."""

    epochs: int = leaf(10, low=0)
    """Passes over the training places; 0 leaves the model untrained."""
    precision: str = leaf("auto", choices=("auto", "fp32", "bf16", "fp16"))
    """Autocast type of the forward pass; `auto`: bf16 where the device computes in it, else fp16 on a GPU, fp32 on a CPU."""
    compile: bool = False
    """Compile the model with torch.compile."""
    seed: int = leaf(0, low=0, high=2**32 - 1)
    """Initial weights, batches and augmentation follow from it."""


@dataclass(frozen=True)
class TrialConfig:
    """Everything that a trial is; the defaults are the study's base run, for real data on a GPU (but see `model/projection_init`)."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    scheduler: SchedulerConfig = field(default_factory=SchedulerConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
