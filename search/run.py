"""Search for the best configuration; reading this file top to bottom explains the system.

`python search/run.py --space losses`: what may vary, on which data, where it runs, what is recorded, what is left.
"""

import shlex
import sys
import time
from uuid import uuid4

import psutil

from search.settings import SearchSettings, check
from vpr import cli


def main(settings: SearchSettings) -> int:
    """Returns the exit code: 0 done, 1 no trial succeeded, 130 interrupted."""
    started = psutil.Process().create_time()
    check(settings)
    # Heavy imports wait until here: --help needs none of them.
    from rich.console import Console

    from search import cluster, finals, summary
    from search.history import History
    from search.plan import describe, make_plan
    from search.tracking import Tracker, default_address
    from search.tuning import run_trials

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    plan = make_plan(settings)
    console.print("\n".join(describe(plan)), soft_wrap=True)
    connecting = time.time()
    slots = cluster.connect(settings)
    ray_seconds = time.time() - connecting
    console.print(f"runs on   {slots.describe()}", soft_wrap=True)

    storage = plan.folder.parent
    if settings.tracking_uri is None:
        storage.mkdir(parents=True, exist_ok=True)  # SQLite wants its folder
    command = shlex.join(["python", *sys.argv])
    address = settings.tracking_uri or default_address(storage)
    search_id = f"{plan.name}-{uuid4().hex[:8]}"  # a name may come again in the same store
    tracker = Tracker(address, plan.name, search_id, {"space": plan.space.name, "command": command}, storage)
    plan.folder.mkdir(parents=True)
    history = History(plan.base, tracker, console, plan.trials)
    run_trials(plan, slots, history, settings.seed, settings.time_budget and settings.time_budget * 60)

    outcome = summary.Outcome(
        name=plan.name,
        folder=plan.folder,
        space=plan.space.name,
        command=command,
        seed=settings.seed,
        data=plan.data,
        slots=slots,
        epochs=plan.epochs,
        trials=history.ranked(),
        wall_seconds=time.time() - started,
        ray_seconds=ray_seconds,
        seconds_to_first_step=history.first_step_at and history.first_step_at - started,
    )
    summary_file = plan.folder / "summary.json"
    summary.write_summary(summary_file, outcome)  # before the finals: what they meet must not cost the search
    finals.run(slots, outcome, plan, console)
    outcome.wall_seconds = time.time() - started
    summary.write_summary(summary_file, outcome)
    tracker.finish(summary_file, outcome.figures(), "FINISHED" if outcome.winner else "FAILED")
    summary.print_table(console, outcome)
    summary.print_next_steps(console, outcome, address, plan.folders)
    if tracker.failures:
        lost = f"{len(tracker.waiting)} calls lost" if tracker.waiting else "all delivered later"
        console.print(f"mlflow    {tracker.failures} failed attempts, {lost} ({tracker.last_failure})", soft_wrap=True)
    if history.missing and not settings.time_budget:
        console.print(f"interrupted: {history.missing} of {plan.trials} trials are missing")
        return 130
    return 0 if outcome.winner else 1


if __name__ == "__main__":
    cli.run(main, SearchSettings, "python search/run.py")
