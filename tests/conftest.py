"""Small real data for all tests: a little MiniCity, written once for the whole run."""

import os
import tempfile
from pathlib import Path

import pytest
import torch

os.environ["OMP_NUM_THREADS"] = "1"
CACHE = tempfile.TemporaryDirectory(prefix="vpr-test-cache-")  # removed when the tests end
os.environ["VPR_CACHE"] = CACHE.name
torch.set_num_threads(1)  # two threads on two busy cores wait for each other more than they compute

import search  # noqa: F401  before Ray
from vpr.config import TrialConfig
from vpr.data import TrainingData, open_data
from vpr.datasets import find_sets
from vpr.leaves import from_leaves
from vpr.minicity import write

SMALL = {
    "model/backbone": "timm:test_resnet",
    "model/weights": "none",
    "model/dim": 32,
    "data/image_size": (32, 56),
    "data/places_per_batch": 8,
    "data/augment": "light",
    "training/epochs": 2,
}
"""A trial of a second: timm keeps networks of 0.4 million weights for tests; a step takes a tenth of a ResNet-18's."""


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little MiniCity in the community's layout."""
    root = tmp_path_factory.mktemp("city") / "minicity"
    write(root, scale=0.1)
    return root


@pytest.fixture(scope="session")
def config() -> TrialConfig:
    return from_leaves(SMALL)


@pytest.fixture(scope="session")
def data(city: Path, config: TrialConfig) -> TrainingData:
    return open_data(find_sets(city), config.data)


@pytest.fixture(scope="session")
def tower() -> Path:
    """Real photographs, where VPR_REAL_DATA names their folder."""
    if "VPR_REAL_DATA" not in os.environ:
        pytest.skip("VPR_REAL_DATA is not set: no real photographs here")
    return Path(os.environ["VPR_REAL_DATA"]).resolve()
