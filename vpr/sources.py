"""Where a node finds the sets: in its own MiniCity, in its own copy of an address, or at a path that is the same everywhere."""

import hashlib
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
from filelock import FileLock

from vpr.errors import DataError
from vpr.listing import IMAGE_SUFFIXES, TABLE_SUFFIXES
from vpr.minicity.preset import minicity_folder
from vpr.store import cache_folder
from vpr.watch import watched

MINICITY = "minicity"
AT_ONCE = 16
"""Files that are copied at the same time."""


def is_address(source: str) -> bool:
    """Whether it is one for fsspec (`s3://bucket/sets`), and no path."""
    return "://" in source


@cache
def root_here(source: str) -> Path:
    """The folder of `source` on this node, written or copied first if it is not there; the empty path for the empty source.

    Raises DataError for an address that cannot be read.
    """
    if source == MINICITY:
        return minicity_folder()
    return copied(source) if is_address(source) else Path(source)


def copied(address: str) -> Path:
    """This node's copy of the images and tables below an address of fsspec, made once, by whoever comes first.

    Keyed by names and sizes in bytes: a set that has changed is copied anew, and the old copy goes. A copy that was cut off goes
    on with the files that it lacks. Raises DataError for an address that cannot be read, and for a disk that is too small.
    """
    try:
        system, root = fsspec.url_to_fs(address)
        found = system.find(root, detail=True)
        sizes = {
            path.removeprefix(root).lstrip("/"): int(facts["size"])
            for path, facts in sorted(found.items())
            if Path(path).suffix.lower() in IMAGE_SUFFIXES | TABLE_SUFFIXES
        }
    except Exception as fault:  # every file system has its own errors
        raise DataError(f"--data {address} cannot be read ({_reason(fault)}); mend it, or give a folder") from None
    if not sizes or any(".." in Path(name).parts for name in sizes):
        raise DataError(f"--data {address} holds no images; it must hold gsv_xs, sf_xs and tokyo_xs")
    key = hashlib.sha256(repr((address, sizes)).encode()).hexdigest()[:16]
    copies = cache_folder() / "copies"
    own = hashlib.sha256(address.encode()).hexdigest()[:8]
    folder = copies / f"{own}-{key}"
    copies.mkdir(parents=True, exist_ok=True)
    with FileLock(copies / f"{own}.lock"):
        if not folder.exists():
            partial = copies / f"{own}-{key}.partial"
            for old in copies.glob(f"{own}-*"):
                if old != partial:
                    shutil.rmtree(old)
            _copy(system, root, sizes, partial, address)
            os.replace(partial, folder)
    return folder


def _copy(system: Any, root: str, sizes: dict[str, int], folder: Path, address: str) -> None:
    missing = [name for name, size in sizes.items() if not _is_there(folder / name, size)]
    folder.mkdir(parents=True, exist_ok=True)
    needed, free = sum(sizes[name] for name in missing), shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder.parent} has {free / 1e9:.1f} GB free, the copy of {address} needs {needed / 1e9:.1f} GB; "
            "free some, or set VPR_CACHE to another disk"
        )

    def fetch(name: str) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        system.get_file(f"{root.rstrip('/')}/{name}", str(folder / name))
        if not _is_there(folder / name, sizes[name]):
            raise OSError(f"{name} changed while it was copied")

    if not sys.stderr.isatty() and missing:
        print(f"copying   {address}: {len(missing)} files, {needed / 1e9:.2f} GB to {folder.parent}", file=sys.stderr)
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for _ in watched(pool.map(fetch, missing), f"copying   {address}", len(missing)):
            pass
    except OSError:  # of this machine's disk, or the network's: whoever asked may try again
        raise
    except Exception as fault:
        raise DataError(f"{address} could not be copied ({_reason(fault)}); start again to copy the rest") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _is_there(file: Path, size: int) -> bool:
    return file.exists() and file.stat().st_size == size


def _reason(fault: Exception) -> str:
    return " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
