"""Images decoded and resized once a node: one memory-mapped array, shared by all trials through the page cache."""

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image, UnidentifiedImageError
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import track

from vpr.errors import DataError


def cache_folder() -> Path:
    """Where stores and MiniCity lie on this node: `$VPR_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("VPR_CACHE") or user_cache_path("vpr-search"))


def open_store(name: str, paths: Sequence[Path], image_size: tuple[int, int]) -> np.ndarray:
    """The decoded images (N, H, W, 3) uint8 in the order of `paths`, read-only and memory-mapped.

    Built under a lock with all cores if it is not there; keyed by names, sizes, times and the image size (height, width
    in pixels), so changed images give another store. Raises DataError for an image that cannot be read.
    """
    file = cache_folder() / f"{name.replace('/', '-')}-{'x'.join(map(str, image_size))}-{_key(paths)}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        if not file.exists():
            _build(file, name, paths, image_size)
        try:
            return np.load(file, mmap_mode="r")
        except (EOFError, ValueError):  # damaged after it was built
            _build(file, name, paths, image_size)
            return np.load(file, mmap_mode="r")


def read_image(path: Path, image_size: tuple[int, int]) -> np.ndarray:
    """One image as (H, W, 3) uint8, resized with an antialiased bilinear filter; raises DataError if unreadable."""
    height, width = image_size
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as fault:
        raise DataError(f"{path} cannot be read as an image ({fault}); replace or remove it") from None


def _build(file: Path, name: str, paths: Sequence[Path], image_size: tuple[int, int]) -> None:
    # Under the lock nobody else builds this store: what is left of a killed build goes.
    for stale in file.parent.glob(f"{file.stem}.partial-*"):
        stale.unlink()
    needed = len(paths) * image_size[0] * image_size[1] * 3
    free = shutil.disk_usage(file.parent).free
    if needed > free:
        raise DataError(
            f"{file.parent} has {free / 1e9:.1f} GB free, the decoded images of {name} need {needed / 1e9:.1f} GB; "
            "free some, lower data/image_size, or set VPR_CACHE to another disk"
        )
    partial = file.with_suffix(f".partial-{os.getpid()}")
    try:
        rows = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(paths), *image_size, 3))

        def decode(row: int) -> None:
            rows[row] = read_image(paths[row], image_size)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            done = pool.map(decode, range(len(paths)))
            is_shown = sys.stderr.isatty()
            for _ in track(done, f"decoding {name}", len(paths), console=Console(stderr=True), disable=not is_shown):
                pass
        rows.flush()
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _key(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        facts = path.stat()
        digest.update(os.fsencode(path) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
