"""Images decoded and resized once a node: one memory-mapped array, shared by all trials through the page cache."""

import hashlib
import os
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
    return np.load(file, mmap_mode="r")


def read_image(path: Path, image_size: tuple[int, int]) -> np.ndarray:
    """One image as (H, W, 3) uint8, resized with an antialiased bilinear filter; raises DataError if unreadable."""
    height, width = image_size
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((width, height), Image.Resampling.BILINEAR))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as fault:
        raise DataError(f"{path} cannot be read as an image ({fault}); replace or remove it") from None


def _build(file: Path, name: str, paths: Sequence[Path], image_size: tuple[int, int]) -> None:
    partial = file.with_suffix(f".partial-{os.getpid()}")
    try:
        rows = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(paths), *image_size, 3))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            decoded = pool.map(lambda path: read_image(path, image_size), paths)
            is_shown = sys.stderr.isatty()
            shown = track(decoded, f"decoding {name}", len(paths), console=Console(stderr=True), disable=not is_shown)
            for row, image in enumerate(shown):
                rows[row] = image
        rows.flush()
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _key(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        facts = path.stat()
        digest.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
