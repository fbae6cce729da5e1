"""One function for many tasks, in this process or in one for each core."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

Spread = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""`map`, or `spread`."""

PR_SET_PDEATHSIG = 1
"""Of Linux's prctl(2)."""
_work: tuple[Callable[[Any], Any], list[Any]]


def spread(function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterable[Any]:
    """Call a function for each task, as `map` does, in one process for each core.

    The processes are forks, so that neither the function nor the tasks are copied. No other thread may run in this process.

    Args:
        function: Takes a task.
        tasks: All of them are made before the first is worked on.

    Returns:
        The results, in the order of the tasks.
    """
    global _work
    tasks = list(tasks)
    # System libraries of macOS can crash after a fork.
    count = min(len(os.sched_getaffinity(0)), len(tasks)) if sys.platform == "linux" else 1
    if count < 2:
        return map(function, tasks)
    _work = function, tasks
    with ProcessPoolExecutor(count, multiprocessing.get_context("fork"), end_with_parent) as pool:
        return list(pool.map(_do, range(len(tasks))))


def end_with_parent() -> None:
    """Ask Linux to end this process as soon as the one that began it ends, in whatever way: a fork would wait for tasks for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _do(task: int) -> Any:
    function, tasks = _work
    return function(tasks[task])
