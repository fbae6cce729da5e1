"""Looking before, repeating after, and the study's tables: whole small searches."""

import io
import json
import shutil

import optuna
import pytest
from rich.console import Console

from search.conditions import draw, tree_of
from search.importance import MINIMUM_TRIALS, importances
from search.space import load_space
from spaces.paper import FIXED, TABLES
from tests.search.commands import SETTINGS, refusal, run
from vpr.leaves import from_leaves

pytestmark = pytest.mark.search


def printed(tree) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(tree)
    return console.export_text()


def test_the_tree_of_a_space_says_under_which_choice_a_leaf_exists():
    trials = draw(load_space("optimizers"), from_leaves({}), {}, 600, seed=0)
    lines = [line.strip("│├└─ ") for line in printed(tree_of("optimizers", trials)).splitlines()]
    assert "optimizer/lr  1e-05 to 1, log scale" in lines
    assert set(lines[lines.index("optimizer/beta1  0.8 to 0.95") - 1].split(", ")) == {
        "adam",
        "adamw",
        "nadam",
        "radam",
    }
    above = lines[lines.index("optimizer/nesterov  one of false, true") - 1]
    assert above.startswith("and optimizer/momentum is ") and "0.5" in above and " 0," not in above


def test_the_tree_without_a_pinned_choice(city):
    trials = draw(load_space("losses"), from_leaves({"loss/name": "ntxent"}), {"loss/name": "ntxent"}, 50, seed=0)
    text = printed(tree_of("losses", trials))
    assert "loss/temperature" in text and "loss/name" not in text and "loss/margin" not in text


def test_a_dry_run_trains_nothing(city, tmp_path):
    flags = ["--data", str(city), "--trials", "6", "--epochs", "4", "--storage", str(tmp_path / "results"), *SETTINGS]
    done = run("run", "--dry-run", *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("tried first") == 6 and done.stdout.count("for example") == 5
    assert "at once      2 trials: 2 cores, 1 for each" in done.stdout or "cores, 1 for each" in done.stdout
    assert all(f"\n{word} " in done.stdout for word in ("an epoch", "search", "confirm", "disk"))
    assert not (tmp_path / "results").exists()


@pytest.mark.long
def test_the_paper_prints_the_studys_tables_beside_ours(city, tmp_path):
    flags = ["--data", str(city), "--epochs", "1", "--name", "p", "--storage", str(tmp_path), "--confirm", "0"]
    done = run("run", "--space", "paper", *flags, *SETTINGS)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "p/summary.json").read_text())
    assert [entry["state"] for entry in summary["trials"]] == ["completed"] * 14 and summary["saved_seconds"] == 0
    rows = {(row["table"], row["row"]): row for row in summary["study"]}
    assert len(rows) == sum(len(table.rows) for table in TABLES) == 20
    for row in rows.values():
        entry = next(entry for entry in summary["trials"] if entry["id"] == row["trial"])
        assert row["ours"]["val"] == [entry["best"]["val/recall_at_1"]]
        assert all(value is not None for value in row["ours"].values()) and len(row["study"]["val"]) == 10
    assert rows["Pooling (SGD lr 0.001)", "GeM, Tokyo"]["study"]["tokyo_xs/test"] == 43.2
    assert FIXED[rows["Loss (SGD lr 0.0025 unless said)", "Circle, SGD"]["trial"]]["loss/name"] == "circle"
    assert "Circle, SGD" in done.stdout and "68.9" in done.stdout and done.stdout.count("ours") >= 20


@pytest.fixture(scope="module")
def shared(city, tmp_path_factory):
    """A city of which val and test have one picture in common, and that picture."""
    root = tmp_path_factory.mktemp("shared") / "city"
    shutil.copytree(city, root)
    picture = next((root / "sf_xs/test/queries").rglob("*.jpg"))
    shutil.copy(picture, root / "sf_xs/val/queries" / picture.name)
    return root, picture


