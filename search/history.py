"""What happened in a search, as Ray Tune tells it: the one source of the table, summary.json, Optuna and MLflow.

Each event is a line of history.jsonl on the disk before anything follows from it, so that a search that is killed goes on.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from search.checkpoints import prune
from search.cluster import Slots, check_ray
from search.early_stopping import EarlyStopping
from search.lost import RETRIES, wanted_memory, why_lost
from search.nodes import NodeWatch
from search.records import FAILED, Events, State, TrialKey, TrialRecord, what_varied
from search.screen import Screen
from search.storage import StorageWatch, append_line, mend_lines, read_lines
from search.tracking import Tracker
from vpr.config import TrialConfig
from vpr.errors import VPRError
from vpr.leaves import from_leaves, to_leaves
from vpr.results import best_key

INTERRUPTED: State = "interrupted"


class History(Callback):
    """Records every trial, prints a line when one ends, and passes everything on to MLflow."""

    def __init__(
        self,
        folder: Path,
        base: TrialConfig,
        tracker: Tracker,
        screen: Screen,
        trials: int,
        confirm: int,
        seeds: list[int],
        kept: int,
        early_stopping: EarlyStopping,
        resume: str,
        slots: Slots,
    ) -> None:
        """folder: of the search; base: what a trial is before the space varies it; trials: how many there will be; confirm, seeds:
        how many of the best are trained again, with which; kept: trials whose weights are kept; early_stopping: who was stopped or waits; resume: the command that goes on after an interruption; slots: where they run.
        """
        self.folder, self.kept, self.resume = folder, kept, resume
        self.file = folder / "history.jsonl"
        self.base, self.epochs = base, base.training.epochs
        self.trials, self.confirm, self.seeds = trials, confirm, seeds
        self.confirmations = confirm * len(seeds)
        self.tracker, self.screen, self.early_stopping = tracker, screen, early_stopping
        self.storage = StorageWatch(folder, screen.say)
        self.nodes = NodeWatch(slots, screen.say)
        self.is_interrupted = False
        self.faults: dict[TrialKey, str] = {}
        """Why a trial will fail, told by itself."""
        self.losses: Counter[TrialKey] = Counter()
        """How often a training has lost its worker since its last epoch."""
        self.begun: dict[TrialKey, float] = {}
        """Unix seconds, when a worker took up each training of this session."""
        self.events = Events()
        mend_lines(self.file)
        self.events.read(read_lines(self.file))
        self._note("session")

    @property
    def records(self) -> dict[TrialKey, TrialRecord]:
        return self.events.records

    @property
    def first_step_at(self) -> float | None:
        """Unix seconds of the first optimizer step of any trial in this session."""
        started = self.events.sessions[-1][0]
        steps = [record.first_step_at for record in self.records.values() if record.first_step_at]
        return min((at for at in steps if at >= started), default=None)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles callbacks to restore a run by itself, which a search does not use."""
        return {}

    def suggested(self, number: int, seed: int | None, leaves: dict[str, Any]) -> TrialRecord:
        """A trial that will be started."""
        self._note("suggested", trial=number, seed=seed, leaves=leaves)
        self.track(self.records[number, seed])
        return self.records[number, seed]

    def track(self, record: TrialRecord) -> None:
        """Give MLflow what it does not have of a trial."""
        try:
            leaves = to_leaves(from_leaves(record.leaves, self.base))
        except VPRError:  # the trial itself fails with this message; the others go on
            leaves = record.leaves
        self.tracker.start(record, what_varied(record.leaves), leaves)

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.look()

    def look(self) -> None:
        """Whether Ray still lives, the disk can be written and the cluster is as it was; ends the process, or says so."""
        check_ray(self.resume, self.screen.stop)
        self.storage.look()
        self.nodes.look()
        self.screen.look()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        self.begun[self._record(trial).key] = time.time()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        record = self._record(trial)
        if FAILED in result:
            self.faults[record.key] = result[FAILED]
            return
        worker = f"{result['hostname']}:{result['pid']}"
        if result["epoch"] <= len(record.epochs):  # a trial that goes on tells its last epoch again
            self._note("again", trial=record.number, seed=record.seed, epoch=result["epoch"], worker=worker)
            return
        del self.losses[record.key]
        names = [name for name in result if name == "epoch" or name.startswith(("train/", "val/"))]
        self._note(
            "epoch",
            trial=record.number,
            seed=record.seed,
            metrics={name: result[name] for name in names},
            usage={name: value for name, value in result.items() if name.startswith("system/")},
            seconds=result["time_this_iter_s"],
            first_step_at=result["first_step_at"],
            reported_at=result["reported_at"],
            worker=worker,
            stop=self.early_stopping.reasons.get(record.number) if record.seed is None else None,
            waits=record.seed is None and record.number in self.early_stopping.waiting,
        )
        self.tracker.epochs(record)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        record = self._record(trial)
        if record.waits:
            del self.begun[record.key]
        else:
            self.close(record)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        record = self._record(trial)
        self.begun.pop(record.key, None)
        if self.goes_on(record):
            self.losses[record.key] += 1
            why = " for want of memory" if wanted_memory(trial) else ""
            after = f"it goes on after epoch {len(record.epochs)}"
            self.screen.say(f"lost      the worker of {record.title.strip()}{why}; {after}")
        else:
            self.end(record, "failed", self.faults.get(record.key) or why_lost(trial, len(record.epochs) + 1))

    def goes_on(self, record: TrialRecord) -> bool:
        """Whether a training that has lost its worker is taken up again: not where it said why it fails, nor for ever."""
        return record.key not in self.faults and self.losses[record.key] < RETRIES

    def released(self, record: TrialRecord) -> None:
        """A trial that waited for others goes on."""
        self._note("released", trial=record.number)

    def exhausted(self) -> None:
        """The space seems to have no other configuration: the search ends with those that were tried."""
        asked, self.trials = self.trials, len(self.searched)
        self.confirmations = min(self.confirm, self.trials) * len(self.seeds)
        self.screen.say(f"space     no other configuration was found after {self.trials} of {asked} trials")

    def close(self, record: TrialRecord) -> None:
        """A trial that ended by itself or was stopped."""
        if len(record.epochs) >= self.epochs:
            self.end(record, "completed", "all epochs")
        elif not record.epochs:
            self.end(record, "failed", "ended without a report")
        else:
            self.end(record, "pruned", record.stop_reason or "ended early")

    def end(self, record: TrialRecord, state: State, reason: str) -> None:
        """A trial is over: in the file, in MLflow, on the terminal; weights that are not needed go."""
        self._note("ended", trial=record.number, seed=record.seed, state=state, reason=reason)
        self.tracker.end(record)
        self.prune([record])
        is_again = record.seed is not None
        ended = sum(other.has_ended for other in self.records.values() if (other.seed is not None) == is_again)
        recall = f"recall@1 {record.best['val/recall_at_1']:5.1f}" if record.best else "no result"
        speak = self.screen.say if state == "failed" else self.screen.tell
        speak(
            f"{ended:>3}/{self.confirmations if is_again else self.trials}  {record.title} {state:<9} {recall}"
            f"  {what_varied(record.leaves)}" + (f"  ({reason})" if state != "completed" else "")
        )

    def prune(self, ended: Iterable[TrialRecord] = ()) -> None:
        """Remove the weights that are not kept, of those that were and of those that have just ended."""
        looked_at = [record for record in self.records.values() if record.checkpoint]
        prune(self.folder / "trials", [*looked_at, *ended], self.ranked(), self.kept)

    def interrupt(self) -> None:
        """The search ends here for now: what still ran will go on when it is resumed."""
        self.is_interrupted = True
        for record in self.records.values():
            if not record.has_ended:
                record.state = INTERRUPTED
                self.tracker.end(record)

    def finish(self) -> None:
        """All trials have ended and the best were measured."""
        self._note("finished")

    @property
    def searched(self) -> list[TrialRecord]:
        """The search's own trials, as they started."""
        return [record for record in self.records.values() if record.seed is None]

    def confirmed(self, number: int) -> list[TrialRecord]:
        """The trainings of a finalist, by seed."""
        mine = [record for record in self.records.values() if record.number == number and record.seed is not None]
        return sorted(mine, key=lambda record: record.seed or 0)

    @property
    def missing(self) -> int:
        """Trainings, of finalists too, that were asked for and did not run to their own end."""
        best = [record.number for record in self.ranked()[: self.confirm]]
        again = [(number, seed) for number in best for seed in self.seeds]
        ended = sum(key in self.records and self.records[key].has_ended for key in again)
        return self.trials - sum(record.has_ended for record in self.searched) + self.confirmations - ended

    def ranked(self) -> list[TrialRecord]:
        """Best first by the one rule, then the earlier trial; trials without any epoch last."""

        def key(record: TrialRecord) -> tuple[float, ...]:
            return (*best_key(record.best), -record.number) if record.best else (-1.0, -1.0, 0.0, -record.number)

        return sorted(self.searched, key=key, reverse=True)

    def _record(self, trial: Trial) -> TrialRecord:
        return self.records[trial.config["trial"], trial.config["seed"]]

    def _note(self, event: str, **facts: Any) -> None:
        facts = {"event": event, "at": time.time(), **facts}
        append_line(self.file, json.dumps(facts), self.storage.failed)
        self.events.apply(facts)
