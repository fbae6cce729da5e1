"""The charts of a report as Plotly figures, without a theme: the page gives them its own, light or dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go

from search.recorded import Recorded, is_choice, recall, to_short_text
from search.records import METRIC, TrialRecord, short
from search.rungs import saved_seconds

COLOURS = ("#3f7fc4", "#c9702a", "#3b9166", "#8f6bc4", "#c95a5a", "#2f8f9d", "#8f822b")
"""At least 3:1 against both grounds of the page."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "star", "hexagon", "cross", "x")
SIGNS = "●■◆▲▼★⬢✚✖"
"""The symbols as characters, for a key. Colours, dashes and symbols have no common divisor: no two of many groups are alike."""
CURVE_POINTS = 5000
SLICES = 12
"""Leaves that have a chart of their own."""
DIGITS = 5


@dataclass(frozen=True)
class Chart:
    """A figure and what a screen reader says of it."""

    name: str
    label: str
    figure: go.Figure
    title: str = ""

    def as_json(self) -> dict[str, Any]:
        """For plotly.js, without Plotly's own theme and with short numbers."""
        content = self.figure.to_plotly_json()
        content["layout"].pop("template", None)
        return _compact(content)


def key_of(found: Recorded) -> list[tuple[str, str, str]]:
    """Sign, colour and name of each group."""
    return [(SIGNS[i % 9], COLOURS[i % 7], name) for i, name in enumerate(found.groups)]


def learning_curves(found: Recorded) -> Chart | None:
    """val recall@1 after each epoch: the best of each group strong, the others faint, the end of a stopped one marked."""
    if not found.groups:
        return None
    figure = go.Figure()
    every = math.ceil(sum(len(record.epochs) for record in found.trials) / CURVE_POINTS)
    for place, (name, records) in enumerate(found.groups.items()):
        if records[1:]:
            figure.add_scatter(**_curves(records[1:], place, every), name=escape(name), opacity=0.45, showlegend=False)
        figure.add_scatter(**_curves(records[:1], place, every, width=3), name=escape(name))
    figure.update_layout(height=460, **_titles("epoch", "val recall@1, %"), hovermode="closest")
    figure.update_xaxes(tickformat="d", dtick=1 if found.epochs <= 12 else None)
    figure.update_layout(legend={"itemsizing": "constant"})
    stopped = sum(record.state == "pruned" for record in found.trials)
    label = f"Learning curves of {len(found.trials)} trials, {stopped} of them stopped early."
    if best := next((record for record in found.trials if record.epochs and record.state != "failed"), None):
        label += f" The best, trial {best.number}, reaches {recall(best):.1f} %."
    return Chart("curves-chart", label, figure)


def importance_bars(of: str, shares: dict[str, float], place: int) -> Chart:
    """Shares in per cent, the largest on top."""
    largest = list(shares.items())[:10][::-1]
    figure = go.Figure(
        go.Bar(x=[100 * share for _, share in largest], y=[short(name) for name, _ in largest], orientation="h")
    )
    figure.update_traces(
        texttemplate="%{x:.0f}",
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.0f} %<extra></extra>",
    )
    figure.update_layout(height=80 + 26 * len(largest), **_titles("share, %", ""), showlegend=False)
    told = ", ".join(f"{short(name)} {100 * share:.0f} %" for name, share in largest[::-1])
    return Chart(f"importance-{place}", f"Importance among {of}: {told}.", figure, of)


