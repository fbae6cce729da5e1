"""A search as people write it today: Ray Tune with Optuna and ASHA, a PIL DataLoader with RandAugment, MLflow's callback.

Written for `make compare` from the public examples of Ray Tune (Optuna, ASHA, MLflow), of PyTorch's DataLoader and of training
on GSV-Cities. Model, loss, optimizer and schedule are those of this project, so that only the way is compared.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import torchvision.transforms as T
from PIL import Image
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from scipy.spatial import cKDTree
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from search.space import load_space
from vpr.datasets import find_images, position
from vpr.leaves import from_leaves
from vpr.losses import PlaceLoss
from vpr.model import PlaceModel
from vpr.optimizers import OPTIMIZERS
from vpr.schedulers import Schedule

BATCH, WORKERS = 64, 1
METRIC = "val/recall_at_1"
RADIUS_M = 25.0
OURS = (
    *("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "TUNE_FUNCTION_THREAD_TIMEOUT_S", "TUNE_DISABLE_SIGINT_HANDLER"),
    *("RAY_AIR_NEW_OUTPUT", "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"),
    "MALLOC_ARENA_MAX",
)
"""Settings of Ray and of glibc that this project makes when it is imported."""


class Places(Dataset):
    """Places, each with K random images of it, as in GSV-Cities' own training code."""

    def __init__(self, folder: Path, size: tuple[int, int], images_per_place: int) -> None:
        images = defaultdict(list)
        for path in find_images(folder):
            images[path.name.split("@")[-2]].append(path)
        self.places = [own for own in images.values() if len(own) >= images_per_place]
        self.images_per_place = images_per_place
        self.transform = T.Compose(
            [
                T.Resize(size, interpolation=T.InterpolationMode.BILINEAR),
                T.RandAugment(num_ops=3, interpolation=T.InterpolationMode.BILINEAR),
                T.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        """Return images (K, 3, H, W) and their place (K,)."""
        chosen = random.sample(self.places[place], self.images_per_place)
        images = [self.transform(Image.open(path).convert("RGB")) for path in chosen]
        return torch.stack(images), torch.full((len(images),), place)


class Described(Dataset):
    """Images of a set, to be described."""

    def __init__(self, paths: list[Path], size: tuple[int, int]) -> None:
        self.paths = paths
        self.transform = T.Compose([T.Resize(size, interpolation=T.InterpolationMode.BILINEAR), T.ToTensor()])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> Tensor:
        return self.transform(Image.open(self.paths[row]).convert("RGB"))


@torch.inference_mode()
def described(model: nn.Module, paths: list[Path], size: tuple[int, int]) -> Tensor:
    """Return descriptors (N, D)."""
    model.eval()
    found = torch.cat([model(images) for images in DataLoader(Described(paths, size), BATCH, num_workers=WORKERS)])
    model.train()
    return found


def recall_at_1(model: nn.Module, val: Path, size: tuple[int, int]) -> float:
    """Return recall@1 in per cent."""
    database, queries = find_images(val / "database"), find_images(val / "queries")
    tree = cKDTree([position(path) for path in database])
    positives = tree.query_ball_point([position(path) for path in queries], RADIUS_M)
    distances = torch.cdist(described(model, queries, size), described(model, database, size))
    nearest = distances.argmin(dim=1).tolist()
    return 100 * float(np.mean([best in right for best, right in zip(nearest, positives, strict=True)]))


def train(config: dict[str, Any], root: Path, leaves: dict[str, Any]) -> None:
    """Train one trial."""
    torch.set_num_threads(1)
    # OptunaSearch hands leaves as nested dictionaries.
    drawn = {f"{room}/{leaf}": value for room, own in config.items() for leaf, value in own.items()}
    whole = from_leaves({**leaves, **drawn})
    torch.manual_seed(whole.training.seed)
    size = whole.data.image_size
    places = Places(root / "gsv_xs/train", size, whole.data.images_per_place)
    loader = DataLoader(
        places, whole.data.places_per_batch, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
    )
    model = PlaceModel(whole.model, size)
    loss = PlaceLoss(whole.loss, len(places), model.dim)
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if own_weights := list(loss.parameters()):
        groups.append({"params": own_weights, "lr": whole.loss.lr})
    optimizer = OPTIMIZERS[whole.optimizer.name](groups, whole.optimizer)
    schedule = Schedule(whole.scheduler, optimizer, whole.training.epochs, len(loader))
    for epoch in range(1, whole.training.epochs + 1):
        for images, labels in loader:
            value = loss(model(images.flatten(0, 1)), labels.flatten())
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.after_step()
        recall = recall_at_1(model, root / "sf_xs/val", size)
        schedule.after_epoch(recall)
        with tempfile.TemporaryDirectory() as folder:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(state, Path(folder) / "checkpoint.pt")
            tune.report(
                {METRIC: recall, "epoch": epoch, "reported_at": time.time()},
                checkpoint=tune.Checkpoint.from_directory(folder),
            )


def main(root: Path, storage: Path, trials: int, slots: int, leaves: dict[str, Any]) -> None:
    """Run the whole search; its results lie in `storage`/today."""
    for name in OURS:
        os.environ.pop(name, None)
    ray.init(address="local", num_cpus=slots, include_dashboard=False, log_to_driver=False)
    epochs = leaves["training/epochs"]
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(train, root=root, leaves=leaves), {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric=METRIC,
            mode="max",
            search_alg=OptunaSearch(space=load_space("losses").suggest, metric=METRIC, mode="max", seed=0),
            scheduler=ASHAScheduler(time_attr="epoch", max_t=epochs, grace_period=1),
            num_samples=trials,
            max_concurrent_trials=slots,
        ),
        run_config=tune.RunConfig(
            name="today",
            storage_path=str(storage),
            callbacks=[MLflowLoggerCallback(tracking_uri=f"sqlite:///{storage}/mlflow.db", experiment_name="today")],
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            verbose=0,
        ),
    )
    results = tuner.fit()
    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} trials failed: {results.errors[0]}")
    best = results.get_best_result()
    print(f"best {best.metrics[METRIC]:.1f} with {best.config}")  # type: ignore[index]


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    given = json.loads(sys.argv[1])
    main(Path(given["root"]), Path(given["storage"]), given["trials"], given["slots"], given["leaves"])
