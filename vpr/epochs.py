"""The files of a training: one an epoch. No torch, so that a driver can look after them."""

import re
from pathlib import Path


def epoch_file(folder: Path, epoch: int) -> Path:
    """Where the state after an epoch lies."""
    return folder / f"epoch-{epoch:04d}.pt"


def epoch_files(folder: Path) -> dict[int, Path]:
    """The files of a training by epoch, the newest first; none where there is no folder."""
    found = {int(file.stem[6:]): file for file in folder.glob("epoch-*.pt") if re.fullmatch(r"\d+", file.stem[6:])}
    return dict(sorted(found.items(), reverse=True))
