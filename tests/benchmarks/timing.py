"""Two things timed in turns, so that a busy moment of the machine meets both."""

import resource
import time
from collections.abc import Callable
from statistics import median


def in_turns(first: Callable[[], float], second: Callable[[], float], rounds: int) -> tuple[float, float]:
    """The median of what each returns over `rounds` turns, after one turn that does not count."""
    pairs = [(first(), second()) for _ in range(rounds + 1)][1:]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def cpu_seconds(function: Callable[[], object]) -> float:
    """Of this process, its threads, and its children that have ended."""
    start = _cpu()
    function()
    return _cpu() - start


def _cpu() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
