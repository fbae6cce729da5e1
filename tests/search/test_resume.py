"""A search that is interrupted goes on under its name, to the numbers that it would have had."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from search.ledger import read_ledger
from tests.search.commands import ROOT, SETTINGS, refusal, run

pytestmark = pytest.mark.search

TRIALS = 6
FLAGS = ["--trials", str(TRIALS), "--epochs", "2", "--seed", "3", "--max-concurrent", "1"]
CONFIRM = ["--confirm", "1", "--confirm-seeds", "1"]


def numbers(file: Path):
    summary = json.loads(file.read_text())
    trials = sorted(summary["trials"], key=lambda entry: entry["id"])
    again = [(one["trial"], one["mean"], [run["best"] for run in one["seeds"]]) for one in summary["finalists"]]
    return [(entry["params"], entry["state"], entry["best"], entry["stop_reason"]) for entry in trials], again


def on_a_terminal(flags) -> str:
    """What a terminal of 100 x 30 characters gets of a search, its codes included."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "search/run.py", *flags]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = bytearray()
        with suppress(OSError):  # the other side is closed
            while part := os.read(ours, 65536):
                shown += part
    assert process.returncode == 0, shown.decode()
    return shown.decode()


@pytest.fixture(scope="module")
def storage(city, tmp_path_factory):
    """Two searches with the same command: `whole`, on a terminal, and `cut`, in a pipe, which is interrupted twice.

    The first time while two trials wait for others to be compared with, the second after two have ended.
    """
    storage = tmp_path_factory.mktemp("resume")
    flags = ["--data", str(city), "--storage", str(storage), *FLAGS, *CONFIRM, *SETTINGS]
    (storage / "shown").write_text(on_a_terminal(["--name", "whole", *flags]))
    history = storage / "cut/history.jsonl"
    with searching("--name", "cut", *flags) as process:
        while not history.exists() or history.read_text().count('"waits": true') < 2:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130, process.stdout.read()
    events = [json.loads(line)["event"] for line in history.read_text().splitlines()]
    assert "ended" not in events and "released" not in events
    with searching("--name", "cut", "--storage", str(storage)) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(f"  2/{TRIALS}"):
                process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130, "".join(lines)
    (storage / "printed").write_text("".join(lines))
    return storage


def searching(*flags):
    command = [sys.executable, "-u", "search/run.py", *flags]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_terminal_shows_the_picture_and_gets_its_cursor_back(storage):
    text = (storage / "shown").read_bytes().decode()
    assert "confirmations" in text and "slots " in text and f"1/{TRIALS}  trial" in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l") > 0
    assert "export    " in text[text.rfind("\x1b[?25h") :] and "answer    trial" in text


def test_an_interruption_says_how_to_go_on_and_looks_at_no_test_set(storage):
    assert (
        (storage / "printed")
        .read_text()
        .endswith(f"trainings are left; go on with: python search/run.py --name cut --storage {storage}\n")
    )
    assert "The search was interrupted: " in (storage / "cut/report.html").read_text()
    summary = json.loads((storage / "cut/summary.json").read_text())
    states = [entry["state"] for entry in summary["trials"]]
    assert 2 <= len(states) < TRIALS and set(states) <= {"completed", "pruned", "interrupted"} and summary["test"] == {}
    assert {look["search"] for look in read_ledger(storage / "test-ledger.jsonl")} == {"whole"}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--space", "optimizers"], ["--space was losses, now optimizers"]),
        (["--set=model/dim=16"], ["model/dim was 32, now 16", "--fresh"]),
        (["--seed", "4"], ["--seed was 3, now 4"]),
        (["--trials", "3"], [f"--trials was {TRIALS}, now 3, and can only be raised"]),
        (
            ["--early-stopping", "median", "--epochs", "3"],
            ["--early-stopping was asha", "training/epochs was 2, now 3"],
        ),
    ],
)
def test_another_search_under_the_same_name_is_refused_with_the_difference(storage, monkeypatch, capfd, flags, words):
    printed = refusal(monkeypatch, capfd, "run", "--name", "cut", "--storage", storage, *flags)
    assert all(word in printed for word in words), printed


def test_the_name_alone_goes_on_to_the_same_numbers(storage):
    done = run("run", "--name", "cut", "--storage", str(storage))
    assert done.returncode == 0, done.stdout + done.stderr
    whole, cut = (numbers(storage / name / "summary.json") for name in ("whole", "cut"))
    assert whole == cut and len(whole[0]) == TRIALS
    summary = json.loads((storage / "cut/summary.json").read_text())
    assert summary["sessions"] == 3
    assert summary["ledger"]["looks"]["sf_xs/test"] == {"this_search": 1, "all": 2}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert commit and summary["git_commit"].startswith(commit)
    assert summary["versions"]["ray"] and summary["data"]["fingerprint"]


def test_a_finished_search_can_be_asked_for_more_and_measures_nothing_twice(storage):
    """And quietly: what it is, what goes wrong, and the answer, in plain lines."""
    done = run("run", "--name", "cut", "--storage", str(storage), "--trials", str(TRIALS + 1), "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout + done.stderr)
    assert done.stdout.startswith(f"search    cut: {TRIALS + 1} trials") and "completed recall@1" not in done.stdout
    assert "answer    trial" in done.stdout and "export    " in done.stdout and len(done.stdout.splitlines()) < 26
    summary = json.loads((storage / "cut/summary.json").read_text())
    assert sorted(entry["id"] for entry in summary["trials"]) == list(range(TRIALS + 1))
    events = [json.loads(line) for line in (storage / "cut/history.jsonl").read_text().splitlines()]
    ended = [(event["trial"], event["seed"]) for event in events if event["event"] == "ended"]
    assert len(ended) == len(set(ended))
    assert summary["trials"][0]["id"] in [one["trial"] for one in summary["finalists"]]
    assert f"resumed   {TRIALS + 1} trainings have ended, 0 go on, " in done.stdout
    looks = [
        (look["trial"], look["set"]) for look in read_ledger(storage / "test-ledger.jsonl") if look["search"] == "cut"
    ]
    assert len(looks) == len(set(looks))


def test_fresh_moves_the_old_search_aside_and_a_search_without_any_success_ends_with_1(storage, city):
    flags = [
        "--data",
        str(city),
        "--storage",
        str(storage),
        "--trials",
        "1",
        "--epochs",
        "1",
        "--set=optimizer/lr=1e30",
    ]
    done = run("run", "--name", "whole", "--fresh", *flags, *SETTINGS)
    assert done.returncode == 1 and "no trial succeeded" in done.stdout, done.stdout + done.stderr
    summary = json.loads((storage / "whole/summary.json").read_text())
    assert summary["best"] is None and [entry["state"] for entry in summary["trials"]] == ["failed"]
    assert "Nothing was trained" in (storage / "whole/report.html").read_text()
    (old,) = storage.glob("whole.until-*")
    assert len(json.loads((old / "summary.json").read_text())["trials"]) == TRIALS


def test_one_process_at_a_time(storage):
    from filelock import FileLock

    with FileLock(storage / "cut/running.lock"):
        done = run("run", "--name", "cut", "--storage", str(storage))
    assert done.returncode == 2 and "is running" in done.stderr and "runs on" not in done.stdout


def test_a_folder_of_something_else_is_left_alone(storage, monkeypatch, capfd):
    (storage / "notes").mkdir()
    printed = refusal(monkeypatch, capfd, "run", "--name", "notes", "--storage", storage)
    assert "is no search that could go on" in printed and "--fresh" in printed
