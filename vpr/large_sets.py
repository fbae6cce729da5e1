"""Large sets, indexed and compared by processes of their own while the command that needs them does other work."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vpr.folders import Folders
from vpr.index import train_index
from vpr.overlap import find_overlap
from vpr.spread import end_with_parent, spread
from vpr.store_files import cache_folder

MANY = 20_000
"""Files in a folder above which a walk takes seconds, so that other work begins meanwhile."""


@contextmanager
def prepared(folders: Folders, radius_m: float, session: str) -> Iterator[bool]:
    """Index and compare the sets in another process if train is large; `train_index` and `find_overlap` have them at once after that.

    A thread would win nothing: each file that is asked for hands over Python's lock.

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
    whole = folders.below(Path.cwd())  # the process runs in another folder
    sets = [{name: os.fspath(path) for name, path in own.items()} for own in (whole.vals, whole.tests)]
    given = json.dumps([os.fspath(whole.train), *sets, radius_m, session])
    # A relative $VPR_CACHE would be another cache there.
    environment = {**os.environ, "VPR_CACHE": os.fspath(cache_folder())}
    # Its errors are not shown: `train_index` and `find_overlap` raise them again in this process.
    process = subprocess.Popen(
        [sys.executable, "-m", "vpr.large_sets", given],
        cwd=Path(__file__).parent.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield True
        process.wait()
    finally:
        if process.poll() is None:  # another set has an error
            process.terminate()
            process.wait()


def _is_large(folder: Path) -> bool:
    """Return whether a walk of the folder takes seconds. A quick look: it counts names, and asks for no file."""
    count = 0
    for _, folders, files in os.walk(folder):  # passes over folders that cannot be read
        count += len(folders) + len(files)
        if count > MANY:
            return True
    return False


if __name__ == "__main__":
    end_with_parent()
    gc.disable()  # it would look through millions of short lists, of which none refers to itself
    train, vals, tests, radius_m, session = json.loads(sys.argv[1])
    train_index(Path(train), session, spread)
    sets = [{name: Path(path) for name, path in own.items()} for own in (vals, tests)]
    find_overlap(Folders(Path(train), *sets), radius_m, session, spread)
