"""Take a finished search's best model away. `python search/export.py NAME --to DIR`."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from search.card import finish
from search.settings import default_storage
from vpr import cli
from vpr.config import EXPORT_FORMATS
from vpr.errors import ConfigError, DataError
from vpr.folder_facts import is_retrieval


@dataclass(frozen=True)
class ExportSettings:
    """Write the best seed of a search's best trial, or of another one, with a model card."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the search."""
    to: Path
    """Folder to write; vpr.load(DIR) reads it."""
    trial: int | None = None
    """Another trial than the best."""
    storage: Path = field(default_factory=default_storage)
    """Folder that holds the search; $VPR_STORAGE if not given, else results."""
    val: Path | None = None
    """Folder of the val set, on which each format is compared with the trained model; the search's own (first) one if not given."""
    formats: tuple[Literal["onnx", "pt2"], ...] = EXPORT_FORMATS
    """Formats for programs without this project; model.safetensors is always written."""


def main(settings: ExportSettings) -> int:
    if Path(settings.name).name != settings.name:
        raise ConfigError(f"{settings.name} is a path; give the name of a search, and its folder with --storage")
    summary = read_summary(settings.storage / settings.name)
    best = summary["best"] or {}
    trial, seed = (best.get("trial"), best.get("seed")) if settings.trial is None else (settings.trial, None)
    runs = {(entry["id"], None): entry for entry in summary["trials"]}
    runs |= {(one["trial"], run["seed"]): run for one in summary.get("finalists", ()) for run in one["seeds"]}
    chosen = runs.get((trial, seed))
    if chosen is None or not chosen["checkpoint"]:
        known = ", ".join(str(entry["id"]) for entry in summary["trials"] if entry["checkpoint"]) or "none"
        raise ConfigError(f"{settings.name} has no weights of trial {trial}; trials whose weights are kept: {known}")
    if settings.to.exists():
        raise ConfigError(f"--to {settings.to} exists; give a new folder")
    val = settings.val or own_val(summary)
    if not is_retrieval(val):
        raise DataError(
            f"{val} holds no val set, on which each format is compared with the trained model; give its folder with --val"
        )
    from vpr.export import write_export

    staged = settings.to.with_name(f"{settings.to.name}.partial-models")
    try:
        checkpoint = settings.storage / settings.name / chosen["checkpoint"]
        # A search of these pictures was allowed to leave the bad ones out, or there are none.
        write_export(staged, checkpoint, chosen["best"], val, on_bad_image="skip", formats=settings.formats)
        finish(staged, settings.to, summary, chosen.get("id", trial), seed)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    again = "" if seed is None else f" again, seed {seed}"
    print(f"trial {trial}{again}, val recall@1 {chosen['best']['val/recall_at_1']:.1f}: {settings.to}")
    return 0


def own_val(summary: dict) -> Path:
    """Return where the search found its first val set; older summaries say `val`, or only the folder above it."""
    data = summary.get("data") or {}
    first = next(iter((data.get("vals") or {}).values()), data.get("val"))
    return Path(first or Path(data.get("root") or "") / "sf_xs/val")


def read_summary(folder: Path) -> dict:
    """summary.json of a search's folder; raises ConfigError where there is none."""
    try:
        summary = json.loads((folder / "summary.json").read_text())
        if not all({"id", "best", "checkpoint"} <= set(trial) for trial in summary["trials"]) or "best" not in summary:
            raise ValueError("it is no summary of a search")
        return summary
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise ConfigError(
            f"{folder} holds no finished search ({fault}); give its name, and --storage if it was moved"
        ) from None


if __name__ == "__main__":
    cli.run(main, ExportSettings, "python search/export.py")
