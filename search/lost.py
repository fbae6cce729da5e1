"""Workers that are lost: how often a training outlives that, why it was, and deaths that Ray Tune 2.60 does not know."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune.experiment import Trial

RETRIES = 3
"""How often a training goes on after its worker was lost, without an epoch in between."""


@contextmanager
def every_death_known() -> Iterator[None]:
    """Shows Tune Ray's other errors as RayActorError: at the OutOfMemoryError of Ray's memory monitor it would end the search in a RuntimeError."""
    told = RayActorManager._actor_task_failed

    def tell(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=str(exception))
        told(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = tell  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = told  # type: ignore[method-assign]


def wanted_memory(trial: Trial) -> bool:
    """Whether Ray's memory monitor killed the worker."""
    return "low on memory" in _error_of(trial)


def why_lost(trial: Trial, epoch: int) -> str:
    """Of a trial that could not say it itself: Ray's last line, but not its page of guesses about a lost worker."""
    text = _error_of(trial)
    if wanted_memory(trial):
        return f"its worker was killed for want of memory in epoch {epoch}; lower --max-concurrent or data/places_per_batch"
    if "ActorDied" in text or "ActorUnavailable" in text or "actor died" in text or not text.strip():
        return f"its worker was lost {RETRIES + 1} times in epoch {epoch}; is the memory enough?"
    return text.strip().splitlines()[-1][:300]


def _error_of(trial: Trial) -> str:
    return Path(trial.error_file).read_text() if trial.error_file else ""
