"""A training between two epochs: one file an epoch that appears whole or not at all, is checked, and never runs code when read."""

import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from vpr.config import TrialConfig
from vpr.epochs import epoch_file, epoch_files
from vpr.errors import WeightsError
from vpr.leaves import from_leaves, to_leaves
from vpr.store_files import written_whole

PARTS = frozenset(
    (
        *("epoch", "best", "best_before", "metrics", "model", "loss", "optimizer", "schedule", "scaler", "sampler"),
        *("augment_generator", "torch_generator", "cuda_generator"),
    )
)
"""What a trainer needs to go on."""


def save_epoch(folder: Path, state: dict[str, Any], config: TrialConfig) -> Path:
    """Write a trainer's state after an epoch; returns its file.

    What stays beside it: the epoch before, to which a damaged file falls back, and the best epoch as either of the two knows it.
    """
    epoch = state["epoch"]
    file = epoch_file(folder, epoch)
    save_checkpoint(file, state, config)
    bests = {int(-key[2]) for key in (state["best"], state["best_before"]) if key}
    for other, old in epoch_files(folder).items():
        if other < epoch - 1 and other not in bests:
            old.unlink(missing_ok=True)
    return file


def load_latest(folder: Path, config: TrialConfig) -> dict[str, Any] | None:
    """The trainer's state after the newest epoch whose file is whole; None where there is none.

    Raises WeightsError for another configuration.
    """
    file, state, own = _latest(folder)
    if own is None:
        return None
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


def best_file(folder: Path) -> Path:
    """The best epoch of a training's folder; raises WeightsError where there is none."""
    file, state, _ = _latest(folder)
    if file is None:
        raise WeightsError(f"{folder} holds no whole epoch-*.pt file; python -m vpr.train --out {folder} writes them")
    return epoch_file(folder, int(-state["best"][2])) if state["best"] else file


def _latest(folder: Path) -> tuple[Path | None, dict[str, Any], TrialConfig | None]:
    for file in epoch_files(folder).values():
        try:
            return file, *read_checkpoint(file)
        except WeightsError as fault:
            print(f"damaged   {fault}; the epoch before it is used", file=sys.stderr)
    return None, {}, None


def save_checkpoint(file: Path, state: dict[str, Any], config: TrialConfig) -> None:
    """Write a trainer's state and its configuration beside `file`, on the disk before it is renamed. Raises OSError."""
    content = io.BytesIO()  # torch's own writer has no OSError for a full disk
    torch.save({"config": to_leaves(config), "trainer": state}, content)
    file.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(file) as sink:
        sink.write(content.getbuffer())
        sink.flush()
        os.fsync(sink.fileno())


def read_checkpoint(file: Path) -> tuple[dict[str, Any], TrialConfig]:
    """State and configuration of a checkpoint file; raises WeightsError for anything else, and for a damaged one.

    A fault of the disk or of the machine's memory says nothing of the file: OSError and MemoryError pass.
    """
    if not file.is_file():
        raise WeightsError(f"{file} is no checkpoint file; vpr.train writes epoch-*.pt, search/export.py a folder")
    try:
        with zipfile.ZipFile(file) as archive:
            if damaged := archive.testzip():  # a CRC-32 for each part, which torch.load does not compare
                raise ValueError(f"its part {damaged} is damaged")
        found = torch.load(file, map_location="cpu", weights_only=True)
        state, config = found["trainer"], from_leaves(found["config"])
        if not isinstance(state["model"], dict):
            raise TypeError("it holds no model")
        return state, config
    except Exception as fault:  # the unpickler has no one error type
        if isinstance(fault, MemoryError) or (isinstance(fault, OSError) and fault.errno is not None):
            raise
        reason = (str(fault).splitlines() or [type(fault).__name__])[0][:120]
        raise WeightsError(f"{file} cannot be read as a checkpoint of vpr.train ({reason})") from None
