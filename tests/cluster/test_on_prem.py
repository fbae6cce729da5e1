"""Three machines by the file of the documentation: a search from a fourth one, a worker that loses its power, and nothing left behind.

`make test-cluster`, as root: the machines are network, process and mount namespaces of this one, on a bridge that nothing can leave.
"""

import json
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from vpr.minicity import write

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
NEEDED = ("ip", "ssh", "rsync", "unshare")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, NEEDED)) or not Path("/usr/sbin/sshd").exists(),
    reason="hosts need root and Debian's iproute2, openssh-server, openssh-client and rsync",
)
TRIALS, EPOCHS = 8, 6
FLAGS = [
    *("--name", "net", "--trials", str(TRIALS), "--confirm", "1"),
    *("--epochs", str(EPOCHS), "--confirm-seeds", "1", "--cpus-per-trial", "2", "--set=model/weights=none"),
    *(
        "--early-stopping",
        "none",
        "--set=model/dim=64",
        "--set=data/image_size=64x112",
        "--set=data/places_per_batch=8",
    ),
]


class Hosts:
    """The machines, and the one from which `ray up` is typed."""

    def __init__(self, place: Path) -> None:
        self.place = place
        home = place / "home"
        home.mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAYHOSTS_DIR": str(place / "hosts"),
            "RAYHOSTS_VENV": str(Path(sys.executable).parents[1]),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
        }
        self.shared = place / "hosts/shared"
        self.file = place / "on-prem.yaml"

    def hosts(self, *words: str) -> str:
        command = ["bash", str(HERE / "hosts.sh"), *words]
        own = {**self.environment, "HOME": os.environ["HOME"]}  # an interpreter that lies in it stays reachable
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def readme(self, start: str) -> str:
        """The command of the README's cluster chapter, for this cluster's file and sets."""
        chapter = (ROOT / "README.md").read_text().partition("## GPUs and clusters")[2].partition("\n## ")[0]
        (line,) = [line for line in chapter.splitlines() if line.startswith(start)]
        command = line.partition("  #")[0].replace("docs/clusters/on-prem.yaml", str(self.file))
        return command.replace("/mnt/shared/vpr", "/mnt/shared/city")

    def command(self, command: str) -> "subprocess.CompletedProcess[str]":
        """What a person types, from the project's folder."""
        given = {"cwd": ROOT, "env": self.environment, "stdin": subprocess.DEVNULL}
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300, **given)

    def on_head(self, command: str) -> "subprocess.CompletedProcess[str]":
        return self.command(f"ray exec {self.file} 'cd vpr-search && {command}'")

    def up(self) -> None:
        # With the environment in its place, as there is no network to install it from.
        installed = self.place / "hosts/home/vpr-search/.venv"
        installed.parent.mkdir(parents=True)
        installed.symlink_to(self.environment["RAYHOSTS_VENV"])
        try:
            self.hosts("up", "3")
        except AssertionError as fault:
            pytest.skip(f"no hosts can be made of this machine: {fault}")
        config = yaml.safe_load((ROOT / "docs/clusters/on-prem.yaml").read_text())
        config["cluster_name"] = f"test-{os.getpid()}"
        config["provider"] |= {"head_ip": "10.77.0.1", "worker_ips": ["10.77.0.2", "10.77.0.3"]}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(self.place / "hosts/key/id")}
        self.file.write_text(yaml.safe_dump(config))
        made = self.command(self.readme("ray get-auth-token"))
        assert made.returncode == 0, made.stderr
        started = self.command(self.readme("ray up"))
        assert started.returncode == 0, started.stdout[-3000:] + started.stderr[-3000:]

    def doctor(self) -> "subprocess.CompletedProcess[str]":
        return self.command(self.readme("ray exec"))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    found = Hosts(tmp_path_factory.mktemp("cluster"))
    try:
        found.up()
        write(found.shared / "city", scale=0.1)
        yield found
    finally:
        found.hosts("down")
        for left in Path("/tmp/ray").glob(f"cluster-test-{os.getpid()}.*"):
            left.unlink()


