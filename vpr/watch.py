"""How far a long piece of work on files is: a bar on a terminal, elsewhere a line now and then, both on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Item = TypeVar("Item")
FIRST_SECONDS = 10.0
"""Work that is done before this says nothing in a log."""
NEXT_SECONDS = 60.0


@contextmanager
def counted(label: str) -> Iterator[Callable[[int, int], None]]:
    """Takes (done, in all) at every step; nothing of a bar stays."""
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def watched(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """The items, counted."""
    with counted(label) as count:
        for done, item in enumerate(items, 1):
            yield item
            count(done, total)


def _lines(label: str) -> Callable[[int, int], None]:
    due = time.monotonic() + FIRST_SECONDS

    def count(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() > due and done < total:
            due = time.monotonic() + NEXT_SECONDS
            print(f"{label}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    return count
