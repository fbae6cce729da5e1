"""Ray Tune's part: the trials of a plan and the confirmation of the best, on the slots there are."""

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from ray import tune
from ray.tune.experiment import Trial
from rich.console import RenderableType

from search.bridge import OptunaBridge
from search.cluster import Slots
from search.confirmation import Confirming
from search.early_stopping import EarlyStopping
from search.history import History
from search.lost import every_death_known
from search.meters import Meters
from search.picture import draw
from search.plan import Plan
from search.screen import Screen
from search.standing import describe, standing_of
from search.tracking import Tracker
from search.trainable import run_trial


def run_trials(plan: Plan, slots: Slots, tracker: Tracker, screen: Screen) -> History:
    """Run the trials to their end and the best again; returns what happened. A failed trial does not end the search.

    What history.jsonl holds of an earlier session is not done again: Optuna, MLflow and the early stopping are told what
    they missed, and trials that ran go on from their last epoch.
    """
    early_stopping = EarlyStopping(plan.early_stopping, plan.epochs, plan.trials)
    history = History(
        *(plan.folder, plan.base, tracker, screen, plan.trials, plan.confirm, plan.confirm_seeds, plan.kept),
        early_stopping=early_stopping,
        resume=plan.resume,
        slots=slots,
    )
    if plan.time_budget_s is not None:
        early_stopping.deadline = time.monotonic() + plan.time_budget_s - history.events.seconds_before()
    journal = plan.folder / "study.journal"
    is_resumed = bool(history.records)
    if not is_resumed:
        journal.unlink(missing_ok=True)  # of a search that was killed before its first trial
    told = history.storage.failed
    bridge = OptunaBridge(plan.space, journal, plan.name, plan.base, plan.pinned, plan.seed, is_resumed, told)
    _catch_up(history, early_stopping, bridge)
    if is_resumed:
        going_on = sum(not record.has_ended for record in history.records.values())
        ended = len(history.records) - going_on
        screen.say(
            f"resumed   {ended} trainings have ended, {going_on} go on, {history.missing - going_on} are still to begin"
        )
    if history.missing:
        with _shown(history, plan, slots, screen), interruptible(screen.warn_in_signal) as was_interrupted:
            _tune(plan, slots, history, early_stopping, bridge, was_interrupted)
        if was_interrupted():
            history.interrupt()
    return history


@contextmanager
def _shown(history: History, plan: Plan, slots: Slots, screen: Screen) -> Iterator[None]:
    meters = Meters(plan.folder, slots)
    now = partial(standing_of, history, plan.time_budget_s)

    def picture() -> RenderableType:
        return draw(now(), meters.reading, screen.note, *screen.console.size)

    # Nobody sees them elsewhere, and a bucket's files are slow to count.
    with meters.measuring() if screen.is_live else nullcontext(), screen.showing(picture, lambda: describe(now())):
        yield


@contextmanager
def interruptible(warn: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM let Tune finish what it writes and end, after `warn`; a second one ends at once (KeyboardInterrupt)."""
    count = 0

    def stop(number: int, frame: Any) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt
        warn("interrupted: what is being written is finished first")
        os.kill(os.getpid(), signal.SIGUSR1)  # Tune's own signal to end

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    # Until Tune has its own handler the signal would end this process.
    before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield lambda: count > 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _catch_up(history: History, early_stopping: EarlyStopping, bridge: OptunaBridge) -> None:
    """Bring all that forgets with a process to where history.jsonl is."""
    known = list(history.records.values())
    for report in history.events.reports:
        early_stopping.take_in(*report)
    for record in known:
        if record.seed is None and not record.waits:
            early_stopping.let_go(record.number)
    # Those of today's rules may differ from those under which the search ran before.
    early_stopping.reasons = {r.number: r.stop_reason for r in history.searched if r.stop_reason and not r.has_ended}
    lost = bridge.reconcile({record.number: record for record in history.searched})
    for record in known:
        history.track(record)
        history.tracker.epochs(record)
        if record.has_ended:
            history.tracker.end(record)
        elif record.stop_reason or len(record.epochs) >= history.epochs:
            history.close(record)
        elif record.seed is None and record.number in lost:
            history.end(record, "failed", "its worker was lost")
    bridge.reconcile({record.number: record for record in history.searched})
    history.prune(record for record in known if record.has_ended)


class _Interrupts(tune.Callback):
    """Tells Tune of an interruption that came before it listened."""

    def __init__(self, was_interrupted: Callable[[], bool]) -> None:
        self.was_interrupted = was_interrupted

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.was_interrupted():
            os.kill(os.getpid(), signal.SIGUSR1)


class _Refused(tune.Callback):
    """Tells searcher and history of a trial that its worker would not take, as the one before still ran there.

    Tune gives up such a trial without a word to either.
    """

    def __init__(self, searcher: Confirming) -> None:
        self.searcher = searcher

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        for trial in trials:
            if trial.status == Trial.ERROR and trial.trial_id in self.searcher.live:
                self.searcher.on_trial_complete(trial.trial_id, error=True)
                self.searcher.history.on_trial_error(iteration, trials, trial)


def _tune(
    plan: Plan,
    slots: Slots,
    history: History,
    early_stopping: EarlyStopping,
    bridge: OptunaBridge,
    was_interrupted: Callable[[], bool],
) -> None:
    trainable = partial(
        run_trial,
        base=plan.base,
        source=plan.source,
        folders=plan.train_and_val,
        trials=plan.folder / "trials",
        budget_gb=plan.cache_budget,
        on_bad_image=plan.on_bad_image,
        cpus=slots.cpus,
        device=slots.device,
        session=plan.session,
    )
    searcher = Confirming(bridge, history, early_stopping, plan.confirm, plan.confirm_seeds, was_interrupted)
    drive(trainable, slots, searcher, [_Interrupts(was_interrupted)])


def drive(
    trainable: Callable[..., None],
    slots: Slots,
    searcher: Confirming,
    others: list[tune.Callback],
) -> None:
    """Let Ray Tune run what the searcher suggests until it has nothing more; others: callbacks that are told after its history."""
    # What Ray writes for itself is not needed after it.
    with tempfile.TemporaryDirectory(prefix="vpr-search-") as scratch, every_death_known():
        tuner = tune.Tuner(
            tune.with_resources(trainable, slots.resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=searcher.early_stopping,
                num_samples=-1,  # the searcher ends it: a training that waited or lost its worker comes again
                max_concurrent_trials=sys.maxsize,  # the searcher knows; without a number Tune keeps one trial waiting at a time
                reuse_actors=True,
                trial_name_creator=_folder,
                trial_dirname_creator=_folder,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=scratch,
                callbacks=[searcher.history, _Refused(searcher), *others],
                verbose=0,
            ),
        )
        # History tells of failed trials in a line each; Ray would print their tracebacks.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        tuner.fit()


def _folder(trial: Any) -> str:
    return f"{trial.config['folder']}-{trial.trial_id}"  # one that goes on comes again
