"""Train one configuration, resumably. `python -m vpr.train --data ROOT --set optimizer/lr=0.01 --out DIR`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro

from vpr import cli
from vpr.augment import AUGMENTS
from vpr.batches import PlaceSampler
from vpr.checkpoint import best_file, load_latest, save_epoch
from vpr.config import ModelConfig, TrialConfig
from vpr.data import TrainingData, open_data
from vpr.datasets import find_sets
from vpr.epochs import epoch_files
from vpr.errors import ConfigError, TrainingError, WeightsError
from vpr.evaluate import ranking
from vpr.leaves import from_leaves, parse_assignments, to_leaves, to_text
from vpr.loading import load
from vpr.losses import PlaceLoss
from vpr.memory import keep_freed_memory
from vpr.minicity.preset import PRESET, minicity_folder
from vpr.model import PlaceModel
from vpr.optimizers import OPTIMIZERS
from vpr.precision import autocast, pick_device, resolve
from vpr.projection import fit_projection
from vpr.recall import first_hits, recalls
from vpr.results import EpochResult, best_key, mean_recalls
from vpr.schedulers import Schedule


class Trainer:
    """One trial: iterate over it to train; `state_dict` after any epoch holds all that the rest depends on."""

    def __init__(self, config: TrialConfig, data: TrainingData, device: torch.device, is_resumed: bool = False) -> None:
        """is_resumed: a state is loaded next, so what only a new model needs is left out."""
        torch.manual_seed(config.training.seed)
        self.config, self.data, self.device = config, data, device
        self.epoch = 0
        self.best: list[float] | None = None
        """`best_key` of the best epoch so far."""
        self.best_before: list[float] | None = None
        """The same, an epoch earlier."""
        self.metrics: dict[str, float] | None = None
        """Of the last epoch."""
        self.rankings: dict[str, np.ndarray] = {}
        """(Q, n) of the last validation, as `vpr.evaluate.ranking` gives them, by the name of the val set."""
        self.first_step_at: float | None = None
        """Unix seconds when the first step began, its batch gathered."""
        self.sampler = PlaceSampler(data.labels, config.data, config.training.seed, data.groups)
        self.model = PlaceModel(config.model, config.data.image_size).to(device)
        if fits_projection(config.model) and not is_resumed:
            fit_projection(self.model, data, config.training.precision, device)
        self.forward = torch.compile(self.model) if config.training.compile else self.model
        self.loss = PlaceLoss(config.loss, data.places, self.model.dim).to(device)
        self.loss_weights = sum(weights.numel() for weights in self.loss.parameters())
        groups: list[dict[str, Any]] = [{"params": list(self.model.parameters())}]
        if self.loss_weights:
            groups.append({"params": list(self.loss.parameters()), "lr": config.loss.lr})
        self.optimizer = OPTIMIZERS[config.optimizer.name](groups, config.optimizer)
        self.schedule = Schedule(config.scheduler, self.optimizer, config.training.epochs, len(self.sampler))
        self.augment = AUGMENTS[config.data.augment]
        self.augment_generator = torch.Generator().manual_seed(config.training.seed)
        is_half = resolve(device, config.training.precision) == "fp16"
        self.scaler = torch.amp.GradScaler(device.type, enabled=is_half)

    def __iter__(self) -> Iterator[EpochResult]:
        """The epochs that are left. Raises TrainingError when the loss is not finite."""
        while self.epoch < self.config.training.epochs:
            yield self._epoch()

    @property
    def is_best(self) -> bool:
        """Whether the last epoch is the best so far."""
        return self.best is not None and -self.best[2] == self.epoch

    def validate(self) -> dict[str, dict[int, float]]:
        """Return recall@N in per cent by N, by the name of the val set."""
        precision = self.config.training.precision
        vals = self.data.vals
        self.rankings = {name: ranking(self.model, val, precision, self.device) for name, val in vals.items()}
        return {name: recalls(first_hits(self.rankings[name], val.positives)) for name, val in vals.items()}

    def _epoch(self) -> EpochResult:
        self.epoch += 1
        self.model.train()
        start = time.perf_counter()
        total = torch.zeros((), device=self.device)
        for rows, images in load(self.data.images, self.sampler, self.device):
            total += self.step(images, self.data.labels[rows])
        loss = total.item() / len(self.sampler)
        train_seconds = time.perf_counter() - start
        if not np.isfinite(loss):
            raise TrainingError(f"the loss is {loss} in epoch {self.epoch}; lower optimizer/lr or loss/lr")
        learning_rate = self.optimizer.param_groups[0]["lr"]
        start = time.perf_counter()
        by_set = self.validate()
        mean = mean_recalls(by_set)
        val_seconds = time.perf_counter() - start
        self.schedule.after_epoch(mean[1])
        key = best_key({"val/recall_at_1": mean[1], "val/recall_at_5": mean[5], "epoch": self.epoch})
        is_best = self.best is None or key > tuple(self.best)
        self.best_before, self.best = self.best, list(key) if is_best else self.best
        batch = self.config.data.places_per_batch * self.config.data.images_per_place
        speed = len(self.sampler) * batch / train_seconds
        result = EpochResult(
            self.epoch, mean, loss, learning_rate, speed, train_seconds, val_seconds, self.loss_weights, by_set
        )
        self.metrics = result.metrics()
        return result

    def step(self, images: torch.Tensor, places: np.ndarray) -> torch.Tensor:
        """One optimizer step on images (P*K, 3, H, W) uint8 and their places (P*K,); returns the loss, still on the device."""
        self.first_step_at = self.first_step_at or time.time()
        labels = torch.from_numpy(places).to(self.device, non_blocking=True)  # (P*K,)
        inputs = self.augment(images, self.augment_generator)  # (P*K, 3, H, W) float in 0..1
        with autocast(self.device, self.config.training.precision):
            descriptors = self.forward(inputs, is_own=True)  # (P*K, D)
        loss = self.loss(descriptors.float(), labels)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.after_step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything that later epochs depend on, random states included."""
        parts = self._parts()
        return {
            "epoch": self.epoch,
            "best": self.best,
            "best_before": self.best_before,
            "metrics": self.metrics,
            **{name: part.state_dict() for name, part in parts.items()},
            "augment_generator": self.augment_generator.get_state(),
            "torch_generator": torch.get_rng_state(),
            "cuda_generator": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.metrics = state["epoch"], state["metrics"]
        self.best, self.best_before = state["best"], state["best_before"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.augment_generator.set_state(state["augment_generator"])
        torch.set_rng_state(state["torch_generator"])
        if state["cuda_generator"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_generator"], self.device)

    def _parts(self) -> dict[str, Any]:
        names = ("model", "loss", "optimizer", "schedule", "scaler", "sampler")
        return {name: getattr(self, name) for name in names}


def fits_projection(config: ModelConfig) -> bool:
    """Whether the projection starts from PCA: asked for, or `auto` with a pretrained backbone."""
    is_wanted = {"pca": True, "random": False, "auto": config.weights != "none"}[config.projection_init]
    return is_wanted and config.dim is not None


@dataclass(frozen=True)
class TrainSettings:
    """Train one configuration and keep its best epoch and its last two as checkpoints."""

    data: Path | None = None
    """Folder that holds gsv_xs and sf_xs; MiniCity with its preset if not given."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Set a leaf, such as optimizer/lr=0.01 (repeatable)."""
    out: Path = Path("results/train")
    """Folder for the checkpoints, epoch-0001.pt and so on."""
    resume: bool = False
    """Go on from the last epoch in that folder."""
    device: str = "auto"
    """auto, cpu or cuda."""
    threads: int | None = None
    """Threads of a CPU; torch's own choice if not given. Another number gives other last digits."""
    cache_budget: float | None = None
    """GB of disk for decoded images. Above it the image files are packed instead. Without it, what fits into memory."""
    on_bad_image: Literal["error", "skip"] = "error"
    """What to do with images that cannot be read: list them and end, or leave them out."""


def main(settings: TrainSettings) -> int:
    preset = PRESET if settings.data is None else {}
    config = from_leaves({**preset, **parse_assignments(settings.set)})
    device = pick_device(settings.device)
    keep_freed_memory()
    if settings.threads is not None:
        if settings.threads < 1:
            raise ConfigError(f"--threads {settings.threads} must be 1 or more")
        torch.set_num_threads(settings.threads)
    if epoch_files(settings.out) and not settings.resume:
        raise ConfigError(f"{settings.out} holds a training already; give --resume to go on, or another --out")
    if settings.out.exists() and not settings.out.is_dir():
        raise ConfigError(f"--out {settings.out} is a file; give a folder")
    state = load_latest(settings.out, config) if settings.resume else None
    if settings.resume and state is None:
        raise WeightsError(f"{settings.out} holds no epoch to go on from; leave out --resume, or give its --out")
    settings.out.mkdir(parents=True, exist_ok=True)
    sets = find_sets(settings.data or minicity_folder())
    data = open_data(sets, config.data, settings.cache_budget, settings.on_bad_image)
    if skipped := len(data.skipped) + sum(len(val.skipped) for val in data.vals.values()):
        print(f"{skipped} images cannot be read and are left out")
    print("  ".join(f"{name}={to_text(name, value)}" for name, value in to_leaves(config).items()))
    trainer = Trainer(config, data, device, is_resumed=settings.resume)
    if state:
        trainer.load_state_dict(state)
    if config.training.epochs == 0:
        untrained = mean_recalls(trainer.validate())
        print("untrained  " + "  ".join(f"recall@{n} {value:.1f}" for n, value in untrained.items()))
        save_epoch(settings.out, trainer.state_dict(), config)
    for result in trainer:
        figures = "  ".join(f"recall@{n} {value:.1f}" for n, value in result.recalls.items())
        print(f"epoch {result.epoch}  loss {result.loss:.4f}  {figures}  {result.images_per_second:.0f} images/s")
        save_epoch(settings.out, trainer.state_dict(), config)
    print(f"best epoch: {best_file(settings.out)}")
    return 0


if __name__ == "__main__":
    cli.run(main, TrainSettings, "python -m vpr.train")
