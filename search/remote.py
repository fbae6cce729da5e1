"""A search that runs on the head of a cluster while its command was typed elsewhere: submitted, followed, brought home."""

import asyncio
import base64
import http.client
import io
import logging
import os
import shlex
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.settings import SearchSettings, timely_name
from vpr.errors import ConfigError, VPRError

PROJECT = "vpr-search"
"""Below the home folder of every machine, as the clusters' files have it."""
START_SECONDS = 60.0
PAUSE_SECONDS = 3.0
HOME = "results"
"""Where summary, report and export are brought to, here."""
PACKED, END = "packed:", "packed to the end"
"""How lines begin that hold results: what Ray itself writes may stand between them."""


def is_asked_for(settings: SearchSettings) -> bool:
    """Whether this command is for another machine: --cluster FILE, or RAY_ADDRESS=http://…"""
    return settings.cluster is not None or os.environ.get("RAY_ADDRESS", "").startswith(("http://", "https://"))


def run(settings: SearchSettings) -> int:
    """Submit this command as a job of the cluster, or find the one that runs; follow it, bring its results home.

    Returns its exit code; 130 where watching was stopped. Raises ConfigError where the cluster cannot be reached.
    """
    if settings.cluster is not None and not settings.cluster.is_file():
        raise ConfigError(f"--cluster {settings.cluster} is no file; give the one that `ray up` was given")
    if "RAY_AUTH_MODE" not in os.environ and Path("~/.ray/auth_token").expanduser().is_file():
        os.environ["RAY_AUTH_MODE"] = "token"  # the one that `ray up` brought to all machines
    if settings.cluster is None:
        return _run(settings, os.environ["RAY_ADDRESS"])
    with _tunnel(settings.cluster) as address:
        return _run(settings, address)


def _run(settings: SearchSettings, address: str) -> int:
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)  # it tells of every closed connection
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # Ray takes a RAY_ADDRESS of the environment before what it is given
    try:
        client = JobSubmissionClient(address)
        job, name = _running(client) or _submitted(client, settings)
    except VPRError:
        raise
    except Exception as fault:  # connection errors, HTTP errors and Ray's own have no common type
        reason = " ".join(str(fault).split())[:300]
        raise ConfigError(f"the cluster at {address} takes no job ({reason}); is it up? `ray up` starts it") from None
    print(f"runs on   {settings.cluster or address} as job {job}; Ctrl-C asks whether to stop it", flush=True)
    is_stopped, printed = False, Printed()
    while True:
        try:
            asyncio.run(_follow(client, job, printed))
            break
        except KeyboardInterrupt:
            if is_stopped or not _is_to_stop():
                state = "is ending" if is_stopped else "goes on"
                print(f"the search {state} there; the same command watches it again (job {job})")
                return 130
            client.stop_job(job)
            is_stopped = True
    code = client.get_job_info(job).driver_exit_code
    if (code in (0, 1) or is_stopped) and not settings.dry_run:
        _bring_home(client, settings, name)
    if is_stopped:
        named = _command() if settings.name else [*_command(), "--name", name]
        where = f"--cluster {shlex.quote(str(settings.cluster))} " if settings.cluster else ""
        print(f"go on from here with: python search/run.py {where}{shlex.join(named)}")
        return 130
    return 1 if code is None else code


def _command() -> list[str]:
    """The flags that were typed, without those that say where."""
    flags, rest = [], iter(sys.argv[1:])
    for flag in rest:
        if flag == "--cluster":
            next(rest, None)
        elif not flag.startswith("--cluster="):
            flags.append(flag)
    return flags


def _running(client: Any) -> tuple[str, str] | None:
    """Job and search of the same command, where it runs already."""
    for job in client.list_jobs():
        known = job.metadata or {}
        if known.get("command") == shlex.join(_command()) and not job.status.is_terminal():
            return str(job.submission_id), known["search"]
    return None


def _submitted(client: Any, settings: SearchSettings) -> tuple[str, str]:
    from search.facts import code_hash

    typed = settings.space or "losses"
    space = Path(typed)
    name = settings.name or timely_name(typed)
    quoted = [shlex.quote(flag) for flag in _command()]
    if settings.name is None:
        quoted += ["--name", name]
    with tempfile.TemporaryDirectory() as folder:
        if space.suffix == ".py":  # the user's own, which goes with the job into the folder where it starts
            if not space.is_file():
                raise ConfigError(f"--space {space} is no file here; give a shipped space or a file of this machine")
            (Path(folder) / space.name).write_bytes(space.read_bytes())
            there = '"$OLDPWD"/' + shlex.quote(space.name)
            others = {shlex.quote(typed): there, shlex.quote(f"--space={typed}"): f"--space={there}"}
            quoted = [others.get(flag, flag) for flag in quoted]
        job = client.submit_job(
            entrypoint=f"cd ~/{PROJECT} && VPR_CODE={code_hash()} .venv/bin/python -u search/run.py {' '.join(quoted)}",
            submission_id=f"vpr-{name}-{time.strftime('%H%M%S')}",
            metadata={"command": shlex.join(_command()), "search": name},
            runtime_env={"working_dir": folder} if space.suffix == ".py" else None,
        )
    return job, name


