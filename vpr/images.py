"""The images of a set in two forms of one interface: decoded rows, or the files' own bytes, decoded when asked for."""

import errno
import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from vpr.errors import BadImagesError, DataError

TASK = 16
"""Images that a thread writes before it reports: each report costs as much as decoding a small image."""
OF_THE_FILE = {None, errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Numbers of an OSError that say something of an image itself; Pillow's own have none."""
Watch = Callable[[Iterable[None]], Iterable[None]]
"""Passes on what it is given, one item an image: a progress bar."""


class Images(Protocol):
    """N images of one size in the order of their set, read-only."""

    shape: tuple[int, ...]
    """(N, 3, H, W)."""

    def __len__(self) -> int: ...

    def gather(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Write the images `rows` (B,) into `out` (B, 3, H, W) uint8; leaves the GIL to other threads."""


class DecodedImages:
    """A memory-mapped .npy of decoded images, which all processes of a node share through the page cache."""

    def __init__(self, file: Path) -> None:
        """Raises ValueError or EOFError for a file that was damaged after it was built."""
        self._rows = np.asarray(np.load(file, mmap_mode="r"))
        self.shape: tuple[int, ...] = self._rows.shape

    def __len__(self) -> int:
        return len(self._rows)

    def gather(self, rows: np.ndarray, out: np.ndarray) -> None:
        assert rows.min() >= 0 and rows.max() < len(self)  # "clip" writes without NumPy's buffer, and would hide them
        np.take(self._rows, rows, axis=0, out=out, mode="clip")


class PackedImages:
    """The images' own bytes behind each other in one file, decoded in threads."""

    def __init__(self, file: Path, image_size: tuple[int, int]) -> None:
        """Raises ValueError or EOFError for a file that was damaged after it was built."""
        with file.open("rb") as source:
            self._ends = np.load(source)
            self._bytes = np.memmap(file, np.uint8, "r", offset=source.tell())
        if len(self._bytes) != self._ends[-1]:
            raise ValueError(f"{file} is cut off")
        self._image_size = image_size
        self.shape: tuple[int, ...] = (len(self._ends), 3, *image_size)

    def __len__(self) -> int:
        return len(self._ends)

    def gather(self, rows: np.ndarray, out: np.ndarray) -> None:
        def decode(place: int) -> None:
            row = rows[place]
            start = self._ends[row - 1] if row else 0
            out[place] = _decode(io.BytesIO(self._bytes[start : self._ends[row]].tobytes()), self._image_size)

        for _ in _decoders().map(decode, range(len(rows))):
            pass


@cache
def _decoders() -> ThreadPoolExecutor:
    """The threads of this process that unpack images, whatever the number of sets."""
    return ThreadPoolExecutor(os.cpu_count(), "decode")


def write_decoded(file: Path, paths: Sequence[Path], image_size: tuple[int, int], watch: Watch) -> None:
    """Decode `paths` into the file of a DecodedImages, with all cores; raises BadImagesError with all that are unreadable."""
    header = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), 3, *image_size)}
    np.lib.format.write_array_header_2_0(header, facts)
    ends = 3 * image_size[0] * image_size[1] * np.arange(1, len(paths) + 1)
    _write(file, header.getvalue(), ends, paths, lambda path: read_image(path, image_size).tobytes(), watch)


def write_packed(file: Path, paths: Sequence[Path], image_size: tuple[int, int], watch: Watch) -> None:
    """Copy `paths` into the file of a PackedImages; raises BadImagesError with all that cannot be decoded."""
    ends = np.cumsum([path.stat().st_size for path in paths], dtype=np.int64)
    header = io.BytesIO()
    np.save(header, ends)

    def content(path: Path) -> bytes:
        read_image(path, image_size)  # now, and not in the middle of a training
        return path.read_bytes()

    _write(file, header.getvalue(), ends, paths, content, watch)


def read_image(path: Path, image_size: tuple[int, int]) -> np.ndarray:
    """One image as (3, H, W) uint8, resized with an antialiased bilinear filter.

    Raises BadImagesError where it is the image that cannot be read, and OSError where the disk or the machine is at fault.
    """
    try:
        return _decode(path, image_size)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError, SyntaxError) as fault:
        if isinstance(fault, OSError) and fault.errno not in OF_THE_FILE:
            raise
        raise BadImagesError({path: " ".join(str(fault).replace(str(path), "it").split())}) from None


def _decode(source: Path | BinaryIO, image_size: tuple[int, int]) -> np.ndarray:
    height, width = image_size
    with Image.open(source) as image:
        colour = image if image.mode == "RGB" else image.convert("RGB")  # which copies even what is RGB
        pixels = np.asarray(colour.resize((width, height), Image.Resampling.BILINEAR))
    return pixels.transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)


def _write(
    file: Path,
    header: bytes,
    ends: np.ndarray,
    paths: Sequence[Path],
    content: Callable[[Path], bytes],
    watch: Watch,
) -> None:
    """Write `header`, then what `content` gives for each path, which ends at `ends` (N,) bytes behind the header.

    All paths are read, and then BadImagesError is raised where some could not be.
    """
    faults: dict[Path, str] = {}
    sizes = np.diff(ends, prepend=0)

    def read(row: int) -> bytes:
        try:
            found = content(paths[row])
        except BadImagesError as fault:
            faults.update(fault.faults)
            return bytes(sizes[row])
        if len(found) != sizes[row]:
            raise DataError(f"{paths[row]} changed while it was read; start again when its folder is at rest")
        return found

    def write(first: int) -> list[None]:
        rows = range(first, min(first + TASK, len(ends)))
        rest = memoryview(b"".join(map(read, rows)))
        offset = len(header) + int(ends[rows[-1]]) - len(rest)
        while rest:
            # Not through a memory map: there a full disk kills the process, here it is an OSError.
            written = os.pwrite(sink.fileno(), rest, offset)
            rest, offset = rest[written:], offset + written
        return [None] * len(rows)

    with file.open("wb") as sink:
        sink.write(header)
        sink.flush()
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            for _ in watch(chain.from_iterable(pool.map(write, range(0, len(ends), TASK)))):
                pass
        finally:
            pool.shutdown(cancel_futures=True)  # after a full disk the other images need not be read
        os.fsync(sink.fileno())
    if faults:
        raise BadImagesError(dict(sorted(faults.items())))
