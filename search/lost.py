"""Workers that are lost in ways of which Ray Tune 2.60 does not tell, or at which it ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.tune import Callback
from ray.tune.experiment import Trial

from search.confirmation import Confirming
from search.history import History


@contextmanager
def every_death_known() -> Iterator[None]:
    """Any death of a worker is one that Tune knows: at that by Ray's own memory monitor it ends with all trials, in a RuntimeError."""
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


class Refused(Callback):
    """Tells searcher and history of a trial that its worker would not take, as the one before still ran there.

    Tune gives up such a trial without a word to either.
    """

    def __init__(self, searcher: Confirming, history: History) -> None:
        self.searcher, self.history = searcher, history

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        for trial in trials:
            if trial.status == Trial.ERROR and trial.trial_id in self.searcher.live:
                self.searcher.on_trial_complete(trial.trial_id, error=True)
                self.history.on_trial_error(iteration, trials, trial)
