"""A model by its folder, or by an address such as `models:/name@champion`, which an installed package knows how to fetch."""

import json
import re
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from vpr.config import TrialConfig
from vpr.errors import WeightsError
from vpr.export import load_export, load_model
from vpr.model import PlaceModel

GROUP = "vpr.sources"
"""Entry points by scheme: each is a function (address, empty folder) -> the folder into which it fetched the model."""
ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/")


def load_any(source: str | Path) -> tuple[PlaceModel, TrialConfig]:
    """The model of a folder, file or address, in evaluation mode, and its configuration; raises WeightsError."""
    found = ADDRESS.match(source) if isinstance(source, str) else None
    if not found:
        return load_model(Path(source))
    known = list(entry_points(group=GROUP, name=found[1]))
    if not known:
        raise WeightsError(
            f"{source}: nothing that is installed fetches {found[1]}:/ addresses; for models:/ install the search too "
            "(pip install -e '.[search]' in the project's folder), or give the folder of an export"
        )
    with tempfile.TemporaryDirectory(prefix="vpr-model-") as folder:
        fetched = known[0].load()(source, Path(folder))
        return load_export(_export_in(Path(fetched), str(source)))


def _export_in(folder: Path, source: str) -> Path:
    """Where the one export lies in what was fetched."""
    exports = [file.parent for file in sorted(folder.rglob("config.json")) if _is_ours(file)]
    if len(exports) != 1:
        raise WeightsError(f"{source} holds {len(exports)} exports of VPR Search and must hold one; register an export")
    return exports[0]


def _is_ours(file: Path) -> bool:
    try:
        return {"format", "leaves"} <= set(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return False
