"""A trial between two epochs, as one file that appears whole or not at all and never runs code when read."""

import os
from pathlib import Path
from typing import Any

import torch

from vpr.config import TrialConfig
from vpr.errors import WeightsError
from vpr.leaves import from_leaves, to_leaves

PARTS = frozenset(
    (
        *("epoch", "best", "model", "loss", "optimizer", "schedule", "scaler", "sampler"),
        *("augment_generator", "torch_generator", "cuda_generator"),
    )
)
"""What a trainer needs to go on."""


def save_checkpoint(file: Path, state: dict[str, Any], config: TrialConfig) -> None:
    """Write a trainer's state and its configuration beside `file`, then rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial-{os.getpid()}")
    try:
        torch.save({"config": to_leaves(config), "trainer": state}, partial)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(file: Path, config: TrialConfig) -> dict[str, Any]:
    """The trainer's state; raises WeightsError if the file is unreadable or of another configuration."""
    state, own = read_checkpoint(file)
    if own != config:
        mine, theirs = to_leaves(config), to_leaves(own)
        differing = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
        raise WeightsError(
            f"{file} belongs to another configuration ({', '.join(differing)} differ); give its own settings"
        )
    if missing := sorted(PARTS - set(state)):
        raise WeightsError(
            f"{file} lacks {', '.join(missing)}; training cannot go on from it, only vpr.evaluate can read it"
        )
    return state


def read_checkpoint(file: Path) -> tuple[dict[str, Any], TrialConfig]:
    """State and configuration of a checkpoint file; raises WeightsError for anything else."""
    if not file.is_file():
        raise WeightsError(
            f"{file} is no checkpoint file; vpr.train writes best.pt and last.pt, search/export.py a folder"
        )
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        state, config = found["trainer"], from_leaves(found["config"])
        if not isinstance(state["model"], dict):
            raise TypeError("it holds no model")
        return state, config
    except Exception as fault:  # the unpickler has no one error type
        reason = (str(fault).splitlines() or [type(fault).__name__])[0][:120]
        raise WeightsError(f"{file} cannot be read as a checkpoint of vpr.train ({reason})") from None