def wait_for(what, seconds=120):
    """The first true answer."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.5)
    raise TimeoutError(f"not within {seconds} s")


def test_the_doctor_finds_all_machines_well(hosts):
    started = time.monotonic()
    seen = []

    def is_well():
        seen.append(hosts.doctor())
        return seen[-1].returncode == 0

    try:
        wait_for(is_well, 150)
    except TimeoutError:
        pytest.fail(seen[-1].stdout + seen[-1].stderr)
    print(f"\nwell after {time.monotonic() - started:.0f} s\n{seen[-1].stdout}")
    assert "all is well" in seen[-1].stdout and all(f"rh{number} " in seen[-1].stdout for number in (1, 2, 3))


def test_the_doctor_names_what_is_wrong(hosts):
    hosts.hosts("ssh", "2", "echo '# other' >> vpr-search/vpr/errors.py && mount -t tmpfs tmpfs /mnt/shared")
    found = hosts.doctor()
    refused = hosts.on_head(f".venv/bin/python search/run.py --data /mnt/shared/city {' '.join(FLAGS)}")
    hosts.hosts("ssh", "2", "sed -i '$ d' vpr-search/vpr/errors.py; umount /mnt/shared")
    print(found.stdout)
    assert found.returncode != 0 and "3 faults" in found.stdout
    for words in ("its code differs: bring", "it does not share /mnt/shared/results", "its data cannot be read"):
        assert f"to mend   rh2 (10.77.0.2): {words}" in found.stdout
    assert "error: rh2 (10.77.0.2): its code differs" in refused.stdout


def events(hosts):
    file = hosts.shared / "results/net/history.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [json.loads(line) for line in lines]


def epochs_on(hosts, host, since=0.0):
    """Trials that had an epoch there since a time and have not ended, the latest last."""
    found = [
        (event["trial"], event["seed"])
        for event in events(hosts)
        if event["event"] == "epoch" and event["worker"].startswith(f"{host}:") and event["at"] > since
    ]
    ended = [(event["trial"], event["seed"]) for event in events(hosts) if event["event"] == "ended"]
    return [key for key in found if key not in ended]


def hears_ctrl_c():
    """Also where these tests run in the background of a shell, which lets all its children ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def printed(hosts):
    """A search from the machine of `ray up`: left, watched again, stopped, resumed; then host 3 loses its power and comes back."""
    typed = hosts.readme("python search/run.py --cluster").partition(" --trials")[0]
    command = ["python", "-u", *shlex.split(typed)[1:], *FLAGS]
    log = hosts.place / "watched.log"
    answers, terminal = pty.openpty()

    def watch():
        with log.open("ab") as sink:
            given = {"cwd": ROOT, "env": hosts.environment, "preexec_fn": hears_ctrl_c}
            return subprocess.Popen(command, stdin=terminal, stdout=sink, stderr=sink, **given)

    def leave(answer):
        """Ctrl-C, and what is typed then."""
        asked = log.read_text().count("stop the search there too?")
        watching.send_signal(signal.SIGINT)
        wait_for(lambda: log.read_text().count("stop the search there too?") > asked, 30)
        os.write(answers, answer)
        assert watching.wait(120) == 130, log.read_text()

    watching = watch()
    try:
        wait_for(lambda: epochs_on(hosts, "rh2") or watching.poll() is not None, 240)
        assert watching.poll() is None, log.read_text()
        leave(b"n\n")
        watching = watch()
        wait_for(lambda: log.read_text().count("runs on   the Ray cluster") == 2, 60)
        leave(b"y\n")
        resumed_at = time.time()
        watching = watch()
        wait_for(lambda: len(epochs_on(hosts, "rh3", resumed_at)) > 1 or watching.poll() is not None, 240)
        lost = epochs_on(hosts, "rh3", resumed_at)[-1]
        lost_at = time.time()
        hosts.hosts("kill", "3")
        wait_for(lambda: "is gone" in log.read_text(), 60)
        hosts.hosts("boot", "3")
        wait_for(lambda: "joined" in log.read_text(), 120)
        assert watching.wait(800) == 0, log.read_text()
    finally:
        print(log.read_text())
        print(hosts.hosts("ssh", "1", "tail -n 40 /tmp/ray/session_latest/logs/monitor.log"))
        if watching.poll() is None:
            watching.kill()
    return log.read_text(), lost, lost_at


