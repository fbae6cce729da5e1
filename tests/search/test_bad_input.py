"""One line on stderr that says what, where and what to do; exit code 2; nothing written."""

import sys

import pytest

from search import run
from search.settings import SearchSettings
from vpr import cli

SMALL = ["--set=model/weights=none", "--set=data/image_size=32x56", "--set=data/places_per_batch=8"]


def refusal(monkeypatch, capfd, *flags):
    """What is printed to stderr, after checking that it is one line and the code is 2."""
    monkeypatch.setattr(sys, "argv", ["run.py", *flags])
    with pytest.raises(SystemExit) as stop:
        cli.run(run.main, SearchSettings, "python search/run.py")
    printed = capfd.readouterr().err
    assert stop.value.code == 2 and printed.count("\n") == 1 and printed.startswith("error: "), printed
    return printed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--space", "lossess"], ["lossess", "did you mean losses"]),
        (["--space", "nowhere.py"], ["nowhere.py is no file"]),
        (["--set", "loss/nam=circle"], ["loss/nam", "did you mean loss/name"]),
        (["--set", "loss/name=circel"], ["loss/name=circel", "did you mean circle"]),
        (["--set", "optimizer/lr=fast"], ["optimizer/lr=fast", "a number > 0"]),
        (["--set", "optimizer/lr"], ["no '='"]),
        (["--set", "optimizer/name=adam", "--set", "optimizer/momentum=0.5"], ["optimizer/momentum does not exist"]),
        (["--epochs", "0"], ["training/epochs=0"]),
        (["--epochs", "3", "--set", "training/epochs=4"], ["disagree"]),
        (["--trials", "0"], ["--trials 0 must be above 0"]),
        (["--trials", "many"], ["--trials"]),
        (["--cache-budget", "-1"], ["--cache-budget -1"]),
        (["--trialz", "3"], ["--trialz"]),
        (["--space", "paper", "--trials", "99"], ["fixed list of 14"]),
        (["--name", "../x"], ["--name"]),
        (["--name", "bob's"], ["--name"]),
        (["--gpus-per-trial", "inf"], ["--gpus-per-trial inf"]),
        (["--time-budget", "nan"], ["--time-budget nan"]),
        (["--seed", "99999999999999999999"], ["training/seed=99999999999999999999", "<= 4.29497e+09"]),
        (["--set", "optimizer/lr=1e308"], ["optimizer/lr=1e+308", "out of range"]),
        (["--set", "model/dim=100000000000"], ["model/dim=100000000000", "out of range"]),
        (["--gpus-per-trial", "1.5"], ["whole above 1"]),
        (["--storage", "s3://bucket/x"], ["--storage s3:/bucket/x is an address"]),
        (["--test", "oslo"], ["NAME=DIR"]),
        (["--data", "/nonexistent"], ["/nonexistent is not a folder"]),
        (["--set", "model/backbone=timm:no_such_net"], ["timm:no_such_net does not exist"]),
        (["--set", "data/images_per_place=50"], ["fewer than data/images_per_place=50"]),
        (["--set", "data/places_per_batch=5000"], ["data/places_per_batch=5000"]),
        (["--set", "model/weights=/no/such.pth"], ["/no/such.pth is no file", "imagenet"]),
    ],
)
def test_refused_with_one_line(monkeypatch, capfd, city, tmp_path, flags, words):
    data = [] if "--data" in flags else ["--data", str(city)]
    leaves = [leaf for leaf in SMALL if not any(leaf[6:].split("=")[0] in flag for flag in flags)]
    storage = [] if "--storage" in flags else ["--storage", str(tmp_path / "results")]
    printed = refusal(monkeypatch, capfd, *data, *leaves, *storage, *flags)
    assert all(word in printed for word in words), printed
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1", ["no function suggest"]),
        ("import no_such_module", ["cannot be run", "no_such_module"]),
        (
            "def suggest(trial):\n    trial.suggest_float('optimizer/rate', 0, 1)",
            ["optimizer/rate", "suggests what cannot be trained"],
        ),
        ("def suggest(trial):\n    trial.suggest_float('optimizer/lr', -2, -1)", ["out of range"]),
        ("def suggest(trial):\n    trial.sugest_float('optimizer/lr', 0, 1)", ["sugest_float"]),
        ("def suggest(trial):\n    raise ValueError('oops')", ["cannot be sampled", "oops"]),
        ("KNOWN_GOOD = [1]\ndef suggest(trial):\n    pass", ["KNOWN_GOOD must be a list"]),
        ("FIXED = 5", ["FIXED must be a list"]),
        ("import sys; sys.exit(0)", ["cannot be run", "SystemExit"]),
        ("KNOWN_GOOD = [{'loss/x': 1}]\ndef suggest(trial):\n    pass", ["loss/x", "no leaf"]),
    ],
)
def test_a_faulty_space_is_refused(monkeypatch, capfd, city, tmp_path, code, words):
    (tmp_path / "mine.py").write_text(code)
    printed = refusal_of_file(monkeypatch, capfd, tmp_path / "mine.py", city)
    assert all(word in printed for word in words), printed


