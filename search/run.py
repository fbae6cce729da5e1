"""Search for the best configuration; reading this file top to bottom explains the system.

`python search/run.py --space losses`: what may vary, on which data, where it runs, what is recorded, what is left.
"""

import shlex
import sys
import time

import psutil

from search.settings import SearchSettings, check
from vpr import cli
from vpr.errors import VPRError


def main(settings: SearchSettings) -> int:
    """Returns the exit code: 0 done, 1 no trial succeeded, 130 interrupted."""
    started = psutil.Process().create_time()
    check(settings)
    # Heavy imports wait until here: --help needs none of them.
    from rich.console import Console

    from search import cluster, finals, summary
    from search.history import History
    from search.plan import data_facts, describe, make_plan
    from search.tracking import Tracker, default_address
    from search.tuning import run_trials

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    plan = make_plan(settings)
    console.print("\n".join(describe(plan)), soft_wrap=True)
    slots = cluster.connect(settings)
    console.print(f"runs on   {slots.describe()}", soft_wrap=True)

    storage = plan.folder.parent
    storage.mkdir(parents=True, exist_ok=True)
    command = shlex.join(["python", *sys.argv])
    address = settings.tracking_uri or default_address(storage)
    tracker = Tracker(address, plan.name, {"space": plan.space.name, "command": command}, storage)
    plan.folder.mkdir()
    history = History(plan.base, tracker, console, plan.trials)
    run_trials(plan, slots, history, settings.seed, settings.time_budget and settings.time_budget * 60)

    outcome = summary.Outcome(
        name=plan.name,
        folder=plan.folder,
        space=plan.space.name,
        command=command,
        seed=settings.seed,
        data=data_facts(plan, settings.data),
        slots=slots,
        epochs=plan.epochs,
        trials=history.ranked(),
        wall_seconds=time.time() - started,
        seconds_to_first_step=history.first_step_at and history.first_step_at - started,
    )
    if (winner := outcome.winner) and winner.checkpoint and winner.best:
        outcome.export = plan.folder / "export"
        finals.export(slots, outcome.export, winner.checkpoint, winner.best)
        for name, folder in plan.folders.tests.items():
            try:
                outcome.test[name] = finals.measure(slots, outcome.export, folder)
            except VPRError as fault:  # an unreadable test picture must not cost the search
                console.print(f"test {name} could not be measured: {fault}", soft_wrap=True)
    outcome.wall_seconds = time.time() - started
    summary.write_summary(plan.folder / "summary.json", outcome)
    tracker.finish(plan.folder / "summary.json", outcome.figures(), "FINISHED" if outcome.winner else "FAILED")
    summary.print_table(console, outcome)
    summary.print_next_steps(console, outcome, address, settings.data)
    if tracker.failures:
        console.print(
            f"mlflow: {tracker.failures} failed attempts, {len(tracker.waiting)} calls lost ({tracker.last_failure})"
        )
    if history.missing and not settings.time_budget:
        console.print(f"interrupted: {history.missing} of {plan.trials} trials are missing")
        return 130
    return 0 if outcome.winner else 1


if __name__ == "__main__":
    cli.run(main, SearchSettings, "python search/run.py")