def slices(found: Recorded) -> tuple[list[Chart], list[str]]:
    """A chart for each leaf that enough trials have, what matters most first; and the leaves without one."""
    shares = found.importance()
    having = {
        name: [record for record in found.trials if record.epochs and name in record.leaves] for name in found.varied
    }
    order = sorted(having, key=lambda name: (-shares.get(name, 0), not is_choice(name), -len(having[name])))
    least = max(3, len(found.trials) // 20)
    kept = [name for name in order if len(having[name]) >= least][:SLICES]
    return [_slice(found, name, place) for place, name in enumerate(kept)], [name for name in order if name not in kept]


def heat_map(found: Recorded) -> tuple[Chart, list[list[str]]] | None:
    """The best val recall@1 of each optimizer with each loss, and its table with headings; None unless there are two of both."""
    best: dict[tuple[str, str], float] = {}
    for record in reversed(found.trials):
        if record.epochs and record.state != "failed" and {"optimizer/name", "loss/name"} <= set(record.leaves):
            best[str(record.leaves["optimizer/name"]), str(record.leaves["loss/name"])] = recall(record)
    if any(len(set(names)) < 2 for names in zip(*best, strict=True)) or not best:
        return None
    ranked = sorted(best, key=lambda pair: -best[pair])
    optimizers, losses = (
        list(dict.fromkeys(pair[0] for pair in ranked)),
        list(dict.fromkeys(pair[1] for pair in ranked)),
    )
    rows = [[best.get((optimizer, loss)) for optimizer in optimizers] for loss in losses]
    figure = go.Figure(
        go.Heatmap(z=rows, x=[*map(escape, optimizers)], y=[*map(escape, losses)], xgap=2, ygap=2, showscale=False)
    )
    figure.update_traces(
        texttemplate="%{z:.0f}", hoverongaps=False, hovertemplate="%{y} with %{x}: %{z:.1f} %<extra></extra>"
    )
    figure.update_layout(height=60 + 32 * len(losses), xaxis_side="top", margin_b=10)
    figure.update_xaxes(showgrid=False, type="category")
    figure.update_yaxes(showgrid=False, autorange="reversed", type="category")
    (optimizer, loss), value = ranked[0], best[ranked[0]]
    label = f"Heat map of {len(losses)} losses and {len(optimizers)} optimizers; the best pair is {loss} with {optimizer}, {value:.1f} %."
    table: list[list[str]] = [["", *optimizers]] + [
        [loss, *("" if v is None else f"{v:.1f}" for v in row)] for loss, row in zip(losses, rows, strict=True)
    ]
    return Chart("pairs-chart", label, figure), table


def intervals(name: str, rows: Sequence[tuple[str, dict[str, Any]]], of: str) -> Chart:
    """Means with their 95 % intervals, in per cent; rows: label, and `mean` and `interval`."""
    means = [known["mean"] for _, known in rows]
    error = {
        "array": [known["interval"][1] - known["mean"] for _, known in rows],
        "arrayminus": [known["mean"] - known["interval"][0] for _, known in rows],
        "thickness": 2,
        "width": 5,
    }
    labels = [escape(label) for label, _ in rows]
    figure = go.Figure(go.Scatter(x=means, y=labels, error_x=error, mode="markers", marker={"size": 10}))
    figure.update_traces(hovertemplate="%{y}: %{x:.1f} %<extra></extra>")
    figure.update_layout(height=90 + 44 * len(rows), **_titles("recall@1, %", ""))
    figure.update_yaxes(range=[len(rows) - 0.4, -0.6], type="category", showgrid=False)
    figure.update_layout(showlegend=False)
    told = "; ".join(
        f"{label} {known['mean']:.1f} [{known['interval'][0]:.1f}, {known['interval'][1]:.1f}]" for label, known in rows
    )
    return Chart(name, f"{of}, recall@1 in per cent with 95 % intervals: {told}.", figure, of)


def trial_time(found: Recorded) -> Chart | None:
    """Minutes of each trial in the order of their numbers, and those that stopping saved."""
    ran = sorted((record for record in found.trials if record.epochs), key=lambda record: record.number)
    if not ran:
        return None
    numbers = [record.number for record in ran]
    figure = go.Figure()
    figure.add_bar(x=numbers, y=[record.seconds / 60 for record in ran], name="spent")
    saved = [saved_seconds([record], found.epochs) / 60 for record in ran]
    pattern = {"shape": "/", "size": 5, "solidity": 0.3}
    figure.add_bar(x=numbers, y=saved, name="saved by stopping", opacity=0.6, marker={"pattern": pattern})
    figure.update_traces(hovertemplate="trial %{x}: %{y:.1f} min<extra></extra>")
    figure.update_layout(height=320, barmode="stack", bargap=0.25, **_titles("trial", "minutes"))
    figure.update_xaxes(dtick=1 if len(ran) <= 24 else None, showgrid=False)
    label = f"Minutes of {len(ran)} trials: {sum(record.seconds for record in ran) / 60:.1f} spent, {sum(saved):.1f} saved by stopping."
    return Chart("time-chart", label, figure)


def _slice(found: Recorded, name: str, place: int) -> Chart:
    """A choice stands on the vertical axis, where its names can be read."""
    values = [record.leaves[name] for record in found.trials if record.epochs and name in record.leaves]
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    figure = go.Figure()
    for at, records in enumerate(found.groups.values()):
        having = [record for record in records if name in record.leaves]
        own = [record.leaves[name] if is_number else escape(to_short_text(record.leaves[name])) for record in having]
        axes = (own, [*map(recall, having)]) if is_number else ([*map(recall, having)], own)
        if having:
            marker = {"color": COLOURS[at % 7], "symbol": SYMBOLS[at % 9], "size": 8, "opacity": 0.75}
            figure.add_scatter(
                x=axes[0], y=axes[1], text=[record.number for record in having], mode="markers", marker=marker
            )
    kinds = {escape(to_short_text(value)) for value in values}
    figure.update_traces(hovertemplate="trial %{text}: %{x}, %{y}<extra></extra>")
    figure.update_layout(height=260 if is_number else max(200, 90 + 24 * len(kinds)), showlegend=False)
    if is_number:
        figure.update_layout(**_titles(short(name), "recall@1, %"))
        if min(values) > 0 and max(values) > 30 * min(values):
            figure.update_xaxes(
                type="log", dtick=1 if max(values) < 1e8 * min(values) else None, exponentformat="power"
            )
    else:
        figure.update_layout(**_titles("recall@1, %", ""))
        figure.update_yaxes(type="category", categoryorder="max ascending")
    return Chart(f"slice-{place}", f"recall@1 of {len(values)} trials by {short(name)}.", figure, short(name))


def _curves(records: Sequence[TrialRecord], place: int, every: int, width: float = 1.5) -> dict[str, Any]:
    """Many curves as one trace with gaps; the last epoch of a stopped or failed trial has a marker."""
    epochs: list[Any] = []
    values: list[Any] = []
    sizes, numbers = [], []
    for record in records:
        kept = [at for at in range(len(record.epochs)) if at % every == 0 or at == len(record.epochs) - 1]
        epochs += [*(record.epochs[at]["epoch"] for at in kept), None]
        values += [*(record.epochs[at][METRIC] for at in kept), None]
        is_short = record.state in ("pruned", "failed", "interrupted")
        sizes += [0] * (len(kept) - 1) + [9 if is_short else 0, 0]
        numbers += [record.number] * (len(kept) + 1)
    colour = COLOURS[place % 7]
    return {
        "x": epochs,
        "y": values,
        "text": numbers,
        "mode": "lines+markers",
        "legendgroup": place,
        "line": {"color": colour, "dash": DASHES[place % 5], "width": width},
        "marker": {"color": colour, "symbol": SYMBOLS[place % 9], "size": sizes, "opacity": 1, "line": {"width": 0}},
        "hovertemplate": "trial %{text}, epoch %{x}: %{y:.1f} %<extra>%{fullData.name}</extra>",
    }


def _titles(x: str, y: str) -> dict[str, Any]:
    return {f"{axis}axis": {"title": {"text": escape(text)}} for axis, text in (("x", x), ("y", y)) if text}


def _compact(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _compact(part) for name, part in value.items() if part is not None}
    if isinstance(value, str | bool) or value is None:
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return [_compact(part) for part in value] if hasattr(value, "__iter__") else value
