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
    sets, folders = plan.sets, plan.folders
    used = sets.images - sets.small.images
    lines.append(f"train     {folders.train}: {used:,} images of {sets.places:,} places")
    if len(folders.vals) == 1:
        lines.append(f"val       {folders.first_val}: {sets.sizes_of('val')}")
    else:
        lines.append(f"val       the mean over {len(folders.vals)} sets, each of equal weight")
        lines += [
            f"val       {name}: {folder}: {sets.sizes_of(f'val/{name}')}" for name, folder in folders.vals.items()
        ]
    lines += [f"test      {name}: {sets.sizes_of(name)}; for the finalists alone" for name in folders.tests]
    if plan.pinned:
        lines.append("set       " + _assignments(plan.pinned))
    if plan.time_budget_s is not None:
        lines.append(f"budget    {plan.time_budget_s / 60:g} minutes, after which no trial begins another epoch")
    if plan.confirm:
        lines.append(
            f"confirm   the best {plan.confirm} again, in full, with seeds {', '.join(map(str, plan.confirm_seeds))}"
        )
    return lines + plan.sets.lines()


def _assignments(leaves: Mapping[str, Value]) -> str:
    return " ".join(f"{leaf}={to_text(leaf, value)}" for leaf, value in leaves.items())
