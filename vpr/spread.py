"""One function for many tasks, in this process or in one for each core."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice
from typing import Any

Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""`map`, or `spread`."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2)."""
_function: Callable[[Any], Any]


def spread(function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterable[Any]:
    """Call a function for each task, as `map` does, in one process for each core.

    The processes are forks, so that the function may be a closure over half a million names. No other thread may run in this process.

    Args:
        function: Takes a task.
        tasks: Are worked on while the next are made; each is pickled.

    Returns:
        The results, in the order of the tasks.
    """
    global _function
    tasks = iter(tasks)
    first = list(islice(tasks, 2))
    # System libraries of macOS can crash after a fork.
    count = len(os.sched_getaffinity(0)) if sys.platform == "linux" and len(first) == 2 else 1
    if count < 2:
        return map(function, chain(first, tasks))
    _function = function
    with ProcessPoolExecutor(count, multiprocessing.get_context("fork"), end_with_parent) as pool:
        return list(pool.map(_do, chain(first, tasks)))


def end_with_parent() -> None:
    """Ask Linux to end this process as soon as the one that began it ends, in whatever way: a fork would wait for tasks for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _do(task: Any) -> Any:
    return _function(task)
