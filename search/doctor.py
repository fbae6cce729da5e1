"""Is every machine of the cluster fit for a search? `python search/doctor.py --data DIR --storage DIR`."""

import os
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from search.settings import default_storage
from vpr import cli
from vpr.errors import ConfigError

LEAST_MEMORY_GB, LEAST_DISK_GB = 2.0, 2.0
TABLE_COLUMNS = ("machine", "differs from here", "storage", "GPU", "free memory", "free disk")


@dataclass(frozen=True)
class DoctorSettings:
    """Look at every machine of the cluster that this one belongs to, and say what to mend."""

    data: str | None = None
    """Folder or address of the sets; MiniCity if not given."""
    storage: Path = field(default_factory=default_storage)
    """Folder for results, which all machines share."""
    tracking_uri: str | None = None
    """MLflow address; $MLFLOW_TRACKING_URI if not given, else a file in the storage."""


@dataclass(frozen=True)
class Finding:
    """A line of the table."""

    machine: str
    cells: tuple[str, ...] = ("",) * (len(TABLE_COLUMNS) - 1)
    remedies: tuple[str, ...] = ()


def main(settings: DoctorSettings) -> int:
    """Returns 0 where nothing is wrong, else 2."""
    from search import cluster
    from search.tracking import default_address
    from vpr.sources import MINICITY

    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 160)
    where, _ = cluster.join()
    console.print(f"looks at  {where}", soft_wrap=True)
    nodes = _alive()  # once: who joins while the others are looked at is not well unseen
    findings = [*look(settings.storage, settings.data or MINICITY, nodes), *_absent(nodes)]
    table = Table()
    for column in TABLE_COLUMNS:
        table.add_column(column, no_wrap=column == "machine")
    for finding in findings:
        table.add_row(finding.machine, *finding.cells)
    console.print(table)
    for finding in findings:  # not in the table, where they would be a word wide
        for remedy in finding.remedies:
            console.print(f"to mend   {finding.machine}: {remedy}", soft_wrap=True)
    address = settings.tracking_uri or default_address(settings.storage)
    fault = _tracking_fault(address)
    console.print(f"MLflow    {address}: {fault or 'answers'}", soft_wrap=True)
    count = sum(len(finding.remedies) for finding in findings) + bool(fault)
    console.print("all is well" if not count else f"{count} faults")
    return 2 if count else 0


def check(storage: Path) -> None:
    """What of it takes no second; raises ConfigError with the first fault and how to mend it."""
    from search.facts import code_hash

    if os.environ.get("VPR_CODE", code_hash()) != code_hash():  # search.remote sets it
        raise ConfigError(
            "the cluster has other code than the machine of the command; bring it there: ray up FILE, which ends what runs there"
        )
    for finding in look(storage, None, _alive()):
        if finding.remedies:
            raise ConfigError(f"{finding.machine}: {finding.remedies[0]} (python search/doctor.py shows all machines)")


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def look(storage: Path, source: str | None, nodes: list[dict[str, Any]]) -> list[Finding]:
    """What each machine is and has, beside this one. source: of the sets, which each machine reads; None does not look at them; nodes: as Ray tells of them.

    Raises ConfigError where the storage cannot be written here.
    """
    import ray

    from search.facts import PATIENCE_SECONDS, Facts, ask, look_around

    storage = storage.resolve()
    probe = storage / f"probe.partial-{socket.gethostname()}-{os.getpid()}"
    try:
        storage.mkdir(parents=True, exist_ok=True)
        probe.write_text(probe.name)
    except OSError as fault:
        raise ConfigError(f"--storage {storage} cannot be written here ({fault.strerror}); mend that") from None
    try:
        own = look_around(probe, source)
        tasks = {
            f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})": (ask(node["NodeID"], probe, source), node)
            for node in nodes
        }
        asked = [task for task, _ in tasks.values()]
        ray.wait(asked, num_returns=len(asked), timeout=PATIENCE_SECONDS if source is None else None)
        findings = []
        for machine, (task, node) in tasks.items():
            try:
                found: Facts = ray.get(task, timeout=0)
            except Exception as fault:  # a machine that is lost meanwhile, or does not run our code at all
                reason = (str(getattr(fault, "cause", None) or fault).split("\n")[-1] or type(fault).__name__)[:150]
                findings.append(Finding(machine, remedies=(f"it does not answer ({reason}); start Ray there again",)))
            else:
                findings.append(_compare(machine, found, own, probe, node["Resources"].get("GPU", 0)))
    finally:
        probe.unlink(missing_ok=True)
    return findings


def _compare(machine: str, found: object, own: object, probe: Path, gpus: float) -> Finding:
    from search.facts import Facts

    assert isinstance(found, Facts) and isinstance(own, Facts)
    others = " ".join(sorted(set(found.versions.split("\n")) - set(own.versions.split("\n"))))
    differing = {
        "versions": f"its versions differ ({others}): run `make .venv/.ready` there",
        "code": "its code differs: bring the project there again, with `ray up` of the same file",
        "token": "its token differs: copy ~/.ray/auth_token there, and start Ray with RAY_AUTH_MODE=token",
        "data": "its data differ: bring the same sets there, or give an address that each machine copies",
    }
    differing = {part: remedy for part, remedy in differing.items() if getattr(found, part) != getattr(own, part)}
    if found.data_fault:
        differing["data"] = f"its data cannot be read: {found.data_fault}"
    remedies = list(differing.values())
    if "missing" in found.versions:
        remedies.append("packages are missing there: run `make .venv/.ready`")
    if found.token == "none":
        remedies.append("it has no token: copy ~/.ray/auth_token there")
    if gpus and found.gpu == "none":
        remedies.append(f"Ray counts {gpus:g} GPUs there, PyTorch sees none: mend its driver")
    if found.storage != probe.name:
        remedies.append(f"it does not share {probe.parent} ({found.storage}): mount it there")
    if found.memory_gb < LEAST_MEMORY_GB:
        remedies.append("too little memory is free: end other programs there")
    if found.disk_gb < LEAST_DISK_GB:
        remedies.append("too little disk is free: make room, or set VPR_CACHE to another disk there")
    cells = (
        ", ".join(differing) or "nothing",
        "shared" if found.storage == probe.name else "not shared",
        found.gpu,
        f"{found.memory_gb:.1f} GB",
        f"{found.disk_gb:.0f} GB",
    )
    return Finding(machine, cells, tuple(remedies))


def _absent(nodes: list[dict[str, Any]]) -> list[Finding]:
    """Machines of the cluster's file that are not among the nodes."""
    from search.cluster import bootstrap

    provider = (bootstrap() or {}).get("provider", {})
    there = {node["NodeManagerAddress"] for node in nodes}
    named = [name for name in (provider.get("head_ip"), *provider.get("worker_ips", ())) if name]
    expected = [_address(name) for name in named]
    remedy = "it has not joined: is it on and reachable by ssh? `ray monitor` of the cluster's file tells"
    return [Finding(address, remedies=(remedy,)) for address in expected if address not in there]


def _address(name: str) -> str:
    """Of a machine that the file names; the name itself where nobody knows it."""
    try:
        return socket.gethostbyname(name)
    except OSError:
        return name


def _tracking_fault(address: str) -> str:
    from mlflow import MlflowClient

    try:
        MlflowClient(address).search_experiments(max_results=1)
    except Exception as fault:  # SQLAlchemy, HTTP and MLflow errors have no common type
        return f"does not answer ({' '.join(str(fault).split())[:150]}): start it with python search/serve.py"
    return ""


if __name__ == "__main__":
    cli.run(main, DoctorSettings, "python search/doctor.py")
