"""ASHA (Li et al. 2020) that waits: a rung stops nobody before enough trials have reached it."""

from typing import Any

from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.async_hyperband import _Bracket

from search.bridge import METRIC

MINIMUM_RESULTS = 6
"""Trials that a rung compares at least, the one in question included, so that the best third is two of them."""
REDUCTION = 3
GRACE_EPOCHS = 1


class PatientBracket(_Bracket):
    """Ray's rungs, with no cut-off while they hold too few results."""

    def cutoff(self, recorded: dict[str, float]) -> Any:
        return super().cutoff(recorded) if len(recorded) + 1 >= MINIMUM_RESULTS else None


def asha(epochs: int) -> ASHAScheduler:
    """Rungs after 1, 3, 9, ... epochs; at each the best third so far goes on."""
    scheduler = ASHAScheduler(
        time_attr="epoch",
        metric=METRIC,
        mode="max",
        max_t=max(epochs, 1),
        grace_period=GRACE_EPOCHS,
        reduction_factor=REDUCTION,
    )
    scheduler._brackets = [PatientBracket(GRACE_EPOCHS, max(epochs, 1), REDUCTION, 0)]
    return scheduler
