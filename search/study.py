"""The study's own tables beside the same runs of a search (`--space paper`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from search.finals import Finals
from search.history import History

if TYPE_CHECKING:
    from spaces.paper import StudyTable


def compare(tables: Sequence[StudyTable], history: History, finals: Finals) -> list[dict[str, Any]]:
    """recall@1 in per cent of each row, after each epoch and on test, the study's and ours; None for what we did not reach."""
    rows = []
    for table in tables:
        for row in table.rows:
            record = history.records.get((row.run, None))
            recalls = finals.recalls((row.run, None), row.test_set)
            ours = [epoch["val/recall_at_1"] for epoch in record.epochs] if record else []
            rows.append(
                {
                    "table": table.title,
                    "row": row.label,
                    "trial": row.run,
                    "study": {"val": row.val, row.test_set: row.test},
                    "ours": {"val": ours, row.test_set: recalls and recalls["recall_at_1"]},
                }
            )
    return rows


def print_study(console: Console, tables: Sequence[StudyTable], rows: list[dict[str, Any]]) -> None:
    """Each table of the study, with its figures above ours."""
    for study in tables:
        table = Table(title=f"{study.title}: the study's recall@1, and ours below", title_justify="left")
        table.add_column("run", overflow="fold")
        for epoch in range(10):
            table.add_column(f"e{epoch}", justify="right")
        table.add_column("test", justify="right")
        for row in (row for row in rows if row["table"] == study.title):
            for who, style in (("study", "dim"), ("ours", "bold")):
                val, test = row[who].values()
                cells = [f"{value:.1f}" for value in val[:10]] + [""] * (10 - len(val))
                label = row["row"] if who == "study" else "  ours"
                table.add_row(label, *cells, "" if test is None else f"{test:.1f}", style=style)
            table.add_section()
        console.print(table)
