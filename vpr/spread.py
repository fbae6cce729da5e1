"""One function for many tasks, in this process or in one for each core; and one call in a process beside this one."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

Found = TypeVar("Found")
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
        tasks: Each is pickled, and worked on while later ones are made.

    Returns:
        The results, in the order of the tasks.
    """
    global _function
    tasks = iter(tasks)
    # System libraries of macOS can crash after a fork.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    first = list(islice(tasks, cores))
    count = len(first)
    if count < 2:
        return map(function, chain(first, tasks))
    _function = function
    with ProcessPoolExecutor(count, get_context("fork"), end_with_parent) as pool:
        return list(pool.map(_do, chain(first, tasks)))


def start_in_process(function: Callable[..., Found], *given: Any) -> "Future[Found]":
    """Start a function in a new process and return its future result. Only the main thread may call this.

    Args:
        function: Of a module, so that it can be pickled.
        given: Its arguments.
    """
    # The new process inherits this: Ctrl-C ends the command, which ends that process.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pool = ProcessPoolExecutor(1, get_context("spawn"), end_with_parent)
        found = pool.submit(function, *given)
    finally:
        signal.signal(signal.SIGINT, before)
    pool.shutdown(wait=False)
    return found


def end_with_parent() -> None:
    """Ask Linux to end this process as soon as the one that began it ends, in whatever way: a fork would wait for tasks for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        parent = parent_process()
        if parent and not parent.is_alive():  # it ended before Linux was asked
            os._exit(1)


def _do(task: Any) -> Any:
    return _function(task)
