"""What a search prints at its end: the ranked trials and the answer as soon as it is known, then the test sets, what mattered, and what to type next."""

import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from search import comparison
from search.certainty import Certainty
from search.champion import ALIAS
from search.importance import MINIMUM_TRIALS
from search.outcome import RECALLS, Outcome
from search.records import what_varied
from search.report import REPORT
from search.study import compare, print_study
from search.tracking import Tracker

SHOWN_LEAVES = 5


def print_answer(console: Console, outcome: Outcome, is_quiet: bool) -> None:
    """All that val says, the answer last; of a quiet search the finalists alone."""
    if not is_quiet:
        print_trials(console, outcome)
        print_early_stopping(console, outcome)
    print_finalists(console, outcome)


def print_end(console: Console, outcome: Outcome, tracker: Tracker, is_quiet: bool) -> None:
    """What came after the answer: the test sets, what mattered, the study's own tables where these were searched, and what to type next."""
    if not is_quiet:
        print_tests(console, outcome)
        print_importances(console, outcome)
        tables = outcome.plan.space.tables
        print_study(console, tables, compare(tables, outcome.history, outcome.finals))
        for line in outcome.plan.sets.lines():
            console.print(line, soft_wrap=True)
    print_next_steps(console, outcome, tracker)


def print_importances(console: Console, outcome: Outcome) -> None:
    """How much each leaf mattered."""
    for importance in outcome.importances:
        largest = list(importance.shares.items())[:SHOWN_LEAVES]
        shares = "  ".join(f"{leaf} {100 * share:.0f} %" for leaf, share in largest)
        _line(console, "mattered", f"{shares}  ({importance.of}: {importance.trials})")
    if not outcome.importances:
        _line(console, "mattered", f"not known from {len(outcome.trials)} trials; {MINIMUM_TRIALS} are needed")


