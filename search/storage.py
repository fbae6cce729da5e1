"""The folder of a search while its disk is full or cannot be written: everybody waits, says so, and goes on afterwards."""

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")
WAITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE}
"""Faults of a disk that time or a person mends: full, over quota, read-only, not reachable."""
PAUSE_SECONDS = 1.0
PROBE_BYTES = 1 << 20
LOOK_SECONDS = 10.0
"""Between two looks at a disk that was well: on a bucket each one is an upload."""


def patiently(write: Callable[..., Found], *given: Any, told: Callable[[OSError], None] = lambda fault: None) -> Found:
    """What `write` returns, once the disk lets it; `told` is called each time that it does not. Other faults are raised."""
    while True:
        try:
            return write(*given)
        except OSError as fault:
            if fault.errno not in WAITABLE:
                raise
            told(fault)
            time.sleep(PAUSE_SECONDS)


def append_line(file: Path, line: str, told: Callable[[OSError], None] = lambda fault: None) -> None:
    """Add a line once, on the disk before this returns, as soon as the disk lets it; for a file's only writer."""
    size = patiently(lambda: file.stat().st_size if file.exists() else 0, told=told)

    def append() -> None:
        with file.open("ab", buffering=0) as sink:  # no buffer that is written once more when the file is closed
            sink.truncate(size)  # what an attempt before this one left
            rest = memoryview(line.encode() + b"\n")
            while rest:
                rest = rest[sink.write(rest) :]
            os.fsync(sink.fileno())

    patiently(append, told=told)


def read_lines(file: Path) -> list[bytes]:
    """The whole lines of a file that `append_line` wrote; none where there is no file."""
    content = file.read_bytes() if file.exists() else b""
    return content[: content.rfind(b"\n") + 1].splitlines()


def mend_lines(file: Path) -> None:
    """Cut off the half line that a killed writer left; for the one who writes next."""
    content = file.read_bytes() if file.exists() else b""
    if not content.endswith(b"\n") and content:
        os.truncate(file, content.rfind(b"\n") + 1)


class StorageWatch:
    """Tells whether a folder can be written, at times, and says so when that changes."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.fault: OSError | None = None
        self.looked_at = -LOOK_SECONDS

    def look(self) -> None:
        """Write a little and remove it."""
        if time.monotonic() - self.looked_at < (PAUSE_SECONDS if self.fault else LOOK_SECONDS):
            return
        self.looked_at = time.monotonic()
        probe = self.folder / f"probe.partial-{os.getpid()}"
        try:
            with probe.open("wb") as sink:
                sink.write(bytes(PROBE_BYTES))
                sink.flush()
                os.fsync(sink.fileno())
            probe.unlink()
        except OSError as fault:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
            self.failed(fault)
        else:
            if self.fault is not None:
                self.fault = None
                self.say("storage   can be written again: the search goes on")

    def failed(self, fault: OSError) -> None:
        """Remember it, and say so once."""
        if self.fault is None:
            self.say(
                f"storage   {self.folder}: {fault.strerror}; nothing new starts until it can be written, make room"
            )
        self.fault = fault

    @property
    def has_room(self) -> bool:
        return self.fault is None
