"""The images of a set in two forms of one interface: decoded rows, or the files' own bytes, decoded when asked for."""

import io
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from vpr.decoding import DECODE_ERRORS, decode, read_file
from vpr.errors import BadImagesError, DataError

TASK = 16
"""Images that a thread writes before it reports: each report costs as much as decoding a small image."""
DIGEST_BYTES = 16
"""Of the digest of each file's content, and of the digest of all files of a set."""
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


UNPACKED_AT_ONCE = 8
"""Images that a thread unpacks before it takes others: to hand over each one would take a tenth of its time."""


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
        # Where a batch has fewer for each core, every core gets some.
        step = max(1, min(UNPACKED_AT_ONCE, len(rows) // (os.cpu_count() or 1)))

        def unpack(begin: int) -> None:
            for row, place in zip(rows[begin : begin + step], out[begin : begin + step], strict=True):
                start = self._ends[row - 1] if row else 0
                place[:] = decode(self._bytes[start : self._ends[row]].tobytes(), self._image_size)

        for _ in _decoders().map(unpack, range(0, len(rows), step)):
            pass


@cache
def _decoders() -> ThreadPoolExecutor:
    """The threads of this process that unpack images, whatever the number of sets."""
    return ThreadPoolExecutor(os.cpu_count(), "decode")


def read_image(path: Path, image_size: tuple[int, int]) -> np.ndarray:
    """Read one image as (3, H, W) uint8, resized with an antialiased bilinear filter.

    Args:
        path: File of the image.
        image_size: Height and width in pixels.

    Raises:
        BadImagesError: The image cannot be read.
        OSError: The disk or the machine is the cause.
    """
    return _decoded(path, read_file(path), image_size)


def write_decoded(file: Path, paths: Sequence[Path], image_size: tuple[int, int], watch: Watch) -> str:
    """Decode `paths` into the file of a DecodedImages, with all cores.

    Args:
        file: File to write.
        paths: Files of the images.
        image_size: Height and width in pixels.
        watch: Is told of every image.

    Returns:
        The digest of all files' contents, in hexadecimal digits.

    Raises:
        BadImagesError: Some images cannot be read; names them all.
    """
    header = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": (len(paths), 3, *image_size)}
    np.lib.format.write_array_header_2_0(header, facts)
    ends = 3 * image_size[0] * image_size[1] * np.arange(1, len(paths) + 1)
    return _write(
        file, header.getvalue(), ends, paths, lambda path, data: _decoded(path, data, image_size).tobytes(), watch
    )


def write_packed(
    file: Path, paths: Sequence[Path], sizes: np.ndarray, image_size: tuple[int, int], watch: Watch
) -> str:
    """Copy `paths` into the file of a PackedImages; as `write_decoded` otherwise.

    Args:
        file: File to write.
        paths: Files of the images.
        sizes: (N,) int64, the files' sizes in bytes.
        image_size: Height and width in pixels with which each image is tried.
        watch: Is told of every image.
    """
    ends = np.cumsum(sizes, dtype=np.int64)
    header = io.BytesIO()
    np.save(header, ends)

    def content(path: Path, data: bytes) -> bytes:
        _decoded(path, data, image_size)  # now, and not in the middle of a training
        return data

    return _write(file, header.getvalue(), ends, paths, content, watch)


def digest_files(paths: Sequence[Path]) -> str:
    """Return the digest of all files' contents, as `write_decoded` does, without writing anything."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return _digest(b"".join(pool.map(lambda path: _digest_bytes(read_file(path)), paths)))


def _decoded(path: Path, data: bytes, image_size: tuple[int, int]) -> np.ndarray:
    try:
        return decode(data, image_size)
    except DECODE_ERRORS as error:
        text = " ".join(str(error).split())
        reason = "is not an image of a known format" if "cannot identify image file" in text else text
        raise BadImagesError({path: reason}) from None


def _digest_bytes(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()


def _digest(digests: bytes) -> str:
    return blake2b(digests, digest_size=DIGEST_BYTES).hexdigest()


def _write(
    file: Path,
    header: bytes,
    ends: np.ndarray,
    paths: Sequence[Path],
    convert: Callable[[Path, bytes], bytes],
    watch: Watch,
) -> str:
    """Write `header`, then what `convert` makes of each file, which ends at `ends` (N,) bytes behind the header.

    All files are read before BadImagesError is raised with those that could not be. Returns the digest of their contents.
    """
    faults: dict[Path, str] = {}
    healing: set[Path] = set()
    sizes = np.diff(ends, prepend=0)
    digests = bytearray(DIGEST_BYTES * len(ends))

    def read(row: int) -> bytes:
        path = paths[row]
        try:
            data = read_file(path)
            digests[DIGEST_BYTES * row : DIGEST_BYTES * (row + 1)] = _digest_bytes(data)
            found = convert(path, data)
        except BadImagesError as error:
            faults.update(error.faults)
            healing.update(error.faults if error.heals else ())
            return bytes(sizes[row])
        if len(found) != sizes[row]:
            raise DataError(f"{path} changed while it was read; start again when its folder is at rest")
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
        raise BadImagesError(dict(sorted(faults.items())), heals=bool(healing))
    return _digest(bytes(digests))