def print_trials(console: Console, outcome: Outcome) -> None:
    """The ranked trials: what varied, best recalls (per cent), of several val sets also recall@1 on each, epochs, state."""
    mean = f", the mean over {len(_several(outcome))} sets" if _several(outcome) else ""
    title = f"{outcome.plan.name}: {len(outcome.trials)} trials, best val recall@1 first{mean}"
    table = Table(title=title, title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("what varied", overflow="fold")
    vals = _several(outcome)
    columns = (*RECALLS[:3], *(f"val/{name}/recall_at_1" for name in vals))
    for heading in ("R@1", "R@5", "R@10", *(f"{name} R@1" for name in vals), "epochs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for record in outcome.trials:
        recalls = [f"{record.best[name]:.1f}" if record.best else "-" for name in columns]
        state = record.state if record.state != "failed" else f"failed: {record.stop_reason[:40]}"
        table.add_row(str(record.number), what_varied(record.leaves), *recalls, str(len(record.epochs)), state)
    console.print(table)


def print_early_stopping(console: Console, outcome: Outcome) -> None:
    """What stopping saved, and how well each rung foretold the end."""
    if outcome.plan.early_stopping == "none":
        return
    saved = f"{outcome.saved_seconds:.0f} trial seconds, {100 * outcome.saved_share:.0f} % of full trainings"
    _line(console, "saved", f"{saved}, by {outcome.plan.early_stopping}")
    for rung in outcome.rungs:
        known = "not known" if rung.rank_correlation is None else f"{rung.rank_correlation:.2f}"
        stops = f"{rung.stopped} of {rung.reached} stopped"
        _line(
            console,
            "rung",
            f"epoch {rung.epoch}: {stops}; rank correlation with the end {known} ({rung.completed} full trials)",
        )


def print_finalists(console: Console, outcome: Outcome) -> None:
    """The finalists with their certainty, who is tied, and what picking the best single trial would have said."""
    finals = outcome.finals
    if finals.best is None or finals.val is None:
        return
    is_confirmed = finals.best.best_run.seed is not None
    seeds = len(finals.best.runs)
    again = f"each again with {seeds} seeds" if is_confirmed else "one seed, not trained again"
    table = Table(title=f"finalists, {again}: recall@1 with 95 % intervals", title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("what varied", overflow="fold")
    sets = {f"val {name}": finals.vals[name] for name in _several(outcome) if name in finals.vals}
    for heading in ("search", "mean", "sd", "95 %", "best", *sets):
        table.add_column(heading, justify="right", no_wrap=True)
    is_tie = sum(finals.val.is_tied) > 1
    for place, finalist in enumerate(finals.finalists):
        record = finalist.record
        spread = f"{finals.val.spreads[place]:.1f}" if seeds > 1 else "-"
        table.add_row(
            str(record.number) + (" =" if is_tie and finals.val.is_tied[place] else ""),
            what_varied(record.leaves),
            f"{record.best['val/recall_at_1']:.1f}" if record.best else "-",
            f"{finals.val.means[place]:.1f}",
            spread,
            _interval(finals.val, place),
            f"{100 * finals.val.probability_best[place]:.0f} %",
            *(f"{known.means[place]:.1f} {_interval(known, place)}" for known in sets.values()),
        )
    console.print(table)
    if is_confirmed:
        _print_answer(console, outcome, finals.val)


def print_tests(console: Console, outcome: Outcome) -> None:
    """The finalists on the test sets."""
    finals = outcome.finals
    if not finals.tests:
        return
    table = Table(title="the finalists on the test sets: mean recall@1 with 95 % intervals", title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("what varied", overflow="fold")
    for heading in finals.tests:
        table.add_column(heading, justify="right", no_wrap=True)
    for place, finalist in enumerate(finals.finalists):
        cells = [f"{known.means[place]:.1f} {_interval(known, place)}" for known in finals.tests.values()]
        table.add_row(str(finalist.record.number), what_varied(finalist.record.leaves), *cells)
    console.print(table)


def _print_answer(console: Console, outcome: Outcome, val: Certainty) -> None:
    finals = outcome.finals
    numbers = [finalist.record.number for finalist in finals.finalists]
    tied = [number for number, tie in zip(numbers, val.is_tied, strict=True) if tie]
    if len(tied) > 1:
        others = " and ".join(map(str, tied))
        _line(console, "answer", f"trials {others} (=) cannot be told apart; trial {numbers[0]} has the best mean")
    else:
        _line(console, "answer", f"trial {numbers[0]} is the best of the finalists")
    single = outcome.trials[0]
    if single.number in numbers and single.best:
        place = numbers.index(single.number)
        found = f"{single.best['val/recall_at_1']:.1f}; with other seeds it has {val.means[place]:.1f} {_interval(val, place)}"
        choice = "the same trial" if place == 0 else f"trial {numbers[0]} is taken instead"
        _line(console, "single", f"the best single run was trial {single.number} with {found}: {choice}")


def print_next_steps(console: Console, outcome: Outcome, tracker: Tracker) -> None:
    """Test recalls of the export, the looks that they cost, where all is, and the commands to look further."""
    if outcome.winner is None:
        is_early = outcome.history.is_interrupted
        console.print("no trial has ended an epoch yet" if is_early else "no trial succeeded; the table says why")
        return
    looks = outcome.looks()
    for name, recalls in outcome.test().items():
        figures = "  ".join(f"R@{metric.rsplit('_', 1)[1]} {value:.1f}" for metric, value in recalls.items())
        all_looks, own_looks = looks[name]["all"], looks[name]["this_search"]
        times = "once" if all_looks == 1 else f"{all_looks} times"
        count = f"looked at {times}, {own_looks} of them now: {outcome.plan.ledger.name}"
        _line(console, "test", f"{name}  {figures}  ({count})")
    _line(console, "disk", f"{outcome.disk_bytes / 1e6:.0f} MB in {outcome.plan.folder}")
    if (outcome.plan.folder / REPORT).exists():
        _line(console, "report", str(outcome.plan.folder / REPORT))
    if outcome.history.is_interrupted:
        return
    export = outcome.finals.export
    is_served = tracker.address.startswith("http")
    mlflow = shlex.join([str(Path(sys.executable).with_name("mlflow")), "ui", "--backend-store-uri", tracker.address])
    folders = outcome.plan.folders
    measured = next(iter(folders.tests.values()), folders.first_val)
    evaluate = [sys.executable, "-m", "vpr.evaluate", str(export), "--data", str(measured.parents[1])]
    if export is None:
        _line(console, "export", "failed, see above; the same command tries it again")
        return
    _line(console, "export", str(export))
    _line(console, "summary", str(outcome.plan.folder / "summary.json"))
    if not is_served:
        _line(console, "look", mlflow)
    server = tracker.address if is_served else "http://127.0.0.1:5000"
    _line(console, "compare", comparison.address(server, tracker.experiment, tracker.search_id))
    if tracker.has_champion:
        _line(console, "champion", f"models:/{tracker.name}@{ALIAS}")
    elif "onnx" not in outcome.plan.formats:
        _line(
            console, "champion", "none: --formats leaves out ONNX, which MLflow's registry needs; add onnx to --formats"
        )
    _line(console, "measure", shlex.join([*evaluate, "--split", "/".join(measured.parts[-2:])]))


def print_tracking(console: Console, tracker: Tracker) -> None:
    """What MLflow missed, if it missed anything."""
    if tracker.failures or tracker.waiting:
        left = (
            f"{len(tracker.waiting)} calls wait for the next run of the command"
            if tracker.waiting
            else "all delivered later"
        )
        _line(console, "mlflow", f"{tracker.failures} failed attempts, {left} ({tracker.last_failure})")


def _several(outcome: Outcome) -> list[str]:
    """Return the names of the val sets where there are several; a single one is the mean."""
    names = list(outcome.plan.folders.vals)
    return names if len(names) > 1 else []


def _interval(certainty: Certainty, place: int) -> str:
    low, high = certainty.intervals[place]
    return f"[{low:.1f}, {high:.1f}]"


def _line(console: Console, label: str, text: str) -> None:
    console.print(f"{label:<9} {text}", soft_wrap=True)
