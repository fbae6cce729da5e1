"""The image store of a node: each set is read once, into one file that all its trials share."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import PIL
from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import track

from vpr.errors import DataError
from vpr.images import DecodedImages, Images, PackedImages, write_decoded, write_packed

FREE_SHARE = 0.8
"""Of the free disk, what decoded images may take when no budget is given; the rest is for checkpoints and for others."""


def cache_folder() -> Path:
    """Where stores and MiniCity lie on this node: `$VPR_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("VPR_CACHE") or user_cache_path("vpr-search"))


def open_store(
    name: str, folder: Path, paths: Sequence[Path], image_size: tuple[int, int], budget_gb: float | None = None
) -> Images:
    """The images `paths` of a set in `folder`, built into the store if they are not there.

    Decoded while all stores of this node stay below `budget_gb` (a share of the free disk if None), else packed as
    files; decoded images that are there are used. Keyed by names, sizes and times: changed images make a new store, and the
    old one goes. Raises DataError for an image that cannot be read and for a disk that is too small.
    """
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    source = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]
    stem = f"{name.replace('/', '-')}-{source}"
    key = _fingerprint(folder, paths)
    decoded = cache / f"{stem}-{key}-{'x'.join(map(str, image_size))}.npy"
    packed = cache / f"{stem}-{key}.pack"
    with FileLock(cache / f"{stem}.lock"):
        if found := _opened(decoded, DecodedImages):
            return found
        # Nobody else builds this set now: what is left of a killed build, and of images that have changed, goes.
        for file in cache.iterdir():
            is_left = ".partial-" in file.name or not file.name.startswith(f"{stem}-{key}")
            if file.name.startswith(f"{stem}-") and is_left:
                file.unlink(missing_ok=True)
        size = len(paths) * image_size[0] * image_size[1] * 3
        is_decoded = size <= _room(cache, budget_gb)
        if not is_decoded and (found := _opened(packed, PackedImages, image_size)):
            return found
        file, write = (decoded, write_decoded) if is_decoded else (packed, write_packed)
        _check_disk(cache, size if is_decoded else sum(path.stat().st_size for path in paths), name)
        partial = file.with_suffix(f".partial-{os.getpid()}")
        try:
            write(partial, paths, image_size, _bar(f"{'decoding' if is_decoded else 'packing'} {name}", len(paths)))
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)
        return DecodedImages(file) if is_decoded else PackedImages(file, image_size)


def _opened(file: Path, form: Callable[..., Images], *args: Any) -> Images | None:
    """None where the file is not there, or damaged."""
    try:
        return form(file, *args)
    except (FileNotFoundError, EOFError, ValueError):
        return None


def _room(cache: Path, budget_gb: float | None) -> float:
    """Bytes that decoded images may still take."""
    if budget_gb is None:
        return FREE_SHARE * shutil.disk_usage(cache).free
    return budget_gb * 1e9 - sum(file.stat().st_size for file in cache.iterdir() if file.suffix in (".npy", ".pack"))


def _check_disk(cache: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise DataError(
            f"{cache} has {free / 1e9:.1f} GB free, the images of {name} need {needed / 1e9:.1f} GB; "
            "free some, lower data/image_size or --cache-budget, or set VPR_CACHE to another disk"
        )


def _bar(label: str, total: int) -> Callable[[Iterable[None]], Iterable[None]]:
    is_shown = sys.stderr.isatty()
    return lambda done: track(done, label, total, console=Console(stderr=True), disable=not is_shown, transient=True)


def _fingerprint(folder: Path, paths: Sequence[Path]) -> str:
    """Changes with the images, and with the library that decodes them."""
    digest = hashlib.sha256(f"pillow {PIL.__version__}\n".encode())
    for path in paths:
        facts = path.stat()
        digest.update(os.fsencode(path.relative_to(folder)) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
