"""A measured row, the printed table and bench.json."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measure beside its peer or its limit, both taken in this run."""

    name: str
    peer: str
    """What it is compared with, and the two raw figures."""
    value: float
    mark: float | None
    """None: reported without a mark."""
    unit: str
    is_upper: bool = False
    """The mark is the most that is allowed, not the least."""

    @property
    def holds(self) -> bool | None:
        if self.mark is None:
            return None
        return self.value <= self.mark if self.is_upper else self.value >= self.mark


def report(rows: list[Row], file: Path) -> None:
    """Print all rows and write `{"rows": [{"name", "peer", "value", "mark", "unit", "holds"}]}`."""
    table = Table(title="make bench: ratios within one run", title_justify="left")
    for heading in ("measure", "value", "mark", "holds", "measured beside"):
        table.add_column(heading, overflow="fold", justify="right" if heading in ("value", "mark") else "left")
    for row in rows:
        mark = "-" if row.mark is None else f"{'<=' if row.is_upper else '>='} {row.mark:g}"
        holds = {True: "yes", False: "NO", None: ""}[row.holds]
        table.add_row(row.name, f"{row.value:.3g} {row.unit}", mark, holds, row.peer)
    Console(width=150).print(table)
    file.parent.mkdir(parents=True, exist_ok=True)
    entries = [{**asdict(row), "holds": row.holds} for row in rows]
    for entry in entries:
        del entry["is_upper"]
    file.write_text(json.dumps({"rows": entries}, indent=2) + "\n")
