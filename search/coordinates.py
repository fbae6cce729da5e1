"""Optuna's parallel coordinates of a search, small enough for a page of hundreds of trials."""

from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go
from optuna.visualization import plot_parallel_coordinate

from search.figures import Chart
from search.importance import by_best_value, reported_trials
from search.recorded import Recorded, is_choice
from search.records import short

AXES = 7
STRENGTHS = (0.08, 0.12, 0.2, 0.35, 0.7, 1.0)
"""Opacities of the lines of a parallel plot, by sixths of the range of recall@1."""


def parallel(found: Recorded) -> Chart | None:
    """Optuna's parallel coordinates over the leaves that every trial has, with each trial's best value."""
    journal = found.folder / "study.journal"
    trials = reported_trials(journal, found.summary["name"]) if journal.exists() else []
    shared = [name for name in found.varied if trials and all(name in trial.params for trial in trials)]
    ranks = {name: place for place, name in enumerate(found.importance())}
    kept = sorted(shared, key=lambda name: (ranks.get(name, len(ranks)), not is_choice(name)))[:AXES]
    if len(kept) < 2 or len(trials) < 2:
        return None
    drawn = plot_parallel_coordinate(by_best_value(trials), params=kept, target_name="recall@1, %")
    figure = go.Figure(layout=drawn.layout)
    for step, opacity in enumerate(STRENGTHS):
        lines = [line for line in drawn.data if line.mode == "lines" and _strength(line.y[0]) == step]
        if lines:
            figure.add_scatter(**_merged(lines), opacity=opacity, line_width=1 + opacity)
    for note in figure.layout.annotations:
        note.update(text=escape(_trimmed(note.text)), font={"size": 11})
    names = ["recall@1, %", *(escape(short(name)) for name in sorted(kept))]  # Optuna's order
    figure.update_layout(title=None, plot_bgcolor=None, height=460, showlegend=False, xaxis_ticktext=names)
    figure.update_layout(margin={"l": 50, "r": 60, "t": 20, "b": 40})
    figure.update_shapes(line_color="rgba(128,128,128,0.5)")
    told = ", ".join(short(name) for name in kept)
    return Chart("parallel-chart", f"Parallel coordinates of {len(trials)} trials over {told} and recall@1.", figure)


def _strength(height: float) -> int:
    """Of a trial's line, from its place on the first axis, 0..1."""
    return min(int(height * len(STRENGTHS)), len(STRENGTHS) - 1)


def _merged(lines: Sequence[go.Scatter]) -> dict[str, Any]:
    """Lines as one trace with gaps: a trace each would make the page large and slow."""
    return {
        "x": [x for line in lines for x in (*line.x, None)],
        "y": [y for line in lines for y in (*line.y, None)],
        "text": [text for line in lines for text in (*(escape(str(told[1])) for told in line.customdata), "")],
        "mode": "lines",
        "hovertemplate": "%{text}<extra></extra>",
    }


def _trimmed(text: str) -> str:
    return text if len(text) < 18 else text[:16] + "…"
