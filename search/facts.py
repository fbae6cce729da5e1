"""What one machine of a cluster is and has, as it says itself."""

import hashlib
import importlib.metadata
import os
import platform
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.sets import fingerprint_of_sets
from vpr.datasets import find_sets
from vpr.errors import VPRError
from vpr.sources import root_here
from vpr.store import cache_folder

PACKAGES = ("ray", "torch", "torchvision", "optuna", "numpy")
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Facts:
    """Of one machine; what has a fault says it instead."""

    host: str
    versions: str
    """A line each."""
    code: str
    token: str
    """Start of the hash of Ray's token, which itself stays where it is."""
    storage: str
    """What it reads of the driver's probe file."""
    memory_gb: float
    """Free."""
    disk_gb: float
    """Free in the folder for decoded images and copies of sets."""
    data: str = ""
    """Fingerprint of train and val."""
    data_fault: str = ""
    gpu: str = ""


def ask(node_id: str, probe: Path, source: str | None) -> Any:
    """A task on that machine alone, which takes no core and returns its Facts."""
    there: Any = NodeAffinitySchedulingStrategy(node_id, soft=False)
    return ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there)(look_around).remote(probe, source)


def look_around(probe: Path, source: str | None) -> Facts:
    """The facts of this machine. probe: a file that the driver wrote to the storage; source: also compare the sets, and look at GPUs."""
    versions = [f"{name} {_version(name)}" for name in PACKAGES]
    cache = next(folder for folder in (cache_folder(), *cache_folder().parents) if folder.exists())
    return Facts(
        socket.gethostname(),
        "\n".join((f"python {platform.python_version()}", *versions)),
        code_hash(),
        token_hash(),
        _storage(probe),
        psutil.virtual_memory().available / 1e9,
        shutil.disk_usage(cache).free / 1e9,
        *(("", "", "") if source is None else (*_data(source), _gpu())),
    )


def code_hash() -> str:
    """Changes with any of the project's own source files."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for file in sorted(file for room in ("vpr", "search", "spaces") for file in (root / room).rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def token_hash() -> str:
    """`off` without token authentication.

    Source: https://docs.ray.io/en/latest/ray-security/token-auth.html
    """
    if os.environ.get("RAY_AUTH_MODE") != "token":
        return "off"
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    token = os.environ.get("RAY_AUTH_TOKEN") or (file.read_text() if file.is_file() else "")
    return hashlib.sha256(token.strip().encode()).hexdigest()[:8] if token else "none"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _storage(probe: Path) -> str:
    try:
        found = probe.read_text()
        own = probe.with_name(f"{probe.name}-{uuid4().hex}")
        own.write_text(found)
        own.unlink()
        return found
    except OSError as fault:
        return f"{fault.strerror}: {fault.filename}"


def _data(source: str) -> tuple[str, str]:
    """Fingerprint and fault, one of them empty."""
    try:
        found = find_sets(root_here(source))
        return fingerprint_of_sets(found), ""
    except (VPRError, OSError) as fault:
        return "", " ".join(str(fault).split())


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none"
    free = [torch.cuda.mem_get_info(device)[0] / 1e9 for device in range(torch.cuda.device_count())]
    return f"{len(free)} x {torch.cuda.get_device_name(0)}, {min(free):.0f} GB free"
