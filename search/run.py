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

    from search import cluster, finals, preview, summary, tables
    from search.importance import importances
    from search.outcome import Outcome
    from search.plan import describe, make_plan
    from search.tracking import Tracker, default_address
    from search.tuning import run_trials

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    plan = make_plan(settings)
    console.print("\n".join(describe(plan)), soft_wrap=True, markup=False)
    connecting = time.time()
    slots = cluster.connect(settings)
    ray_seconds = time.time() - connecting
    console.print(f"runs on   {slots.describe()}", soft_wrap=True)
    if settings.dry_run:
        preview.show(plan, slots, console)
        return 0

    storage = plan.folder.parent
    if settings.tracking_uri is None:
        storage.mkdir(parents=True, exist_ok=True)  # SQLite wants its folder
    command = shlex.join(["python", *sys.argv])
    address = settings.tracking_uri or default_address(storage)
    search_id = f"{plan.name}-{uuid4().hex[:8]}"  # a name may come again in the same store
    facts = {"space": plan.space.name, "command": command, "overlap": plan.overlap.describe() or "none"}
    tracker = Tracker(address, plan.name, search_id, facts, storage)
    plan.folder.mkdir(parents=True)
    history = run_trials(plan, slots, tracker, console)

    first_step = history.first_step_at and history.first_step_at - started
    outcome = Outcome(plan, slots, command, history, time.time() - started, ray_seconds, first_step)
    summary_file = plan.folder / "summary.json"
    summary.write_summary(summary_file, outcome)  # before the finals: what they meet must not cost the search
    outcome.finals = finals.run(slots, plan, history, console)
    if outcome.winner:
        outcome.importances = importances(plan.folder / "study.journal", plan.name, outcome.winner.number)
    outcome.wall_seconds = time.time() - started
    summary.write_summary(summary_file, outcome)
    tracker.finish(summary_file, outcome.figures(), "FINISHED" if outcome.winner else "FAILED")
    tables.print_end(console, outcome, address)
    if tracker.failures:
        lost = f"{len(tracker.waiting)} calls lost" if tracker.waiting else "all delivered later"
        console.print(f"mlflow    {tracker.failures} failed attempts, {lost} ({tracker.last_failure})", soft_wrap=True)
    if history.is_interrupted:
        console.print(
            f"interrupted: {history.missing} of {history.trials + history.confirmations} trainings are missing"
        )
        return 130
    return 0 if outcome.winner else 1


if __name__ == "__main__":
    cli.run(main, SearchSettings, "python search/run.py")