def test_shared_pictures_are_refused(shared, tmp_path, monkeypatch, capfd):
    printed = refusal(monkeypatch, capfd, "run", "--data", shared[0], "--storage", tmp_path / "r", *SETTINGS)
    assert str(shared[1]) in printed and "--allow-overlap" in printed


@pytest.fixture(scope="module")
def allowed(shared, tmp_path_factory):
    """A search of the shared pictures whose time is over before its sixty trials are."""
    storage = tmp_path_factory.mktemp("allowed")
    flags = ["--data", str(shared[0]), "--trials", "60", "--epochs", "3", "--name", "t", "--storage", str(storage)]
    flags += ["--allow-overlap", "--time-budget", "0.2", "--confirm", "1", "--confirm-seeds", "2"]
    done = run("run", *flags, *SETTINGS)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads((storage / "t/summary.json").read_text()), storage / "t/report.html"


def test_an_overlap_that_was_allowed_is_loud_in_every_report(allowed):
    printed, summary, report = allowed
    assert printed.count("OVERLAP") == 2 and any("OVERLAP" in line for line in summary["data"]["overlap"])
    assert "Before you trust this" in report.read_text()


def test_a_time_budget_ends_the_search_and_the_best_is_still_confirmed(allowed):
    summary = allowed[1]
    assert 0 < len(summary["trials"]) < 60 and [len(one["seeds"]) for one in summary["finalists"]] == [2]
    late = [entry for entry in summary["trials"] if entry["stop_reason"] == "the time budget was used up"]
    assert all(entry["state"] == "pruned" and entry["epochs"] < 3 for entry in late)
    assert summary["test"]["sf_xs/test"]["recall_at_1"] >= 0


def study(tmp_path, count):
    """Trials whose learning rate alone decides, half of them with another loss; the worse half stopped."""
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    made = optuna.create_study(study_name="s", storage=optuna.storages.JournalStorage(backend), direction="maximize")
    for _ in range(count):
        trial = made.ask()
        loss = trial.suggest_categorical("loss/name", ["circle", "arcface"])
        rate = trial.suggest_float("optimizer/lr", 0.0, 1.0)
        trial.suggest_float("optimizer/weight_decay", 0.0, 1.0)
        if loss == "arcface":
            trial.suggest_float("loss/margin_deg", 5.0, 40.0)
        trial.report(100 * rate, 1)
        if rate > 0.5:
            made.tell(trial, 100 * rate)
        else:
            made.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return made


def test_what_decided_is_found(tmp_path):
    made = study(tmp_path, 80)
    everything, within = importances(tmp_path / "study.journal", "s", made.best_trial.number)
    assert everything.of == "all trials" and everything.trials == 80 and next(iter(everything.shares)) == "optimizer/lr"
    assert within.of == made.best_trial.params["loss/name"] and next(iter(within.shares)) == "optimizer/lr"
    assert sum(everything.shares.values()) == pytest.approx(1) and everything.shares["optimizer/lr"] > 0.5


def test_trials_without_a_loss_of_their_own(tmp_path):
    """A space may vary the loss in some of its branches alone."""
    made = study(tmp_path, MINIMUM_TRIALS)
    for _ in range(MINIMUM_TRIALS):
        trial = made.ask()
        trial.report(trial.suggest_float("optimizer/lr", 0.0, 1.0), 1)
        made.tell(trial, state=optuna.trial.TrialState.PRUNED)
    assert importances(tmp_path / "study.journal", "s", made.best_trial.number)[0].trials == 2 * MINIMUM_TRIALS
    assert [one.of for one in importances(tmp_path / "study.journal", "s", MINIMUM_TRIALS)] == ["all trials"]


def test_few_trials_say_nothing(tmp_path):
    study(tmp_path, MINIMUM_TRIALS - 1)
    assert importances(tmp_path / "study.journal", "s", 0) == []
