"""Names of the files of the image store, which say what is in them."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_path

from vpr.decoding import DECODER

NAME_BYTES = 100
"""Of a set's name in the name of a file; a hash follows, so that two sets never share one."""


@dataclass(frozen=True)
class StoreFiles:
    """Where the store of a set lies. All names begin with `stem` for the set, and with `version` for its images as they are."""

    cache: Path
    stem: str
    version: str
    decoded: Path
    packed: Path
    """Serves every image size."""
    content: Path
    """Digest of the files' contents."""
    bad: Path
    """The images that this decoder cannot read."""

    @property
    def stored_bytes(self) -> int:
        """What the set's stores take of the disk now."""
        return sum(file.stat().st_size for file in (self.decoded, self.packed) if file.exists())


def cache_folder() -> Path:
    """Where stores and MiniCity lie on this node: `$VPR_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("VPR_CACHE") or user_cache_path("vpr-search")).resolve()


def in_file_name(name: str) -> str:
    """Return a set's name as a part of a file name, which may have 255 bytes in all."""
    return os.fsencode(name.replace("/", "-"))[:NAME_BYTES].decode(errors="ignore")


@contextmanager
def written_whole(file: Path) -> Iterator[BinaryIO]:
    """Yield an open file that becomes `file` when all is written, so that no other process reads a part of it."""
    partial = file.with_name(f"{file.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as sink:
            yield sink
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)  # of a disk that is full


def store_files(
    name: str, folder: Path, paths: Sequence[Path], image_size: tuple[int, int], state: str | None = None
) -> StoreFiles:
    """Name the files of a set's store, whether they are there or not. For the arguments see `open_store`."""
    cache = cache_folder()
    stem = f"{in_file_name(name)}-{hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]}-"
    known = _fingerprint(folder, paths) if state is None else hashlib.sha256(state.encode()).hexdigest()[:16]
    version = f"{stem}{known}"
    return StoreFiles(
        cache,
        stem,
        version,
        decoded=cache / f"{version}-{'x'.join(map(str, image_size))}-{DECODER}.npy",
        packed=cache / f"{version}.pack",
        content=cache / f"{version}.content",
        bad=cache / f"{version}-{DECODER}.bad.json",
    )


def _fingerprint(folder: Path, paths: Sequence[Path]) -> str:
    """Return a hash that changes with the images' names, sizes and times."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            facts = path.stat()
            state = f"\0{facts.st_size}\0{facts.st_mtime_ns}\n"
        except OSError as error:
            state = f"\0{error.errno}\n"
        digest.update(os.fsencode(path.relative_to(folder)) + state.encode())
    return digest.hexdigest()[:16]