def refusal_of_file(monkeypatch, capfd, file, city):
    """The error line; the line before it says that the file's code is run."""
    monkeypatch.setattr(sys, "argv", ["run.py", "--space", str(file), "--data", str(city), *SMALL])
    with pytest.raises(SystemExit) as stop:
        cli.run(run.main, SearchSettings, "python search/run.py")
    notice, error = capfd.readouterr().err.splitlines()
    assert stop.value.code == 2 and "runs the code of" in notice and error.startswith("error: ")
    return error


def test_an_existing_search_is_not_overwritten(monkeypatch, capfd, city, tmp_path):
    (tmp_path / "old").mkdir()
    printed = refusal(monkeypatch, capfd, "--data", str(city), "--storage", str(tmp_path), "--name", "old", *SMALL)
    assert "exists; give another --name" in printed


def test_images_and_names_are_checked_before_anything_runs(monkeypatch, capfd, city, tmp_path):
    def broken(name, damage):
        root = tmp_path / name
        for folder in ("gsv_xs", "sf_xs"):
            for file in (city / folder).rglob("*.jpg"):
                target = root / file.relative_to(city)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(file)
        damage(next((root / "sf_xs/val/queries").iterdir()))
        return refusal(monkeypatch, capfd, "--data", str(root), "--storage", str(tmp_path / "r"), *SMALL)

    def truncate(file):
        content = file.read_bytes()[:300]
        file.unlink()
        file.write_bytes(content)

    assert "cannot be read as an image" in broken("truncated", truncate)
    assert "no coordinates" in broken("unnamed", lambda file: file.rename(file.with_name("street.jpg")))
    assert not (tmp_path / "r").exists()


def test_more_gpus_than_there_are(monkeypatch, capfd, city, tmp_path):
    import ray

    try:
        printed = refusal(
            monkeypatch, capfd, "--data", str(city), "--storage", str(tmp_path / "r"), "--gpus-per-trial", "64", *SMALL
        )
    finally:
        ray.shutdown()
    assert "--gpus-per-trial 64, but this machine has" in printed and not (tmp_path / "r").exists()


def test_a_tracking_server_that_is_not_there(monkeypatch, capfd, city, tmp_path):
    import ray

    try:
        printed = refusal(
            monkeypatch,
            capfd,
            "--data",
            str(city),
            "--storage",
            str(tmp_path / "r"),
            "--tracking-uri",
            "http://127.0.0.1:9",
            *SMALL,
        )
    finally:
        ray.shutdown()
    assert "--tracking-uri http://127.0.0.1:9 cannot be used" in printed and not (tmp_path / "r").exists()


def test_a_cluster_that_does_not_answer(monkeypatch, capfd, city, tmp_path):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    printed = refusal(monkeypatch, capfd, "--data", str(city), "--storage", str(tmp_path / "r"), *SMALL)
    assert "127.0.0.1:9 does not answer" in printed and not (tmp_path / "r").exists()
