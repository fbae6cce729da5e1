"""Every configuration leaf as a page, made from the tree itself. `python -m vpr.reference > docs/configuration.md`."""

import ast
import inspect
import textwrap
from typing import Any, get_type_hints

from vpr import config
from vpr.leaves import all_leaves, allowed, to_text

HEAD = """# Configuration

A trial is one tree of settings. A leaf is named by its path everywhere: in spaces, in `--set LEAF=VALUE`, in MLflow, in
reports and errors. This page is made from [vpr/config.py](../vpr/config.py) by `python -m vpr.reference`, and a test
keeps it so.

A leaf that names its owners exists only where one of them is chosen: setting `optimizer/momentum` for adam is an error.
"""


def page() -> str:
    """Markdown: a table for each branch."""
    parts = [HEAD]
    for branch, kind in get_type_hints(config.TrialConfig).items():
        texts = _field_texts(kind)
        rows = [_row(name, f, hint, texts) for name, (f, hint) in all_leaves().items() if name.startswith(f"{branch}/")]
        table = ["| leaf | default | allowed | meaning |", "| --- | --- | --- | --- |", *rows]
        parts.append("\n".join([f"## {branch}", "", inspect.cleandoc(kind.__doc__), "", *table, ""]))
    return "\n".join(parts)


def _row(name: str, f: Any, hint: Any, texts: dict[str, str]) -> str:
    owners = f.metadata.get("owners")
    if owners:
        by_default: dict[str, list[str]] = {}
        for owner, value in owners.items():
            by_default.setdefault(to_text(name, value), []).append(owner)
        default = "; ".join(f"`{value}` for {', '.join(names)}" for value, names in by_default.items())
    else:
        default = f"`{to_text(name, f.default)}`"
    cells = f"`{name}`", default, allowed(f, hint).removeprefix("allowed: "), texts.get(f.name, "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _field_texts(kind: type) -> dict[str, str]:
    """The text under each field of a dataclass, in one line; Python keeps it in the source alone."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = {}
    for statement, below in zip(body.body, body.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and is_text:
            found[statement.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return found


if __name__ == "__main__":
    print(page(), end="")
