"""Fetches a registered model for `vpr.load("models:/NAME@champion")`; pyproject.toml names it as the entry point `models`."""

from pathlib import Path

from vpr.errors import WeightsError


def fetch(address: str, folder: Path) -> Path:
    """Download the model at an address of MLflow's registry into `folder`; returns where it lies. Raises WeightsError.

    The registry is MLflow's own choice: MLFLOW_REGISTRY_URI or MLFLOW_TRACKING_URI.
    """
    import mlflow

    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder)))
    except Exception as fault:  # the registry, its store and its files have no common error type
        reason = " ".join(str(fault).split())[:200]
        raise WeightsError(
            f"{address} cannot be fetched from {mlflow.get_registry_uri()} ({reason}); check the name, and set MLFLOW_TRACKING_URI"
        ) from None
