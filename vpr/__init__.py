"""Train and measure one visual place recognition model: plain PyTorch, no Ray, Optuna or MLflow."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vpr.model import PlaceModel

# Before torch is imported: it then takes huge pages for large tensors on a CPU. A batch of new 4 KiB pages costs as much
# time as its augmentation.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")


def load(source: str | Path) -> "PlaceModel":
    """An exported model, in evaluation mode on the CPU: images (B, 3, H, W) in 0..1 -> (B, D), unit length.

    source: folder of an export, or an address such as "models:/NAME@champion" or "models:/NAME/3", which the search's package
    fetches from MLflow. Raises WeightsError where the source is no export or its weights do not fit.
    """
    from vpr.addresses import load_any  # torch is imported on use, so that settings and spaces stay quick to read

    return load_any(source)[0]
