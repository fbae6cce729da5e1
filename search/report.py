"""The report of a search: one file that opens anywhere. `python search/report.py NAME`."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from search.settings import default_storage
from vpr import cli
from vpr.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from search.figures import Chart
    from search.recorded import Recorded
    from search.records import TrialRecord

REPORT = "report.html"
FIGURES = "figures.json"
"""The report's charts by name, each as plotly.graph_objects.Figure takes it."""
SHOWN_TRIALS = 20
"""Rows of the table of trials that are open at first."""
ASSETS = Path(__file__).resolve().parent / "assets"


@dataclass(frozen=True)
class ReportSettings:
    """Write report.html anew from what a search recorded."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the search."""
    storage: Path = field(default_factory=default_storage)
    """Folder that holds the search; $VPR_STORAGE if not given, else results."""


def main(settings: ReportSettings) -> int:
    if Path(settings.name).name != settings.name:
        raise ConfigError(f"{settings.name} is a path; give the name of a search, and its folder with --storage")
    print(write(settings.storage / settings.name))
    return 0


def write_or_tell(folder: Path, console: "Console") -> None:
    """Write the report; a failure is told in one line, since the search itself is done. Nothing where there is no summary yet."""
    if not (folder / "summary.json").exists():
        return
    try:
        write(folder)
    except Exception as fault:
        reason = " ".join(str(fault).split())[:200]
        console.print(
            f"the report could not be written ({reason}); try: python search/report.py {folder.name}", soft_wrap=True
        )


def write(folder: Path) -> Path:
    """Write report.html of a search's folder, with its gallery where there is one, and figures.json; returns the page. Raises ConfigError where there is no summary."""
    from search.gallery_page import section_of
    from search.recorded import read

    found = read(folder)
    facts = _charts(found)
    charts = json.dumps({chart.name: chart.as_json() for chart in _all(facts)}, separators=(",", ":"), allow_nan=False)
    _replace(folder / FIGURES, charts)
    gallery = folder / "gallery.html"
    section = section_of(gallery.read_text(encoding="utf-8")) if gallery.exists() else ""
    return _replace(folder / REPORT, _page(found, facts, charts, section))


def _replace(file: Path, content: str) -> Path:
    partial = file.with_suffix(f".partial-{os.getpid()}")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, file)
    return file


def _page(found: "Recorded", facts: dict[str, Any], charts: str, gallery: str) -> str:
    """The whole page; everything that comes from the search is escaped, `charts` (JSON) and `gallery` alone are taken as they are."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    from search import figures
    from search.records import what_varied
    from search.verdict import answer, configuration, counted, interval, warnings

    templates = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(
        what_varied=what_varied, interval=interval, counted=counted, duration=duration, configuration=configuration
    )
    return templates.get_template("report.html").render(
        **facts,
        **_times(found),
        trials=found.trials,
        shown=SHOWN_TRIALS,
        found=found,
        s=found.summary,
        answer=answer(found),
        warnings=warnings(found),
        key=figures.key_of(found),
        gallery=Markup(gallery),
        style=Markup((ASSETS / "report.css").read_text(encoding="utf-8")),
        script=Markup((ASSETS / "report.js").read_text(encoding="utf-8")),
        plotly=Markup(get_plotlyjs()),
        # In a script element `<` alone could end it.
        figures=Markup(charts.replace("<", "\\u003c")),
    )


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _charts(found: "Recorded") -> dict[str, Any]:
    """The charts by the section that shows them, and what the sections say beside them."""
    from search import figures
    from search.coordinates import parallel

    known = [one for one in found.summary["finalists"] if "mean" in one]
    labels = {one["trial"]: f"trial {one['trial']}" for one in known}
    tests = {name: None for one in known for name in one["test"]}
    slices, without_slice = figures.slices(found)
    pairs = figures.heat_map(found)
    return {
        "curves": figures.learning_curves(found),
        "importance": [
            figures.importance_bars(f"{one['of']} ({one['trials']} trials)", one["shares"], place)
            for place, one in enumerate(found.summary.get("importance", []))
        ],
        "parallel": parallel(found),
        "slices": slices,
        "without_slice": without_slice,
        "pairs": pairs[0] if pairs else None,
        "pair_rows": pairs[1] if pairs else [],
        "finalists": known,
        "finalist_chart": figures.intervals(
            "finalists-chart", [(labels[one["trial"]], one) for one in known], "Finalists on val"
        )
        if known
        else None,
        "tests": [
            figures.intervals(
                f"test-{place}",
                [(labels[one["trial"]], one["test"][name]) for one in known if name in one["test"]],
                name,
            )
            for place, name in enumerate(tests)
        ],
        "time": figures.trial_time(found),
    }


def _all(facts: dict[str, Any]) -> Iterable["Chart"]:
    single = [facts[name] for name in ("curves", "parallel", "pairs", "finalist_chart", "time")]
    return [chart for chart in [*single, *facts["importance"], *facts["slices"], *facts["tests"]] if chart]


def _times(found: "Recorded") -> dict[str, Any]:
    """Hours of each trial in slots' own unit, and those of all."""
    from search.rungs import saved_seconds

    unit, factor = found.unit
    again = [record for record in found.events.records.values() if record.seed is not None]

    def hours(records: Iterable["TrialRecord"]) -> float:
        return factor * sum(record.seconds for record in records) / 3600

    saved = {record.number: saved_seconds([record], found.epochs) for record in found.trials}
    return {
        "unit": unit,
        "hours": {record.number: hours([record]) for record in found.trials},
        "saved": saved,
        "all_hours": {
            "trials": hours(found.trials),
            "finalists": hours(again),
            "saved": factor * sum(saved.values()) / 3600,
        },
    }


if __name__ == "__main__":
    cli.run(main, ReportSettings, "python search/report.py")
