"""Descriptors of any pictures. `python -m vpr.describe EXPORT IMAGES... --out descriptors.npy`."""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track

from vpr import cli
from vpr.datasets import find_images
from vpr.errors import BadImagesError, ConfigError, DataError
from vpr.images import read_image

BATCH = 64
"""Pictures that are decoded and described at once."""


@dataclass(frozen=True)
class DescribeSettings:
    """Write the descriptors of pictures as a NumPy file (N, D) float32, and beside it their paths, a line each."""

    model: Annotated[str, tyro.conf.Positional]
    """Folder of an export, a training's folder, a checkpoint file, or the address of a registered model."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Pictures, or folders that are searched for them."""
    out: Path = Path("descriptors.npy")
    """File to write; the paths go beside it, into the same name with .txt."""
    device: str = "auto"
    """auto, cpu or cuda."""


def main(settings: DescribeSettings) -> int:
    if settings.out.suffix != ".npy":
        raise ConfigError(f"--out {settings.out} is no .npy file; give one, such as descriptors.npy")
    from vpr.addresses import load_any
    from vpr.precision import pick_device

    device = pick_device(settings.device)
    paths = list_images(settings.images)
    if broken := [path for path in paths if "\n" in str(path)]:
        raise DataError(f"{str(broken[0])!r} has a line break, which a list of paths cannot hold; rename it")
    model, config = load_any(settings.model)
    descriptors = describe_files(model.to(device), paths, config.data.image_size, device)
    write_descriptors(settings.out, descriptors, paths)
    print(
        f"{len(paths)} descriptors of {descriptors.shape[1]} numbers: {settings.out}, {settings.out.with_suffix('.txt')}"
    )
    return 0


def list_images(given: Sequence[Path]) -> list[Path]:
    """The pictures, and those of the folders in sorted order; raises DataError for what is neither."""
    if not given:
        raise DataError("no pictures are given; name files or folders")
    missing = [path for path in given if not path.exists()]
    if missing:
        raise DataError(f"{len(missing)} of the pictures are not there, first {missing[0]}; check the paths")
    return list(chain.from_iterable(find_images(path) if path.is_dir() else [path] for path in given))


def describe_files(model, paths: Sequence[Path], image_size: tuple[int, int], device) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Descriptors (N, D) float32 of unit length of files that are resized to `image_size`, in float32, with progress on stderr.

    Raises BadImagesError with all pictures that cannot be read.
    """
    import torch  # --help needs it not

    from vpr.augment import none

    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    found, faults = [], {}
    console = Console(stderr=True)
    with ThreadPoolExecutor(os.cpu_count()) as threads, torch.inference_mode():

        def decode(path: Path) -> np.ndarray | None:
            try:
                return read_image(path, image_size)
            except BadImagesError as fault:
                faults.update(fault.faults)
                return None

        shown = track(batches, "describing", console=console, disable=not sys.stderr.isatty(), transient=True)
        for batch in shown:
            pixels = [one for one in threads.map(decode, batch) if one is not None]
            if not faults:  # else the rest is read only to name all that are bad
                images = none(torch.from_numpy(np.stack(pixels)).to(device))  # (B, 3, H, W) in 0..1
                found.append(model(images).cpu().numpy())
    if faults:
        first = min(faults)
        raise DataError(
            f"{len(faults)} pictures cannot be read: {', '.join(map(str, sorted(faults)[:5]))}"
            f"{', ...' if len(faults) > 5 else ''} ({faults[first]}); replace or leave them out"
        )
    return np.concatenate(found)


def write_descriptors(file: Path, descriptors: np.ndarray, paths: Sequence[Path]) -> None:
    """Both files beside and renamed; the descriptors last."""
    file.parent.mkdir(parents=True, exist_ok=True)
    listed, partial = (file.with_name(f"{file.stem}.partial-{os.getpid()}{end}") for end in (".txt", ".npy"))
    try:
        listed.write_bytes(b"".join(os.fsencode(path) + b"\n" for path in paths))
        with partial.open("wb") as sink:
            np.save(sink, descriptors)
        os.replace(listed, file.with_suffix(".txt"))
        os.replace(partial, file)
    finally:
        listed.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)


def read_descriptors(file: Path) -> tuple[np.ndarray, list[Path]]:
    """Descriptors (N, D) and the paths of what `write_descriptors` wrote; raises DataError where they do not belong together."""
    try:
        descriptors = np.load(file, allow_pickle=False)
        paths = [Path(os.fsdecode(line)) for line in file.with_suffix(".txt").read_bytes().split(b"\n")[:-1]]
    except (OSError, ValueError, EOFError) as fault:
        raise DataError(f"{file} cannot be read as descriptors ({fault}); python -m vpr.describe writes them") from None
    if descriptors.ndim != 2 or descriptors.dtype != np.float32 or len(descriptors) != len(paths) or not paths:
        raise DataError(f"{file} and its .txt do not belong together; write both again with python -m vpr.describe")
    return descriptors, paths


if __name__ == "__main__":
    cli.run(main, DescribeSettings, "python -m vpr.describe")
