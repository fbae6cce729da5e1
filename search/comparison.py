"""The view of MLflow's pages in which the trials of a search are compared, made ready as if someone had shared it there."""

import json
from collections.abc import Iterable

VIEW_TAG = "mlflow.sharedViewState."
"""Of an experiment; MLflow's pages read the state of a shared view from it (its own `viewStateShareKey`)."""
SECTION = "comparison"
SHOWN_LEAVES = 8
"""Axes that are still readable beside each other."""


def view(search_id: str, leaves: Iterable[str]) -> str:
    """State of the pages: the trials of one search, their curves, their best values and, by the leaves that varied, all at once."""
    curves = {"xAxisKey": "step", "useGlobalXaxisKey": True, "useGlobalLineSmoothing": True, "yAxisKey": "metric"}
    scales = {
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "lineSmoothness": 0,
        "yAxisExpressions": [],
        "range": {},
    }
    charts = [
        _chart("LINE", "val/recall_at_1", **curves, **scales),
        _chart("BAR", "best/val_recall_at_1", runsCountToCompare=20),
        _chart("LINE", "train/loss", **curves, **scales),
    ]
    if axes := list(leaves)[:SHOWN_LEAVES]:
        parallel = {"selectedParams": axes, "selectedMetrics": ["best/val_recall_at_1"], "showAllRuns": True}
        charts.insert(0, _chart("PARALLEL", "", **parallel))
    section = {"uuid": SECTION, "name": "Comparison", "display": True, "isReordered": False, "deleted": False}
    return json.dumps(
        {
            "searchFilter": f"tags.search_id = '{search_id}' and tags.role = 'trial'",
            "orderByKey": "metrics.`best/val_recall_at_1`",
            "orderByAsc": False,
            "compareRunCharts": charts,
            "compareRunSections": [{**section, "isGenerated": False}],
            "runsHiddenMode": "SHOW_ALL",
            "isAccordionReordered": True,  # else sections that MLflow makes itself come first
        }
    )


def address(server: str, experiment: str, search_id: str) -> str:
    """Of the view, on a server such as http://127.0.0.1:5000."""
    state = f"viewStateShareKey={search_id}&compareRunsMode=CHART&workflowType=machine_learning"
    return f"{server}/#/experiments/{experiment}/runs?{state}"


def _chart(kind: str, metric: str, **more: object) -> dict[str, object]:
    keys = {"metricKey": metric, "selectedMetricKeys": [metric]} if metric else {}
    known = {"uuid": f"{kind}-{metric}", "type": kind, "metricSectionId": SECTION}
    return {**known, "runsCountToCompare": 100, "deleted": False, "isGenerated": False, **keys, **more}
