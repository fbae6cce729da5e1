"""A plan in words: for the start of a search, and for its reports."""

from collections.abc import Mapping

from search.plan import Plan
from vpr.config import Value
from vpr.leaves import to_text


def describe(plan: Plan) -> list[str]:
    """The plan in a few lines, for the start of a run; `make_plan` has told the first one."""
    lines = []
    if plan.preset:
        lines.append("data      MiniCity, with its preset " + _assignments(plan.preset))
    lines.append(f"train     {plan.folders.train}")
    lines.append(f"val       {plan.folders.val}")
    if plan.pinned:
        lines.append("set       " + _assignments(plan.pinned))
    if plan.time_budget_s is not None:
        lines.append(f"budget    {plan.time_budget_s / 60:g} minutes, after which no trial begins another epoch")
    if plan.confirm:
        lines.append(
            f"confirm   the best {plan.confirm} again, in full, with seeds {', '.join(map(str, plan.confirm_seeds))}"
        )
    return lines + data_lines(plan)


def data_lines(plan: Plan) -> list[str]:
    """What the reports of a search say of images that were left out, and of sets that share pictures or places."""
    overlap = plan.overlap
    lines = [
        f"skipped   {count} images of {name} cannot be read and are left out" for name, count in plan.skipped.items()
    ]
    lines += [] if overlap.is_clean else [f"OVERLAP   {overlap.describe()}: no recall of this search can be trusted"]
    lines += [
        f"overlap   {count} val pictures have a picture of {name} near: its recall is not of another place"
        for name, count in overlap.near_val.items()
        if count
    ]
    if overlap.train_without_position:
        lines.append(
            f"overlap   {overlap.train_without_position} training pictures say no position and were not compared"
        )
    return lines


def _assignments(leaves: Mapping[str, Value]) -> str:
    return " ".join(f"{leaf}={to_text(leaf, value)}" for leaf, value in leaves.items())