def test_a_search_uses_all_workers_and_survives_the_loss_of_one(hosts, printed):
    text, lost, lost_at = printed
    found = events(hosts)
    searched = [event for event in found if event["event"] == "suggested" and event["seed"] is None]
    assert len(searched) == TRIALS
    epochs = [event for event in found if event["event"] == "epoch"]
    assert {event["worker"].partition(":")[0] for event in epochs} == {"rh2", "rh3"}, "no trial runs on the head"
    per_epoch = Counter((event["trial"], event["seed"], event["metrics"]["epoch"]) for event in epochs)
    assert set(per_epoch.values()) == {1}
    again = [event for event in found if event["event"] == "again" and event["at"] > lost_at]
    assert [(event["trial"], event["seed"]) for event in again] == [lost], "one trial was lost, and went on"
    known = [event for event in epochs if (event["trial"], event["seed"]) == lost and event["at"] < again[0]["at"]]
    assert again[0]["epoch"] == len(known), "it lost the epoch that it was in, and no other"
    assert any(event["worker"].startswith("rh3:") and event["at"] > lost_at + 10 for event in epochs), "it trains again"
    for words in ("10.77.0.3) is gone", "10.77.0.3) joined", f"lost      the worker of trial {lost[0]}"):
        assert words in text


def test_each_trial_stands_once_in_every_record(hosts, printed):
    summary = json.loads((ROOT / "results/net/summary.json").read_text())
    shutil.rmtree(ROOT / "results/net")
    assert sorted(entry["id"] for entry in summary["trials"]) == list(range(TRIALS))
    backend = JournalFileBackend(str(hosts.shared / "results/net/study.journal"))
    study = optuna.load_study(study_name="net", storage=JournalStorage(backend))
    assert [trial.state.is_finished() for trial in study.trials] == [True] * TRIALS
    asked = (
        "from mlflow import MlflowClient; client = MlflowClient('http://127.0.0.1:5000'); "
        "runs = client.search_runs([client.get_experiment_by_name('vpr-search').experiment_id]); "
        "print('RUNS', [run.data.tags['trial_id'] for run in runs])"
    )
    told = hosts.hosts("ssh", "1", f'vpr-search/.venv/bin/python -c "{asked}"')
    names = json.loads(told.partition("RUNS ")[2].replace("'", '"'))
    again = [f"{one['trial']}-seed-{run['seed']}" for one in summary["finalists"] for run in one["seeds"]]
    assert Counter(names) == Counter(["search", *map(str, range(TRIALS)), *again])


def test_what_was_found_comes_home(printed):
    text, *_ = printed
    assert "home      export, gallery.html, report.html, summary.json in results/net" in text


def test_the_same_command_watches_again_and_goes_on_after_a_stop(printed):
    text, *_ = printed
    jobs = [line.partition("as job ")[2].partition(";")[0] for line in text.splitlines() if "as job vpr-net-" in line]
    assert len(jobs) == 3 and jobs[0] == jobs[1] != jobs[2]
    assert "the same command watches it again" in text and "go on with: python search/run.py --name net" in text
    assert "resumed   " in text


def test_a_wrong_token_is_refused(hosts):
    refused = hosts.on_head("RAY_AUTH_TOKEN=0000 .venv/bin/python search/doctor.py")
    assert refused.returncode != 0 and "auth_token" in refused.stdout and "Traceback" not in refused.stdout


def test_ray_down_leaves_nothing_running(hosts):
    done = hosts.command(hosts.readme("ray down"))
    assert done.returncode == 0, done.stdout + done.stderr

    def left():
        """Of Ray and of MLflow, on any host; seconds after it lost its head, a worker's raylet and what it started are gone too."""
        inside = {name: hosts.hosts("ssh", name, "ps -e -o args=") for name in "123"}
        running = [line for text in inside.values() for line in text.splitlines()]
        return [line for line in running if line.startswith("ray::") or "/ray/" in line or "mlflow" in line]

    try:
        wait_for(lambda: not left(), 90)
    except TimeoutError:
        pytest.fail("\n".join(left()))
