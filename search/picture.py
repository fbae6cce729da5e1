"""A search's standing as it is drawn on a terminal: counts, the best so far, the machine, and what runs."""

from rich.bar import Bar
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from search.records import TrialRecord, what_varied
from search.standing import (
    Standing,
    describe_best,
    describe_improvements,
    describe_left,
    duration,
    epoch_seconds,
    epochs_done,
)

WIDE = 110
"""Columns of a terminal that has room for longer bars, and for the seconds of each epoch."""
LINES = 8
"""Of a picture without its running trials."""
FEWEST_ROWS = 3


def draw(standing: Standing, machine: str, note: str, width: int, height: int) -> RenderableType:
    """For a terminal of width x height characters, of which it takes about half: the log needs the rest.

    machine: what is known of cores, GPUs and disk; note: what the user must know now, if anything.
    """
    best = standing.best
    how = f"  {what_varied(best.leaves)}" if best else ""
    title = f"{standing.name}: {duration(standing.seconds)}, {describe_left(standing)}"
    slots = f"slots {len(standing.live)}/{standing.slots}"
    lines: list[RenderableType] = [
        Rule(Text(title, style="bold", no_wrap=True, overflow="ellipsis"), align="left", style="dim"),
        _counts(standing, width),
        _ended(standing),
        _line("best", Text.assemble((describe_best(standing), "bold green" if best else ""), how)),
        _line("so far", Text(describe_improvements(standing) or "-")),
        _line("machine", Text(" · ".join(part for part in (slots, machine) if part))),
    ]
    if note:
        lines.append(_line("note", Text(note, style="yellow")))
    return Group(*lines, running(standing, width, height))


def running(standing: Standing, width: int, height: int) -> RenderableType:
    """The trainings that run, as many of them as there is room for."""
    live = standing.live
    rows = max(FEWEST_ROWS, height // 2 - LINES)
    shown = live if len(live) <= rows + 1 else live[:rows]
    table = Table(box=None, pad_edge=False, expand=True, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("trial", no_wrap=True)
    table.add_column("what varied", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("epoch", no_wrap=True, justify="right")
    table.add_column("", no_wrap=True, width=20 if width >= WIDE else 10)
    if width >= WIDE:
        table.add_column("seconds", no_wrap=True, justify="right")
    for heading in ("R@1", "best", "images/s"):
        table.add_column(heading, no_wrap=True, justify="right")
    for record in shown:
        table.add_row(*_row(standing, record, width))
    if len(shown) < len(live):
        return Group(table, Text(f"and {len(live) - len(shown)} more", style="dim"))
    return table


def _row(standing: Standing, record: TrialRecord, width: int) -> list[RenderableType]:
    expected, elapsed = epoch_seconds(standing, record), max(standing.now - standing.running[record.key], 0.0)
    seconds = f"{elapsed:.0f}" if expected is None else f"{elapsed:.0f}/{expected:.0f}"
    bar = Bar(standing.epochs, 0, epochs_done(standing, record), color="cyan")
    last, best = record.epochs[-1] if record.epochs else None, record.best
    return [
        f"{record.number}" if record.seed is None else f"{record.number} seed {record.seed}",
        Text(what_varied(record.leaves)),
        f"{min(len(record.epochs) + 1, standing.epochs)}/{standing.epochs}",
        bar if expected else Text(f"{elapsed:.0f} s", style="dim"),
        *([seconds] if width >= WIDE else []),
        f"{last['val/recall_at_1']:.1f}" if last else "-",
        f"{best['val/recall_at_1']:.1f}" if best else "-",
        f"{last['train/images_per_second']:,.0f}" if last else "-",
    ]


def _counts(standing: Standing, width: int) -> RenderableType:
    ended, again = (sum(record.has_ended for record in kind) for kind in (standing.searched, standing.confirmed))
    grid, size = Table.grid(padding=(0, 1)), 30 if width >= WIDE else 16
    parts: list[RenderableType] = [Text(f"{'trials':<9}"), f"{ended}/{standing.trials}"]
    parts.append(Bar(standing.trials, 0, ended, width=size, color="green"))
    if standing.confirmations:
        parts += ["confirmations", f"{again}/{standing.confirmations}"]
        parts.append(Bar(standing.confirmations, 0, again, width=size, color="green"))
    grid.add_row(*parts)
    return grid


def _ended(standing: Standing) -> Text:
    states = standing.states
    failed = (f"{states['failed']} failed", "bold red" if states["failed"] else "")
    waiting = f"; {standing.waiting} waiting to be compared" if standing.waiting else ""
    return _line(
        "ended", Text.assemble(f"{states['completed']} completed, {states['pruned']} pruned, ", failed, waiting)
    )


def _line(label: str, text: Text) -> Text:
    return Text.assemble(f"{label:<9} ", text, no_wrap=True, overflow="ellipsis")
