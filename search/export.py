"""Take a finished search's best model away. `python search/export.py NAME --to DIR`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from vpr import cli
from vpr.errors import ConfigError


@dataclass(frozen=True)
class ExportSettings:
    """Write model.safetensors, config.json and metrics.json of the best seed of a search's best trial, or of another one."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the search."""
    to: Path
    """Folder to write; vpr.load(DIR) reads it."""
    trial: int | None = None
    """Another trial than the best."""
    storage: Path = Path("results")
    """Folder that holds the search."""


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
    from vpr.export import write_export

    checkpoint = settings.storage / settings.name / chosen["checkpoint"]
    write_export(settings.to, checkpoint, chosen["best"])
    again = "" if seed is None else f" again, seed {seed}"
    print(f"trial {trial}{again}, val recall@1 {chosen['best']['val/recall_at_1']:.1f}: {settings.to}")
    return 0


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
