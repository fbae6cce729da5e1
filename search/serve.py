"""MLflow's server of a cluster, on its head, while Ray runs there. `python search/serve.py --folder ~/mlflow`."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from vpr import cli
from vpr.errors import ConfigError

START_SECONDS = 120.0
PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class ServeSettings:
    """Serve MLflow on this machine alone (127.0.0.1) until its Ray ends."""

    folder: Path = Path("mlflow")
    """For mlflow.db and the artifacts."""
    store: str | None = None
    """Another database than mlflow.db, such as postgresql://user:password@host/mlflow."""
    port: int = 5000


def main(settings: ServeSettings) -> int:
    """Returns 0 once Ray has ended; raises ConfigError where there is no Ray, or the server does not start."""
    if not (ray := _gcs()):
        raise ConfigError("Ray does not run on this machine; `ray start --head` comes first")
    until = time.monotonic() + START_SECONDS
    while _answers(settings.port) and time.monotonic() < until:  # the server of a Ray that has just ended
        time.sleep(PAUSE_SECONDS)
    if _answers(settings.port):
        raise ConfigError(f"port {settings.port} is taken; is MLflow served already? Give another --port")
    settings.folder.mkdir(parents=True, exist_ok=True)
    store = settings.store or f"sqlite:///{settings.folder.resolve() / 'mlflow.db'}"
    mlflow = [sys.executable, "-m", "mlflow"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # The tables are there before anyone asks for them.
    subprocess.run([*mlflow, "db", "upgrade", store], check=True, env=environment)
    artifacts = str(settings.folder.resolve() / "artifacts")
    command = [*mlflow, "server", "--host", "127.0.0.1", "--port", str(settings.port), "--workers", "1"]
    command += ["--backend-store-uri", store, "--artifacts-destination", artifacts]
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(settings.port):
            if server.poll() is not None or time.monotonic() > until:
                raise ConfigError("MLflow's server did not start; see above")
            time.sleep(0.2)
        print(f"MLflow is served at http://127.0.0.1:{settings.port}", flush=True)
        with suppress(psutil.NoSuchProcess):
            while ray.is_running() and ray.status() != psutil.STATUS_ZOMBIE and server.poll() is None:
                time.sleep(PAUSE_SECONDS)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
    return 0


def _gcs() -> psutil.Process | None:
    """The process of this machine's Ray head."""
    return next((process for process in psutil.process_iter(["name"]) if process.info["name"] == "gcs_server"), None)


def _answers(port: int) -> bool:
    with socket.socket() as knock:
        knock.settimeout(1)
        return knock.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    cli.run(main, ServeSettings, "python search/serve.py")
