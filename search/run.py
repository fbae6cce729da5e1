"""Search for the best configuration; reading this file top to bottom explains the system.

`python search/run.py --space losses`: what may vary, on which data, where it runs, what is recorded, what is left.
"""

import shlex
import signal
import sys
import time

import psutil

from search import remote
from search.settings import SearchSettings, check
from vpr import cli


def main(settings: SearchSettings) -> int:
    """Returns the exit code: 0 done, 1 no trial succeeded, 130 interrupted."""
    started = psutil.Process().create_time()
    check(settings)
    if remote.is_asked_for(settings):
        return remote.run(settings)
    # --help needs none of the imports below, and the first line of a search few of them.
    from rich.console import Console

    from search import resume
    from search.announce import describe
    from search.plan import make_plan
    from search.screen import Screen, told
    from vpr.sizes import largest_bytes
    from vpr.spread import start_in_process

    # Paths and error messages may hold brackets, which are no markup.
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 120)
    screen = Screen(console, settings.quiet)
    beginning = resume.find_beginning(settings)
    settings = resume.joined(settings, beginning) if beginning else settings
    plan = make_plan(settings, beginning.search_id if beginning else None, screen.say, _import_ray)
    if beginning:
        resume.check_same(beginning, plan)
    for line in plan.sets.lines() if settings.quiet else describe(plan):
        screen.say(line)

    from search import cluster

    connecting = time.time()
    slots = cluster.connect(settings)
    ray_seconds = time.time() - connecting
    screen.say(f"runs on   {slots.describe()}")
    checkpoint_bytes = start_in_process(largest_bytes, plan.samples, plan.sets.places)
    # What follows needs seconds to import; neither the line above nor the start of Ray need wait for it.
    from search import (
        card,
        checkpoints,
        doctor,
        finals,
        gallery,
        preview,
        recorded,
        report,
        summary,
        tables,
        verdict,
    )
    from search.importance import importances
    from search.measurements import Measurements
    from search.outcome import Outcome
    from search.tracking import Tracker, default_address
    from search.tuning import run_trials

    connecting = time.time()
    cluster.wait(slots)
    ray_seconds += time.time() - connecting
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # again: Ray has set its own, which says nothing
    if slots.is_cluster:
        doctor.check(plan.folder.parent)
    checkpoints.check_room(plan, slots, checkpoint_bytes)
    if settings.dry_run:
        preview.show(plan, slots, console)
        return 0

    storage = plan.folder.parent
    command = shlex.join(["python", *sys.argv])
    address = settings.tracking_uri or default_address(storage)
    facts = {"space": plan.space.name, "command": command, "overlap": plan.sets.overlap.describe() or "none"}
    if address.startswith("sqlite:"):
        storage.mkdir(parents=True, exist_ok=True)  # SQLite wants its folder
    tracker = Tracker(address, plan.name, plan.search_id, facts, storage)
    try:
        with resume.opened_folder(plan, settings):
            measurements = Measurements(slots, plan, console)
            history = run_trials(plan, slots, tracker, screen)
            first_step = history.first_step_at and history.first_step_at - started
            before = history.events.seconds_before()
            outcome = Outcome(plan, slots, command, history, before + time.time() - started, ray_seconds, first_step)
            summary_file = plan.folder / "summary.json"
            summary.write_summary(summary_file, outcome)  # before the finals: what they meet must not cost the search
            gallery.remove(plan.folder)  # of the finalists that an earlier session had
            if not history.is_interrupted:
                with screen.waiting("the finalists are weighed on val"):
                    outcome.finals = finals.weigh_on_val(plan, history, measurements, slots, console)
            tables.print_answer(console, outcome, settings.quiet)  # nothing that follows changes it
            if not history.is_interrupted:
                with screen.waiting("the finalists meet the test sets, and the best model is exported"):
                    finals.meet_tests(plan, outcome.finals, history, measurements)
                    gallery.write(plan, outcome.finals, console)
                    finals.finish_export(plan, outcome.finals, history, console)
                history.finish()
            if outcome.winner:
                outcome.importances = importances(plan.folder / "study.journal", plan.name, outcome.winner.number)
            outcome.wall_seconds = before + time.time() - started
            summary.write_summary(summary_file, outcome)
            with told(console, "the export could not be completed"):
                card.finish_search(summary_file)
            report.write_or_tell(plan.folder, console)
            tracker.finish(outcome.ending(verdict.answer(recorded.read(plan.folder))))
            tables.print_end(console, outcome, tracker, settings.quiet)
            tables.print_tracking(console, tracker)
    except KeyboardInterrupt:
        report.write_or_tell(plan.folder, console)
        console.print(f"interrupted; go on with: {plan.resume}", soft_wrap=True)
        return 130
    if history.is_interrupted:
        left = f"{history.missing} of {history.trials + history.confirmations} trainings are left"
        console.print(f"interrupted: {left}; go on with: {plan.resume}", soft_wrap=True)
        return cluster.leave(130)
    return cluster.leave(0 if outcome.winner else 1)


def _import_ray() -> None:
    """Import Ray, which takes half a second, while another process reads large sets."""
    import search.cluster  # noqa: F401


if __name__ == "__main__":
    cli.run(main, SearchSettings, "python search/run.py")
