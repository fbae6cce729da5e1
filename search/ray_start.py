"""The start of a Ray of this machine's own, at once or beside other work."""

import logging
import threading
from functools import cache

import ray
from ray._private.resource_and_label_spec import ResourceAndLabelSpec

OBJECT_STORE_BYTES = 100 * 1024**2
"""Trials pass files, not objects; Ray's default is a third of the memory."""


class _EarlyStart:
    """Starts Ray in a thread of its own, while the main thread imports what a search needs."""

    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.error: BaseException | None = None
        # The thread outlives the start: Linux ends the processes that a thread has started when that thread ends.
        threading.Thread(target=self._start, name="ray-start", daemon=True).start()

    def _start(self) -> None:
        try:
            _start()
        except BaseException as error:  # the main thread raises it, when it waits for the start
            self.error = error
        self.is_done.set()
        threading.Event().wait()

    def wait(self) -> None:
        """Return when Ray runs; raises what its start raised."""
        self.is_done.wait()
        if self.error:
            raise self.error


_early: _EarlyStart | None = None


def start_early() -> None:
    """Begin to start Ray; `start_here` waits for it."""
    global _early
    _early = _early or _EarlyStart()


def start_here() -> None:
    """Start Ray on this machine, or wait for the start that has begun."""
    if _early:
        _early.wait()
    else:
        _start()


@cache
def resources() -> tuple[int, int]:
    """Return the cores and GPUs of this machine as Ray counts them, without starting it.

    Ray 2.60 has no public function for this; tests/search/test_local.py compares it with what a started Ray says.
    """
    found = ResourceAndLabelSpec().resolve(is_head=True)
    return found.num_cpus or 0, found.num_gpus or 0


def _start() -> None:
    cpus, gpus = resources()
    ray.init(
        address="local",
        num_cpus=cpus,
        num_gpus=gpus,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
