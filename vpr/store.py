"""The image store of a node: each set is read once, into one file that all its trials share."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import PIL
from filelock import FileLock
from platformdirs import user_cache_path

from vpr.errors import BadImagesError, ConfigError, DataError
from vpr.images import DecodedImages, Images, PackedImages, Watch, write_decoded, write_packed
from vpr.watch import watched

FREE_SHARE = 0.8
"""Of the free disk, what decoded images may take when no budget is given; the rest is for checkpoints and for others."""

BAD = ".bad.json"
"""Ending of the file that remembers which images of a set cannot be read."""
DECODER = f"chw-pillow{PIL.__version__}"
"""What wrote the decoded images and how: another one neither reads nor removes them."""


def cache_folder() -> Path:
    """Where stores and MiniCity lie on this node: `$VPR_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("VPR_CACHE") or user_cache_path("vpr-search")).resolve()


def open_store(
    name: str, folder: Path, paths: Sequence[Path], image_size: tuple[int, int], budget_gb: float | None = None
) -> Images:
    """The images `paths` of a set in `folder`, built into the store if they are not there.

    Decoded while all stores of this node stay below `budget_gb` (a share of the free disk if None), else packed as
    files, which is said on stderr; decoded images that are there are used. Keyed by names, sizes and times: changed images
    make a new store, and the old one goes. Raises ConfigError for a negative budget, DataError for a disk that is too small,
    and BadImagesError with all images that cannot be read, which is known from then on.
    """
    if budget_gb is not None and not budget_gb >= 0:
        raise ConfigError(f"--cache-budget {budget_gb} must be 0 or more (GB)")
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('/', '-')}-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]}-"
    images = f"{stem}{_fingerprint(folder, paths)}"
    decoded = cache / f"{images}-{'x'.join(map(str, image_size))}-{DECODER}.npy"
    packed, bad = cache / f"{images}.pack", cache / f"{images}{BAD}"
    if bad.exists():
        raise BadImagesError({folder / name: reason for name, reason in json.loads(bad.read_text()).items()})
    if found := _opened(decoded, DecodedImages):
        return found
    # One build at a time: each takes all cores, and what is left of the disk is known.
    with FileLock(cache / "building.lock"):
        if found := _opened(decoded, DecodedImages):
            return found
        for file in cache.iterdir():
            is_left = ".partial-" in file.name or not file.name.startswith(images)
            if (
                file.name.startswith(stem) and is_left and file.suffix != ".json"
            ):  # a killed build, images that have changed since
                file.unlink(missing_ok=True)
        size = len(paths) * image_size[0] * image_size[1] * 3
        room = _room(cache, budget_gb)
        if size <= room:
            with _remembered(bad, folder):
                _build(
                    decoded,
                    lambda file, watch: write_decoded(file, paths, image_size, watch),
                    f"decoding  {name}",
                    paths,
                )
            return DecodedImages(decoded)
        print(
            f"packed    {name}: {size / 1e9:.2f} GB decoded do not fit into the {max(room, 0) / 1e9:.2f} GB left for it, so every "
            f"epoch decodes it again; raise --cache-budget, or delete stores in {cache}",
            file=sys.stderr,
        )
        if found := _opened(packed, PackedImages, image_size):
            return found
        _check_disk(cache, sum(path.stat().st_size for path in paths), name)
        with _remembered(bad, folder):
            _build(packed, lambda file, watch: write_packed(file, paths, image_size, watch), f"packing   {name}", paths)
        return PackedImages(packed, image_size)


def report_bad(faults: dict[Path, str]) -> Path:
    """A file that lists the images that cannot be read, with the reason."""
    file = cache_folder() / "bad-images.tsv"
    _replace(file, "".join(f"{path}\t{reason}\n" for path, reason in faults.items()))
    return file


@contextmanager
def _remembered(bad: Path, folder: Path) -> Iterator[None]:
    try:
        yield
    except BadImagesError as fault:
        _replace(bad, json.dumps({str(path.relative_to(folder)): why for path, why in fault.faults.items()}))
        raise


def _replace(file: Path, text: str) -> None:
    partial = file.with_name(f"{file.stem}.partial-{os.getpid()}")
    partial.write_text(text)
    os.replace(partial, file)


def _build(file: Path, write: Callable[[Path, Watch], None], label: str, paths: Sequence[Path]) -> None:
    """Write aside, telling how far it is, and rename."""
    partial = file.with_name(f"{file.stem}.partial-{os.getpid()}")
    try:
        write(partial, lambda done: watched(done, label, len(paths)))
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _opened(file: Path, form: Callable[..., Images], *args: Any) -> Images | None:
    """None where the file is not there, or damaged."""
    try:
        return form(file, *args)
    except (FileNotFoundError, EOFError, ValueError):
        return None


def _room(cache: Path, budget_gb: float | None) -> float:
    """Bytes that decoded images may still take."""
    free = shutil.disk_usage(cache).free
    if budget_gb is None:
        return FREE_SHARE * free
    taken = sum(file.stat().st_size for file in cache.iterdir() if file.suffix in (".npy", ".pack"))
    return min(budget_gb * 1e9 - taken, free)


def _check_disk(cache: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise DataError(
            f"{cache} has {free / 1e9:.1f} GB free, the images of {name} need {needed / 1e9:.1f} GB even packed; "
            "free some, or set VPR_CACHE to another disk"
        )


def _fingerprint(folder: Path, paths: Sequence[Path]) -> str:
    """Changes with the images."""
    digest = hashlib.sha256()
    for path in paths:
        facts = path.stat()
        digest.update(os.fsencode(path.relative_to(folder)) + f"\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
