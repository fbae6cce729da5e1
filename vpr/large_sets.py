"""Large sets, indexed and compared by processes of their own while the command that needs them does other work."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

from vpr.folders import Folders
from vpr.index import train_index
from vpr.overlap import find_overlap
from vpr.spread import end_with_parent, spread

MANY = 20_000
"""Files in a folder above which a walk takes seconds, so that other work begins meanwhile."""


@contextmanager
def prepared(folders: Folders, radius_m: float, session: str) -> Iterator[bool]:
    """Index and compare the sets in another process if train is large; `train_index` and `find_overlap` have them at once after that.

    A thread would win nothing: each file that is asked for hands over Python's lock. No other thread may run in this process.

    Args:
        folders: Of the sets.
        radius_m: As for `vpr.overlap.find_overlap`.
        session: Of the search that asks, as for `vpr.index.train_index`.

    Yields:
        Whether another process is at work.
    """
    if not _is_large(folders.train):
        yield False
        return
    # A fork begins at once; system libraries of macOS can crash after one.
    begin = get_context("fork").Process if sys.platform == "linux" else get_context("spawn").Process
    process = begin(target=_prepare, args=(folders, radius_m, session))
    process.start()
    try:
        yield True
        process.join()
    finally:
        if process.is_alive():  # another set has an error
            process.terminate()
            process.join()


def _prepare(folders: Folders, radius_m: float, session: str) -> None:
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the command, which ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.disable()  # it would look through millions of short lists, of which none refers to itself
    with suppress(Exception):  # `train_index` and `find_overlap` raise it again in the command
        train_index(folders.train, session, spread)
        find_overlap(folders, radius_m, session, spread)


def _is_large(folder: Path) -> bool:
    """Return whether a walk of the folder takes seconds. A quick look: it counts names, and asks for no file."""
    count = 0
    for _, folders, files in os.walk(folder):  # passes over folders that cannot be read
        count += len(folders) + len(files)
        if count > MANY:
            return True
    return False
