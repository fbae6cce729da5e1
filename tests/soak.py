"""A search under faults: nothing is lost, nothing counted twice, and the numbers are those of a search that nobody disturbed.

`make soak FAULTS=20 SEED=1`. Kills workers, the driver and Ray's own processes, stops the MLflow server and fills the disk (a
small tmpfs, for which it must be root), by a schedule that follows from the seed; types the same command again where the
search ended; and compares the three records with each other and with the undisturbed search.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
import psutil
import tyro
from mlflow import MlflowClient
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from vpr.minicity import write

ROOT = Path(__file__).resolve().parents[1]
LEAVES = [
    *("--set=model/weights=none", "--set=model/dim=32", "--set=data/image_size=48x80"),
    *("--set=data/places_per_batch=8", "--set=data/augment=light"),
]
EPOCHS = 4
TMPFS = "3g"
PATIENCE_SECONDS = 240
"""Without any new line in history.jsonl the soak fails."""


@dataclass(frozen=True)
class Settings:
    faults: int = 20
    seed: int = 1
    outage: float = 30.0
    """Seconds that the MLflow server is away and the disk is full."""


class Search:
    """The command of a search, started again after each of its ends."""

    def __init__(self, name: str, storage: Path, tracking: str, trials: int, environment: dict[str, str]) -> None:
        self.name, self.storage, self.environment = name, storage, environment
        self.folder = storage / name
        self.log = (storage.parent / f"{name}.log").open("ab")
        self.first = [
            *(
                "--name",
                name,
                "--storage",
                str(storage),
                "--data",
                str(storage.parent / "city"),
                "--tracking-uri",
                tracking,
            ),
            *("--trials", str(trials), "--epochs", str(EPOCHS), "--max-concurrent", "1"),
            *("--confirm", "2", "--confirm-seeds", "2", *LEAVES),
        ]
        self.again = ["--name", name, "--storage", str(storage)]
        self.process = self._start(self.first)

    def _start(self, flags: list[str]) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-u", "search/run.py", *flags]
        return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=self.log, stderr=self.log)

    def resume(self) -> None:
        """Type the command again, with nothing but the name, once the process has ended."""
        self.process.wait(PATIENCE_SECONDS)
        self.process = self._start(self.again if (self.folder / "search.json").exists() else self.first)

    def events(self) -> list[dict]:
        file = self.folder / "history.jsonl"
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        return [json.loads(line) for line in lines]

    def epochs(self) -> int:
        return sum(event["event"] == "epoch" for event in self.events())

    def wait_for_epochs(self, count: int) -> bool:
        """Until so many epochs are known; False where the search ended before."""
        known, since = -1, time.monotonic()
        while (found := self.epochs()) < count:
            if found != known:
                known, since = found, time.monotonic()
            if self.process.poll() is not None:
                return False
            assert time.monotonic() - since < PATIENCE_SECONDS, (
                f"nothing new for {PATIENCE_SECONDS} s, see {self.log.name}"
            )
            time.sleep(0.1)
        return True


class Server:
    """An MLflow server on this machine's loopback that can be away for a while."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *(
                "--backend-store-uri",
                f"sqlite:///{folder}/mlflow.db",
                "--artifacts-destination",
                str(folder / "artifacts"),
            ),
        ]
        self.log = (folder / "mlflow.log").open("ab")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, start_new_session=True)
        host, port = self.address.rpartition("//")[2].split(":")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError("the MLflow server does not start")

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def processes(search: Search, kind: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(search.process.pid).children(recursive=True):
        try:
            if kind(child):
                found.append(child)
        except psutil.Error:  # it ended meanwhile
            continue
    return found


def kill_worker(search: Search, server: Server, outage: float, draw: random.Random) -> str:
    # Ray's own names for the actor of a function trainable and our tasks; its other processes are killed by `kill_ray`.
    names = ("ray::Implicit", "ray::measured", "ray::export")
    found: list[psutil.Process] = []
    until = time.monotonic() + 60
    while not found and time.monotonic() < until:
        found = processes(search, lambda process: process.name().startswith(names))
    assert found, "no worker to kill for 60 s"
    for worker in found:
        worker.kill()
    return f"SIGKILL to the worker ({len(found)})"


def kill_driver(search: Search, server: Server, outage: float, draw: random.Random) -> str:
    search.process.kill()
    search.resume()
    return "SIGKILL to the driver, resumed"


def kill_ray(search: Search, server: Server, outage: float, draw: random.Random) -> str:
    name = draw.choice(["raylet", "gcs_server"])
    for process in processes(search, lambda process: process.name() == name):
        process.kill()
    code = search.process.wait(PATIENCE_SECONDS)
    assert code in (0, 2), f"exit code {code} after Ray's {name} died"  # 0 where it was done already
    search.resume()
    return f"SIGKILL to Ray's {name}, resumed"


def stop_server(search: Search, server: Server, outage: float, draw: random.Random) -> str:
    server.stop()
    time.sleep(outage)
    server.start()
    return f"MLflow server away for {outage:.0f} s"


def fill_disk(search: Search, server: Server, outage: float, draw: random.Random) -> str:
    filler = search.storage / "filler"
    with filler.open("wb", buffering=0) as sink:
        try:
            while True:
                sink.write(bytes(1 << 20))
        except OSError:
            pass
    time.sleep(outage)
    filler.unlink()
    return f"storage full for {outage:.0f} s"


def interrupt(search: Search, server: Server, outage: float, draw: random.Random) -> str:
    search.process.send_signal(draw.choice([signal.SIGINT, signal.SIGTERM]))
    code = search.process.wait(PATIENCE_SECONDS)
    assert code == 130, f"exit code {code} after an interruption"
    search.resume()
    return "Ctrl-C or SIGTERM, resumed"


FAULTS = (kill_worker, kill_driver, kill_ray, stop_server, fill_disk, interrupt)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def schedule(settings: Settings) -> list[tuple[int, float, Callable[..., str]]]:
    """For each fault: after how many more epochs it strikes, and how many seconds later; each kind in turn, shuffled."""
    draw = random.Random(settings.seed)
    kinds: list[Callable[..., str]] = []
    while len(kinds) < settings.faults:
        kinds += draw.sample(FAULTS, len(FAULTS))
    return [(draw.randint(1, 2), draw.uniform(0, 2), kind) for kind in kinds[: settings.faults]]


def numbers(search: Search) -> dict:
    """All that a search found, without times."""
    trials: dict = {}
    for event in search.events():
        key = (event.get("trial"), event.get("seed"))
        if event["event"] == "suggested":
            assert key not in trials, f"trial {key} was suggested twice"
            trials[key] = {"leaves": event["leaves"], "epochs": [], "end": None}
        elif event["event"] == "epoch":
            timeless = {
                name: value
                for name, value in event["metrics"].items()
                if "seconds" not in name and name != "train/images_per_second"
            }
            trials[key]["epochs"].append(timeless)
        elif event["event"] == "ended":
            assert trials[key]["end"] is None, f"trial {key} ended twice"
            trials[key]["end"] = (event["state"], event["reason"])
    for key, trial in trials.items():
        assert [epoch["epoch"] for epoch in trial["epochs"]] == list(range(1, len(trial["epochs"]) + 1)), key
    summary = json.loads((search.folder / "summary.json").read_text())
    finalists = [(one["trial"], one["mean"], one["interval"], one["test"]) for one in summary["finalists"]]
    return {"trials": trials, "finalists": finalists, "test": summary["test"], "tie": summary["tie_group"]}


def check_equal(found: dict, expected: dict) -> None:
    """Raises AssertionError with the trainings that differ, or else the part of the answer."""
    trials = {key: (found["trials"].get(key), trial) for key, trial in expected["trials"].items()}
    different = {key: pair for key, pair in trials.items() if pair[0] != pair[1]}
    more = found["trials"].keys() - trials.keys()
    parts = {part: (found[part], expected[part]) for part in expected if found[part] != expected[part]}
    assert not parts, f"the search differs from the undisturbed one: {different or more or parts}"


def check_records(search: Search, server: Server, trials: int, found: dict) -> None:
    """Ray's results (through history.jsonl), Optuna and MLflow tell the same, once."""
    summary = json.loads((search.folder / "summary.json").read_text())
    assert sorted(entry["id"] for entry in summary["trials"]) == list(range(trials))
    backend = JournalFileBackend(str(search.folder / "study.journal"))
    study = optuna.load_study(study_name=search.name, storage=JournalStorage(backend))
    assert len(study.trials) == trials
    states = {"completed": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    for entry in summary["trials"]:
        told, own = study.trials[entry["id"]], found["trials"][entry["id"], None]
        assert told.params == entry["params"] == own["leaves"] and told.state.name == states[entry["state"]], entry[
            "id"
        ]
        assert told.intermediate_values == {epoch["epoch"]: epoch["val/recall_at_1"] for epoch in own["epochs"]}
    client = MlflowClient(server.address)
    experiment = client.get_experiment_by_name("vpr-search")
    assert experiment
    search_id = json.loads((search.folder / "search.json").read_text())["search_id"]
    runs = client.search_runs([experiment.experiment_id], f"tags.search_id = '{search_id}'", max_results=1000)
    names = [run.data.tags["trial_id"] for run in runs]
    wanted = ["search", *(str(number) if seed is None else f"{number}-seed-{seed}" for number, seed in found["trials"])]
    assert Counter(names) == Counter(wanted), (names, wanted)
    for run in runs:
        name = run.data.tags["trial_id"]
        if name == "search":
            continue
        number, _, seed = name.partition("-seed-")
        own = found["trials"][int(number), int(seed) if seed else None]
        assert run.data.tags["state"] == own["end"][0] and run.data.tags["stop_reason"] == own["end"][1]
        for leaf in own["leaves"]:
            assert leaf in run.data.params, leaf
        for metric in run.data.metrics:
            points = [point.step for point in client.get_metric_history(run.info.run_id, metric)]
            assert points == list(range(1, len(own["epochs"]) + 1)), (name, metric, points)


def check_lost(search: Search) -> int:
    """How often a training went on; each time after the last epoch that was known, so that only the one begun was lost."""
    known: Counter = Counter()
    count = 0
    for event in search.events():
        key = (event.get("trial"), event.get("seed"))
        known[key] += event["event"] == "epoch"
        if event["event"] == "again":
            count += 1
            assert event["epoch"] == known[key], f"{key} went on after epoch {event['epoch']} of {known[key]}"
    return count


def main(settings: Settings) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vpr-soak-", ignore_cleanup_errors=True) as place:
        folder = Path(place)
        write(folder / "city", scale=0.1)
        environment = {**os.environ, "VPR_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
        trials = max(8, settings.faults * 4)  # an MLflow server that is away stops nobody: many epochs pass
        server = Server(folder)
        running: list[Search] = []
        with small_disk(folder / "disk"):
            storage = folder / "disk" / "r"
            storage.mkdir()
            (folder / "disk/city").symlink_to(folder / "city")
            try:
                calm = Search("calm", storage, server.address, trials, environment)
                running.append(calm)
                assert calm.process.wait(1800) == 0
                expected = numbers(calm)
                check_records(calm, server, trials, expected)
                print(
                    f"undisturbed: {trials} trials, {calm.epochs()} epochs, {time.monotonic() - began:.0f} s",
                    flush=True,
                )
                search = Search("soak", storage, server.address, trials, environment)
                running.append(search)
                draw = random.Random(settings.seed)
                for number, (more, seconds, fault) in enumerate(schedule(settings), start=1):
                    moment = search.epochs() + more
                    assert search.wait_for_epochs(moment), f"ended with {search.process.returncode} before all faults"
                    time.sleep(seconds)
                    said = fault(search, server, settings.outage, draw)
                    now = time.monotonic() - began
                    print(f"{number:>3}/{settings.faults}  after {moment:>3} epochs, {now:5.0f} s: {said}", flush=True)
                assert search.process.wait(1800) == 0
                found = numbers(search)
                check_equal(found, expected)
                check_records(search, server, trials, found)
                again = check_lost(search)
            except BaseException:
                print(Path(running[-1].log.name).read_text()[-6000:], file=sys.stderr)
                raise
            finally:
                for one in running:
                    if one.process.poll() is None:
                        one.process.kill()
                server.stop()
    print(
        f"{settings.faults} faults: {trials} trials and {len(found['trials']) - trials} confirmations, each once in Ray's results, "
        f"Optuna and MLflow; {again} trainings went on, none lost more than the epoch that it was in; all numbers equal those of "
        f"the undisturbed search ({time.monotonic() - began:.0f} s)"
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
