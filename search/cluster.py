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
import yaml

from search import ray_start
from search.settings import SearchSettings
from vpr.errors import ConfigError

PARTS_OF_RAY = ("raylet", "gcs_server")
"""Without either a driver waits for ever."""
started: list[psutil.Process] = []
"""Those that this process started."""


@dataclass(frozen=True)
class Machine:
    """What Ray may use of a machine."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Slots:
    """What a trial gets, and how many run at once."""

    cpus: int
    gpus: float
    count: int
    """When the search began; of a cluster that scales, as many as it may come to have."""
    where: str
    why: str
    """What sets their number."""
    is_cluster: bool = False
    limit: int | None = None
    """--max-concurrent."""

    def describe(self) -> str:
        gpus = f" and {self.gpus:g} GPUs" if self.gpus else ""
        cores = "1 core" if self.cpus == 1 else f"{self.cpus} cores"
        return f"{self.where}: {self.count} trials at once, each {cores}{gpus}"

    @property
    def device(self) -> str:
        """Without a GPU of its own a trial stays off all of them."""
        return "cuda" if self.gpus else "cpu"

    @property
    def resources(self) -> dict[str, float]:
        return {"cpu": self.cpus, "gpu": self.gpus}

    def now(self) -> int:
        """How many may run at once now: more than at first where machines have joined."""
        if not self.is_cluster:
            return self.count
        fitting = sum(_trials(machine, self.cpus, self.gpus) for machine in _machines())
        return self.limit or max(fitting, self.count if _to_come() else 1)


def connect(settings: SearchSettings) -> Slots:
    """Join the cluster of this machine (or of RAY_ADDRESS), or count what Ray may use here; `wait` follows.

    Raises:
        ConfigError: No trial fits, or the cluster cannot be joined.
    """
    if address() is None:
        slots = fit(settings, [Machine(*ray_start.resources())], "this machine")
        ray_start.start_early()
        return slots
    where, _ = join()
    return fit(settings, _to_come() or _machines(), where, is_cluster=True)


def wait(slots: Slots) -> None:
    """Return when Ray runs; a cluster that was joined runs already."""
    if not slots.is_cluster:
        _start_here()


def _start_here() -> None:
    ray_start.start_here()
    started[:] = [child for child in psutil.Process().children() if child.name() in PARTS_OF_RAY]


def address() -> str | None:
    """Return where the cluster is that this process would join, or None where Ray is started for it."""
    return os.environ.get("RAY_ADDRESS") or started_here()


def join() -> tuple[str, bool]:
    """Where this process is connected to now, and whether that is a cluster that was there before. Raises ConfigError."""
    there = address()
    if there is None:
        _start_here()
        return "this machine", False
    try:
        _knock(there)
    except OSError:
        raise ConfigError(
            f"the Ray cluster at {there} does not answer; start it, or unset RAY_ADDRESS and run `ray stop` to use this machine"
        ) from None
    try:
        ray.init(address=there, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as fault:  # a token that is missing or wrong; Ray has no one type for it
        reason = " ".join(str(fault).split())[:200]
        raise ConfigError(
            f"the Ray cluster at {there} cannot be joined ({reason}); are RAY_AUTH_MODE and ~/.ray/auth_token those of the cluster?"
        ) from None
    return f"the Ray cluster at {there} with {len(_machines())} machines", True


def check_ray(resume: str, before: Callable[[], None] = lambda: None) -> None:
    """End this process, with the command to `resume`, where the Ray that it started has died: nothing else would. before: called first."""
    if dead := _dead():
        before()
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


def _machines() -> list[Machine]:
    """Those that are there."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Machine(found.get("CPU", 0), found.get("GPU", 0)) for found in alive]


def _to_come() -> list[Machine]:
    """Those that the cluster may scale up to, by the file of `ray up`; none where that does not say.

    Source: https://docs.ray.io/en/latest/cluster/vms/references/ray-cluster-configuration.html
    """
    config = bootstrap()
    if config is None:
        return []
    kinds = [kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]]
    found = [
        Machine(kind["resources"].get("CPU", 0), kind["resources"].get("GPU", 0))
        for kind in kinds
        if kind.get("resources")
        for _ in range(kind.get("max_workers", 0))
    ]
    return found[: config.get("max_workers", len(found))]


def bootstrap() -> dict[str, Any] | None:
    """The cluster's file as `ray up` left it on the head; None elsewhere."""
    file = Path("~/ray_bootstrap_config.yaml").expanduser()
    return yaml.safe_load(file.read_text()) if file.is_file() else None


def _trials(machine: Machine, cpus: float, gpus: float) -> int:
    """That fit on a machine. A share below 1 must fit on one GPU: two GPUs hold two trials of 0.6, not three."""
    by_cpu = math.floor(machine.cpus / cpus)
    return min(by_cpu, _by_gpu(machine, gpus)) if gpus else by_cpu


def _by_gpu(machine: Machine, gpus: float) -> int:
    """Trials with `gpus` each for which a machine has GPUs."""
    return math.floor(machine.gpus / gpus) if gpus >= 1 else math.floor(1 / gpus) * math.floor(machine.gpus)


def fit(settings: SearchSettings, machines: list[Machine], where: str, is_cluster: bool = False) -> Slots:
    """The slots on machines; raises ConfigError where none fits a trial."""
    if is_cluster and not any(one.cpus for one in machines):
        raise ConfigError(f"{where} has no worker yet; wait until one has joined (python search/doctor.py shows them)")
    has = f"no machine of {where} has more than" if is_cluster else f"{where} has"
    most_cpus, most_gpus = (max(getattr(one, part) for one in machines) for part in ("cpus", "gpus"))
    gpus = settings.gpus_per_trial if settings.gpus_per_trial is not None else float(most_gpus > 0)
    if gpus > most_gpus:
        raise ConfigError(f"--gpus-per-trial {gpus:g}, but {has} {most_gpus:g} GPUs; lower it (0 trains on the CPU)")
    own = [one for one in machines if one.gpus >= gpus] if gpus else machines
    shares = [one.cpus / count for one in own if gpus and (count := _by_gpu(one, gpus))]
    cpus = settings.cpus_per_trial or (max(1, math.floor(min(shares))) if shares else 1)
    if cpus > most_cpus:
        raise ConfigError(f"--cpus-per-trial {cpus}, but {has} {most_cpus:g} cores; lower it")
    fitting = sum(_trials(one, cpus, gpus) for one in machines)
    if not fitting:
        raise ConfigError(f"{where} has no machine for a trial with {cpus} cores and {gpus:g} GPUs; lower one of them")
    total_cpus, total_gpus = (sum(getattr(one, part) for one in machines) for part in ("cpus", "gpus"))
    why = f"{total_gpus:g} GPUs, {gpus:g} for each" if gpus else f"{total_cpus:g} cores, {cpus} for each"
    count = fitting
    if settings.max_concurrent and (is_cluster or settings.max_concurrent <= fitting):
        count, why = settings.max_concurrent, f"--max-concurrent; there are {why}"
    return Slots(cpus, gpus, count, where, why, is_cluster, settings.max_concurrent)
