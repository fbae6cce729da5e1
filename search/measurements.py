"""Finished trainings measured on val and the test sets by workers, each once in the life of a search."""

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import ray
from rich.console import Console

from search import on_worker
from search.answers import Answers, answers_file, keep_answers, read_answers
from search.cluster import Slots, fetch
from search.ledger import checkpoint_hash, record_look
from search.lost import RETRIES
from search.plan import Plan
from search.records import TrialKey, TrialRecord
from search.screen import told
from search.storage import patiently
from vpr.datasets import retrieval_fingerprint
from vpr.errors import DataError
from vpr.recall import recalls
from vpr.sources import root_here


class Measurements:
    """What is known of models on sets, and what workers are measuring now."""

    def __init__(self, slots: Slots, plan: Plan, console: Console) -> None:
        """console: is told of failures, a line each; they cost only what failed."""
        self.slots, self.plan, self.console = slots, plan, console
        self.first: dict[tuple[TrialKey, str], np.ndarray] = {}
        """(Q,) place of the first right answer of each query (`vpr.recall.answers`), by model and reported name of the set."""
        self._begun: set[tuple[TrialKey, str]] = set()
        self._tasks: dict[tuple[TrialKey, str], Any] = {}
        """Those whose results were not fetched yet."""

    def begin(self, models: Iterable[TrialRecord], sets: Mapping[str, Path]) -> None:
        """Let workers measure models on sets, by reported name, where no answers are kept and no worker measures them already.

        Each look at a test set is in the ledger before it is taken.
        """
        for model in {model.key: model for model in models}.values():
            for name, folder in sets.items():
                if (model.key, name) not in self._begun:
                    self._begun.add((model.key, name))
                    with told(self.console, f"{name} could not be measured"):
                        self._begin(model, name, folder)

    def finish(self, sets: Collection[str], look: Callable[[], None]) -> None:
        """Wait for what was begun on sets, by reported name; look: called every second until then."""
        for key, name in [known for known in self._tasks if known[1] in sets]:
            # A test image that cannot be read is found here first.
            with told(self.console, f"{name} could not be measured for trial {key[0]}"):
                answers = fetch(self._tasks.pop((key, name)), look)
                self.first[key, name] = answers.first
                patiently(keep_answers, answers_file(self.plan.folder, key, name), answers)

    def _begin(self, model: TrialRecord, name: str, folder: Path) -> None:
        plan, is_test = self.plan, name in self.plan.folders.tests
        file = answers_file(plan.folder, model.key, name)
        if kept := read_answers(file) if is_test else _kept_on_val(file, model, name):
            self.first[model.key, name] = kept.first
            if kept.nearest is not None or is_test:  # no test set is looked at again
                return
        assert model.checkpoint
        if is_test:
            who = {"search": plan.name, "search_id": plan.search_id, "trial": model.number, "seed": model.seed}
            what = {
                "data": retrieval_fingerprint(folder, plan.session),
                "checkpoint": checkpoint_hash(model.checkpoint),
            }
            record_look(plan.ledger, **who, set=name, **what)
        place = plan.folders.relative_to(root_here(plan.source)).held_out[name]  # every node has its own root
        given = plan.source, place, plan.cache_budget, plan.on_bad_image, self.slots.cpus, self.slots.device
        task = ray.remote(num_cpus=self.slots.cpus, num_gpus=self.slots.gpus, max_retries=RETRIES)(on_worker.measured)
        self._tasks[model.key, name] = task.remote(model.checkpoint, *given)


def _kept_on_val(file: Path, model: TrialRecord, name: str) -> Answers | None:
    """Return the answers that a training kept, if they are those of its best epoch, and none if they are damaged.

    A worker can be lost after it kept an epoch's answers and before that epoch's checkpoint; on other hardware the
    epoch may then end otherwise. Val may be measured again as often as one likes.
    """
    assert model.best
    try:
        kept = read_answers(file)
    except DataError:
        return None
    is_its_own = kept and all(model.best[f"{name}/recall_at_{n}"] == value for n, value in recalls(kept.first).items())
    return kept if is_its_own else None
