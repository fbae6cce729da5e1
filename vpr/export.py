"""An export is a folder: the model in up to three formats, config.json (with preprocessing), metrics.json."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save

from vpr.backbones import read_weights
from vpr.checkpoint import best_file, read_checkpoint
from vpr.config import EXPORT_FORMATS, TrialConfig
from vpr.data import Retrieval, open_retrieval
from vpr.epochs import epoch_files
from vpr.errors import ConfigError, WeightsError
from vpr.formats import ONNX, PT2, Forward, prove, read_onnx, read_pt2, write_formats
from vpr.leaves import from_leaves, to_leaves
from vpr.model import PlaceModel

FORMAT = 1
SAFETENSORS = "model.safetensors"


def write_export(
    folder: Path,
    checkpoint: Path,
    metrics: dict[str, Any],
    val: Path,
    budget_gb: float | None = None,
    on_bad_image: str = "error",
    formats: Sequence[str] = EXPORT_FORMATS,
) -> None:
    """Turn a checkpoint file into an export; the folder appears whole or not at all, replacing an older one.

    Args:
        folder: Of the export.
        checkpoint: File of a training.
        metrics: What is known of the model, for metrics.json.
        val: Folder of the set on which each format is compared with the checkpoint.
        budget_gb: As for `vpr.data.open_retrieval`.
        on_bad_image: As for `vpr.data.open_retrieval`.
        formats: Those besides model.safetensors.

    Raises:
        WeightsError: A format cannot be written, or gives other descriptors or recalls.
    """
    model, config = load_model(checkpoint)
    retrieval = open_retrieval(val, config.data, budget_gb, on_bad_image)
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        (partial / SAFETENSORS).write_bytes(save(weights))  # its own writer has no OSError for a full disk
        description = {"format": FORMAT, "leaves": to_leaves(config), "input": _input(model, config)}
        _write_json(partial / "config.json", description)
        write_formats(partial, model, config.data.image_size, formats)
        _write_json(partial / "metrics.json", {**metrics, "formats": check_export(partial, model, retrieval)})
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_export(folder: Path, trained: PlaceModel, val: Retrieval) -> dict[str, Any]:
    """How the formats of an export stand to the trained model on val; raises WeightsError where one differs."""
    read: dict[str, Callable[[Path], Forward]] = {
        SAFETENSORS: lambda file: load_export(file.parent)[0],
        **{name: reader for name, reader in ((PT2, read_pt2), (ONNX, read_onnx)) if (folder / name).exists()},
    }
    formats = {}
    for name, reader in read.items():
        try:
            formats[name] = reader(folder / name)
        except WeightsError:
            raise
        except Exception as fault:  # each reader has its own errors
            reason = " ".join(f"{type(fault).__name__}: {fault}".split())[:200]
            raise WeightsError(f"{folder / name} cannot be read ({reason}); write the export again") from None
    return prove(formats, trained, val)


def load_export(folder: Path) -> tuple[PlaceModel, TrialConfig]:
    """The model of an export, in evaluation mode, and its configuration; raises WeightsError."""
    try:
        description = json.loads((folder / "config.json").read_text())
        if description["format"] != FORMAT:
            raise ValueError(f"its format is {description['format']}, not {FORMAT}")
        config = from_leaves(description["leaves"])
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as fault:
        raise WeightsError(f"{folder} is no export ({fault}); search/export.py writes one") from None
    return _fill(config, read_weights(folder / SAFETENSORS), folder)


def load_model(path: Path) -> tuple[PlaceModel, TrialConfig]:
    """The model of an export folder, a training's folder (its best epoch) or a checkpoint file, in evaluation mode."""
    if not path.exists():
        raise WeightsError(
            f"{path} does not exist; give the folder of an export or of a training, or a checkpoint file"
        )
    if (path / "export/config.json").exists():
        raise WeightsError(f"{path} is a search; give its export, {path / 'export'}")
    if path.is_dir() and epoch_files(path):
        path = best_file(path)
    if path.is_dir():
        return load_export(path)
    state, config = read_checkpoint(path)
    return _fill(config, state["model"], path)


def _fill(config: TrialConfig, weights: dict[str, Any], source: Path) -> tuple[PlaceModel, TrialConfig]:
    # All weights come from the source: the file or download that training started from is not needed again.
    model = PlaceModel(replace(config.model, weights="none"), config.data.image_size)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as fault:
        raise WeightsError(
            f"{source} does not fit its own configuration ({' '.join(str(fault).split())[:150]})"
        ) from None
    return model.eval(), config


def _input(model: PlaceModel, config: TrialConfig) -> dict[str, Any]:
    """What the model expects, for people who load the weights without this project."""
    height, width = config.data.image_size
    return {
        "height": height,
        "width": width,
        "resize": "bilinear, antialiased",
        "range": [0.0, 1.0],
        "mean": model.mean.flatten().tolist(),
        "std": model.std.flatten().tolist(),
        "normalised_by": "the module itself",
        "descriptor_size": model.dim,
    }


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n")
