"""Large sets, indexed and compared by processes of their own while the command that needs them does other work."""

import gc
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vpr.folders import Folders
from vpr.index import train_index
from vpr.overlap import find_overlap
from vpr.store_files import cache_folder

MANY = 20_000
"""Files in a folder above which a walk takes seconds, so that other work begins meanwhile."""


@contextmanager
def prepared(folders: Folders, radius_m: float, session: str) -> Iterator[None]:
    """Index and compare the sets in another process if train is large; `train_index` and `find_overlap` have them at once after that.

    In a thread the index would take as long as both works together: each file that is asked for hands over Python's lock.

    Args:
        folders: Of the sets.
        radius_m: As for `vpr.overlap.find_overlap`.
        session: Of the search that asks, as for `vpr.index.train_index`.
    """
    if not _is_large(folders.train):
        yield
        return
    whole = folders.below(Path.cwd())  # the process runs in another folder
    sets = [{name: os.fspath(path) for name, path in own.items()} for own in (whole.vals, whole.tests)]
    given = json.dumps([os.fspath(whole.train), *sets, radius_m, session])
    # A relative $VPR_CACHE would be another cache there.
    environment = {**os.environ, "VPR_CACHE": os.fspath(cache_folder())}
    # What it raises is raised again by who asks for the index.
    process = subprocess.Popen(
        [sys.executable, "-m", "vpr.large_sets", given],
        cwd=Path(__file__).parent.parent,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
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


_work: tuple[Callable[[Any], Any], list[Any]]


def spread(function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterable[Any]:
    """Call a function for each task, as `map` does, in one process for each core; results come in the order of the tasks.

    The processes are forks, so that neither function nor tasks are copied. No thread may run in this process.
    """
    global _work
    if sys.platform != "linux":  # system libraries of macOS do not bear a fork
        return map(function, tasks)
    _work = function, list(tasks)
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("fork")) as pool:
        return list(pool.map(_do, range(len(_work[1]))))


def _do(task: int) -> Any:
    function, tasks = _work
    return function(tasks[task])


if __name__ == "__main__":
    gc.disable()  # it would look through millions of short lists, of which none refers to itself
    train, vals, tests, radius_m, session = json.loads(sys.argv[1])
    train_index(Path(train), session, spread)
    sets = [{name: Path(path) for name, path in own.items()} for own in (vals, tests)]
    find_overlap(Folders(Path(train), *sets), radius_m, session, spread)
