"""The winner in MLflow's model registry: `models:/NAME@champion`, an ONNX model that needs nothing of this project."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.exceptions import MlflowException

ALIAS = "champion"
EXPORT = "export"
"""Folder of the logged model that `vpr.load` reads."""
ANYWHERE = ("model.safetensors", "config.json", "metrics.json", "README.md")
"""Of an export, what a logged model does not hold in MLflow's own form."""


def register(
    client: MlflowClient, experiment: str, run: str, name: str, export: Path, tags: Mapping[str, str], note: str
) -> None:
    """A version of the model `name` made of an export, and the alias on it; an older version with these tags is it already.

    tags: `search_id`, `trial` and `seed`, which say what was trained; run: of the search.
    """
    try:
        client.create_registered_model(name, description="The best model of each session of this search")
    except MlflowException as fault:
        if fault.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{name}'")
    version = next((one for one in versions if tags.items() <= one.tags.items()), None)
    if version is None:
        model = _logged(client, experiment, run, name, export, tags)
        # MLflow's SQL registry looks for a models:/ source by the process's own address, whichever the client has.
        mlflow.set_tracking_uri(client.tracking_uri)
        version = client.create_model_version(
            name, f"models:/{model.model_id}", run, tags=dict(tags), description=note, model_id=model.model_id
        )
    client.set_registered_model_alias(name, ALIAS, version.version)


def dethrone(client: MlflowClient, name: str) -> None:
    """Take the alias from the champion of an earlier session, if there is one: it is not the winner of this session."""
    try:
        client.delete_registered_model_alias(name, ALIAS)
    except MlflowException as fault:
        if fault.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _logged(
    client: MlflowClient, experiment: str, run: str, name: str, export: Path, tags: Mapping[str, str]
) -> LoggedModel:
    """The export as a logged model; one that an earlier attempt began is completed."""
    wanted = " and ".join(f"tags.{tag} = '{value}'" for tag, value in tags.items())
    found = client.search_logged_models([experiment], filter_string=wanted, max_results=1)
    # A logged model's name may hold no dot, other than a registered one's.
    model = found[0] if found else client.create_logged_model(experiment, name.replace(".", "-"), run, dict(tags))
    if model.status != LoggedModelStatus.READY:
        with tempfile.TemporaryDirectory(prefix="vpr-search-") as scratch:
            folder = Path(scratch) / "model"
            save(folder, export)
            client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model


def save(folder: Path, export: Path) -> None:
    """An MLflow model: images (B, 3, H, W) float32 in 0..1 -> descriptors (B, D), with its signature and an input example."""
    # Only the end of a search needs these, and importing them takes two seconds.
    import mlflow.onnx
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    wanted = json.loads((export / "config.json").read_text())["input"]
    size = (3, wanted["height"], wanted["width"])
    images = TensorSpec(np.dtype("float32"), (-1, *size), "images")
    descriptors = TensorSpec(np.dtype("float32"), (-1, wanted["descriptor_size"]), "descriptors")
    mlflow.onnx.save_model(
        onnx.load(export / "model.onnx"),
        folder,
        signature=ModelSignature(Schema([images]), Schema([descriptors])),
        input_example={"images": _example(*size)},
        pip_requirements=["onnx", "onnxruntime"],
    )
    (folder / EXPORT).mkdir()
    for part in ANYWHERE:
        if (export / part).exists():
            shutil.copy(export / part, folder / EXPORT / part)


def _example(channels: int, height: int, width: int) -> np.ndarray:
    """(1, 3, H, W): a slope of grey, in few digits, since MLflow keeps it as text."""
    slope = np.linspace(0, 1, height, dtype=np.float32).round(2)
    return np.broadcast_to(slope[None, None, :, None], (1, channels, height, width)).copy()
