"""Where a search runs: on the Ray cluster of this machine, or on a Ray of its own; and how many trials fit."""

import logging
import math
import os
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray

from search.settings import SearchSettings
from vpr.errors import ConfigError

OBJECT_STORE_BYTES = 100 * 1024**2
"""Trials pass files, not objects; Ray's default is a third of the memory."""


PARTS_OF_RAY = ("raylet", "gcs_server")
"""Without either a driver waits for ever."""
started: list[psutil.Process] = []
"""Those that this process started."""


@dataclass(frozen=True)
class Slots:
    """What a trial gets, and how many run at once."""

    cpus: int
    gpus: float
    count: int
    where: str
    why: str
    """What sets their number."""

    def describe(self) -> str:
        gpus = f" and {self.gpus:g} GPUs" if self.gpus else ""
        return f"{self.where}: {self.count} trials at once, each {self.cpus} cores{gpus}"

    @property
    def device(self) -> str:
        """Without a GPU of its own a trial stays off all of them."""
        return "cuda" if self.gpus else "cpu"

    @property
    def resources(self) -> dict[str, float]:
        return {"cpu": self.cpus, "gpu": self.gpus}


def connect(settings: SearchSettings) -> Slots:
    """Join the cluster of this machine (or of RAY_ADDRESS), else start Ray here; raises ConfigError if no trial fits."""
    address = os.environ.get("RAY_ADDRESS") or started_here()
    if is_cluster := address is not None:
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except OSError:
            raise ConfigError(
                f"the Ray cluster at {address} does not answer; start it, or unset RAY_ADDRESS and run `ray stop` to use this machine"
            ) from None
        where = f"the Ray cluster at {address}"
    else:
        ray.init(
            address="local",
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        where = "this machine"
        started[:] = [child for child in psutil.Process().children() if child.name() in PARTS_OF_RAY]
    total = ray.cluster_resources()
    return _fit(settings, total.get("CPU", 0), total.get("GPU", 0), where, is_cluster)


def check_ray(resume: str) -> None:
    """End this process, with the command to `resume`, where the Ray that it started has died: nothing else would."""
    if dead := _dead():
        print(
            f"error: Ray's process {dead[0].pid} on this machine died; nothing is lost, go on with: {resume}",
            file=sys.stderr,
        )
        _end(2)


def leave(code: int) -> int:
    """The exit code; where Ray has died, the process ends with it here, because Ray's own farewell would wait for a minute."""
    if _dead():
        _end(code)
    return code


def _dead() -> list[psutil.Process]:
    return [process for process in started if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE]


def _end(code: int) -> None:
    for child in psutil.Process().children(recursive=True):
        child.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fetch(task: Any, look: Callable[[], None]) -> Any:
    """What a remote task returns; raises what it raised. look: called every second until then."""
    while not ray.wait([task], timeout=1)[0]:
        look()
    return ray.get(task)


def started_here() -> str | None:
    """The address that `ray start` wrote on this machine; a search's own Ray writes none, so searches stay apart."""
    file = Path(tempfile.gettempdir()) / "ray/ray_current_cluster"
    return file.read_text().strip() or None if file.is_file() else None


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT; Ray itself waits for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


def _fit(settings: SearchSettings, cpus: float, gpus: float, where: str, is_cluster: bool) -> Slots:
    gpu_share = settings.gpus_per_trial if settings.gpus_per_trial is not None else float(gpus > 0)
    if gpu_share > gpus and not is_cluster:
        raise ConfigError(
            f"--gpus-per-trial {gpu_share:g}, but {where} has {gpus:g} GPUs; lower it (0 trains on the CPU)"
        )
    if is_cluster and not cpus and settings.gpus_per_trial is None:
        raise ConfigError(f"{where} has no worker yet; say what to wait for with --gpus-per-trial and --max-concurrent")
    # A share below 1 must fit on one GPU: two GPUs hold two trials of 0.6, not three.
    per_gpu = math.floor(1 / gpu_share) if 0 < gpu_share < 1 else 1
    by_gpu = math.floor(gpus / max(gpu_share, 1)) * per_gpu if gpu_share else math.inf
    cpu_share = settings.cpus_per_trial or (max(1, math.floor(cpus / by_gpu)) if 0 < by_gpu < math.inf else 1)
    if cpu_share > cpus and not is_cluster:
        raise ConfigError(f"--cpus-per-trial {cpu_share}, but {where} has {cpus:g} cores; lower it")
    fitting = min(by_gpu, math.floor(cpus / cpu_share))
    # A cluster that still scales up may have nothing yet: then --max-concurrent says how far.
    count = settings.max_concurrent or max(1, fitting)
    count = count if is_cluster else min(count, fitting)
    why = f"{gpus:g} GPUs, {gpu_share:g} for each" if gpu_share else f"{cpus:g} cores, {cpu_share} for each"
    if settings.max_concurrent and count == settings.max_concurrent:
        why = f"--max-concurrent (there are {why})"
    return Slots(cpu_share, gpu_share, int(count), where, why)
