"""The image store of a node: each set is read once, into one file that all its trials share."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from vpr.errors import BadImagesError, ConfigError, DataError
from vpr.images import DecodedImages, Images, PackedImages, Watch, digest_files, write_decoded, write_packed
from vpr.memory import memory_for_images
from vpr.store_files import StoreFiles, cache_folder, store_files
from vpr.store_form import Form, choose_form
from vpr.watch import watched


def open_store(
    name: str,
    folder: Path,
    paths: Sequence[Path],
    image_size: tuple[int, int],
    budget_gb: float | None = None,
    form: Form | None = None,
    state: str | None = None,
    sizes: np.ndarray | None = None,
) -> Images:
    """Open the images of a set, which are written into the store first if they are not there.

    Decoded images that are there are used in any case, and packed ones unless decoded ones are asked for: so the workers
    of a search take what its driver chose. Changed images make a new store, and the old one is deleted.

    Args:
        name: The set, as messages call it.
        folder: Folder of the set.
        paths: N files below `folder`; may make its paths on access.
        image_size: Height and width in pixels.
        budget_gb: GB that decoded images of the whole node may take. With None memory decides.
        form: The form that was chosen for all sets together. With None what is there is used; else the form is chosen
            for this set alone, and said if packed.
        state: Hash of names, sizes and times of the files; spares a look at each of them. All users of a folder must
            give the same, or each deletes the store of the other.
        sizes: (N,) int64, the files' sizes in bytes; spares the same.

    Raises:
        ConfigError: The budget is negative.
        DataError: The disk is too small.
        BadImagesError: Some images cannot be read; names them all. What is due to the files' contents is remembered.
    """
    if budget_gb is not None and not budget_gb >= 0:
        raise ConfigError(f"--cache-budget {budget_gb} must be 0 or more (GB)")
    files = store_files(name, folder, paths, image_size, state)
    files.cache.mkdir(parents=True, exist_ok=True)
    if files.bad.exists():
        raise BadImagesError({folder / path: reason for path, reason in json.loads(files.bad.read_text()).items()})
    if found := _found(files, form, image_size):
        return found
    # One build at a time: each takes all cores, and what is left of the disk is known.
    with FileLock(files.cache / "building.lock"):
        if found := _found(files, form, image_size):
            return found
        _delete_old(files)
        sizes = _file_sizes(paths) if sizes is None else sizes
        form = _checked_form(form, name, files, sizes, image_size, budget_gb)
        with _remembered(files.bad, folder):
            if form == "decoded":
                with _written(files.decoded, f"decoding  {name}", len(paths)) as (partial, watch):
                    _replace(files.content, write_decoded(partial, paths, image_size, watch))
                return DecodedImages(files.decoded)
            with _written(files.packed, f"packing   {name}", len(paths)) as (partial, watch):
                _replace(files.content, write_packed(partial, paths, sizes, image_size, watch))
            return PackedImages(files.packed, image_size)


def content_digest(name: str, folder: Path, paths: Sequence[Path], state: str | None = None) -> str:
    """Return a hash of the contents of all files of a set, in the order of `paths`.

    Building a store writes it. For a store that is older the files are read once.

    Args:
        name: As in `open_store`, and so are the others.
        folder: Folder of the set.
        paths: Files of the images.
        state: Hash of names, sizes and times of the files.

    Raises:
        BadImagesError: A file cannot be read; names the first.
    """
    files = store_files(name, folder, paths, (0, 0), state)
    if not files.content.exists():
        files.cache.mkdir(parents=True, exist_ok=True)
        _replace(files.content, digest_files(paths))
    return files.content.read_text()


def report_bad(faults: dict[Path, str]) -> Path:
    """Write and return a file that lists the images that cannot be read, with the reason."""
    file = cache_folder() / "bad-images.tsv"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{_on_one_line(str(path))}\t{_on_one_line(reason)}\n" for path, reason in faults.items())
    _replace(file, "".join(lines))
    return file


def _found(files: StoreFiles, form: Form | None, image_size: tuple[int, int]) -> Images | None:
    """Return the store if it is there and whole."""
    found = _opened(files.decoded, DecodedImages)
    if found is None and form != "decoded":
        found = _opened(files.packed, PackedImages, image_size)
    return found


def _opened(file: Path, kind: Callable[..., Images], *args: Any) -> Images | None:
    """Return None where the file is not there, or corrupt."""
    try:
        return kind(file, *args)
    except (FileNotFoundError, EOFError, ValueError):
        return None


def _delete_old(files: StoreFiles) -> None:
    """Delete what killed builds left, and the stores of images that have changed since."""
    for file in files.cache.iterdir():
        is_old = ".partial-" in file.name or not file.name.startswith(files.version)
        if file.name.startswith(files.stem) and is_old and file.suffix != ".json":
            file.unlink(missing_ok=True)


def _checked_form(
    form: Form | None,
    name: str,
    files: StoreFiles,
    sizes: np.ndarray,
    image_size: tuple[int, int],
    budget_gb: float | None,
) -> Form:
    """Return the form, chosen for this set alone where None is given; raises DataError where the disk is too small."""
    free, there = shutil.disk_usage(files.cache).free, files.stored_bytes
    own = [(name, len(sizes), int(sizes.sum()))]
    if form is None:
        if budget_gb is not None:
            budget_gb = max(0.0, budget_gb - _taken_bytes(files.cache) / 1e9)
        chosen = choose_form(own, image_size, budget_gb, memory_for_images(), free + there)
        if chosen.form == "packed":
            print(f"packed    {name}: {chosen.reason}", file=sys.stderr)
        return chosen.form
    needed = int(sizes.sum()) if form == "packed" else len(sizes) * image_size[0] * image_size[1] * 3
    if needed > free + there:
        raise DataError(
            f"{files.cache} has {free / 1e9:.1f} GB free, the {form} images of {name} need {needed / 1e9:.1f} GB; "
            "free some, or set VPR_CACHE to another disk"
        )
    return form


def _taken_bytes(cache: Path) -> int:
    """Return what all stores of this node take."""
    return sum(file.stat().st_size for file in cache.iterdir() if file.suffix in (".npy", ".pack"))


@contextmanager
def _remembered(bad: Path, folder: Path) -> Iterator[None]:
    """Remember the images that cannot be read, unless some may be readable again without a change of their contents."""
    try:
        yield
    except BadImagesError as error:
        if not error.heals:
            _replace(bad, json.dumps({str(path.relative_to(folder)): why for path, why in error.faults.items()}))
        raise


def _on_one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\t", "\\t")


def _replace(file: Path, text: str) -> None:
    partial = file.with_name(f"{file.name}.partial-{os.getpid()}")
    try:
        partial.write_text(text, errors="surrogateescape")  # names of files that are not UTF-8
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)  # of a full disk


@contextmanager
def _written(file: Path, label: str, count: int) -> Iterator[tuple[Path, Watch]]:
    """Give a temporary file to write and what says how far that is; rename the file at the end."""
    partial = file.with_name(f"{file.name}.partial-{os.getpid()}")
    try:
        yield partial, lambda done: watched(done, label, count)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _file_sizes(paths: Sequence[Path]) -> np.ndarray:
    """Return (N,) int64 sizes in bytes; 0 for what is not there, which is an error when it is read."""

    def size(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError:
            return 0

    return np.fromiter((size(path) for path in paths), np.int64, len(paths))