@dataclass
class Printed:
    """How much of a job's output was shown here."""

    characters: int = 0


async def _follow(client: Any, job: str, printed: Printed) -> None:
    """Print what the job prints, once and to its end, also where the connection breaks in between.

    Raises ConfigError where the cluster does not know the job any more.
    """
    from aiohttp import ClientError
    from ray.exceptions import RayError

    while True:
        passed = 0
        try:
            async for text in client.tail_job_logs(job):
                passed += len(text)
                if passed > printed.characters:
                    print(text[printed.characters - passed :], end="", flush=True)
                    printed.characters = passed
            if client.get_job_status(job).is_terminal():
                return
        except (OSError, RuntimeError, ClientError, RayError) as fault:
            if "404" in str(fault):
                raise ConfigError(f"the cluster does not know job {job} any more; the same command goes on") from None
            print(f"connection lost ({type(fault).__name__}); trying again", file=sys.stderr)
        await asyncio.sleep(PAUSE_SECONDS)


def _is_to_stop() -> bool:
    if not sys.stdin.isatty():
        return False
    try:
        answer = input("\nstop the search there too? It can be resumed. [y/N] ")
    except (EOFError, KeyboardInterrupt):
        return False
    return answer.strip().lower() in ("y", "yes")


def _bring_home(client: Any, settings: SearchSettings, name: str) -> None:
    """Through a job's own output: the one way that is there whether or not the machines share files with this one."""
    is_given = any(flag.split("=")[0] == "--storage" for flag in _command())
    storage = shlex.quote(str(settings.storage)) if is_given else '"${VPR_STORAGE:-results}"'
    wanted = "$(ls -d summary.json report.html gallery.html export 2>/dev/null)"
    packing = f"set -o pipefail; tar -cz {wanted} | base64 | sed s/^/{PACKED}/ && echo {END}"
    job = client.submit_job(entrypoint=f"cd ~/{PROJECT} && cd {storage}/{name} && bash -c {shlex.quote(packing)}")
    while not client.get_job_status(job).is_terminal():
        time.sleep(0.5)
    found = client.get_job_logs(job)
    client.delete_job(job)
    lines = found.splitlines()
    if END not in lines:
        print(f"nothing could be brought home: {' '.join(found.split())[-200:]}", file=sys.stderr)
        return
    packed = base64.b64decode("".join(line.removeprefix(PACKED) for line in lines if line.startswith(PACKED)))
    home = Path(HOME) / name
    home.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        archive.extractall(home, filter="data")
    print(f"home      {', '.join(sorted(file.name for file in home.iterdir()))} in {home}")


@contextmanager
def _tunnel(file: Path) -> Iterator[str]:
    """The address at which the dashboard of the cluster's head answers here, through ssh."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tunnel_once = [sys.executable, "-m", "ray.scripts.scripts", "dashboard", str(file), "-p", str(port)]
    # One that stood for a while and broke, as when a laptop slept, is made again.
    again = 'SECONDS=0; "$@"; [ $SECONDS -gt 30 ] || exit 1; while :; do sleep 3; "$@"; done'
    command = ["bash", "-c", again, "tunnel", *tunnel_once]
    with tempfile.TemporaryFile("w+") as said:
        # In a session of its own: Ctrl-C is for the watcher, not for the tunnel.
        tunnel = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            until = time.monotonic() + START_SECONDS
            while not _answers(port):
                if tunnel.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    reason = " ".join(said.read().split())[-300:]
                    raise ConfigError(
                        f"no tunnel to the head of {file} ({reason}); is it up? `ray up {file}` starts it"
                    )
                time.sleep(0.3)
            yield f"http://127.0.0.1:{port}"
        finally:
            if tunnel.poll() is None:
                os.killpg(tunnel.pid, 15)
                tunnel.wait()


def _answers(port: int) -> bool:
    try:
        knock = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        knock.request("GET", "/api/version")
        return knock.getresponse().status in (200, 401, 403)
    except (OSError, http.client.HTTPException):
        return False
