"""One line on stderr that says what, where and what to do; exit code 2; nothing written."""

import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import ray
import torch

from tests.search.commands import refusal
from vpr.checkpoint import save_checkpoint
from vpr.leaves import from_leaves

pytestmark = pytest.mark.slow

SMALL = ["--set=model/weights=none", "--set=data/image_size=32x56", "--set=data/places_per_batch=8"]


class Hostile:
    """A pickle that runs code when it is read."""

    def __reduce__(self):
        return print, ("HOSTILE CODE RAN",)


def flags(*given):
    return lambda place: ("run", ["--data", place / "city", *SMALL, *given])


def leaf(*given):
    """`--set` without the small settings of the same leaf."""
    names = {text.split("=")[0] for text in given}
    small = [text for text in SMALL if text[6:].split("=")[0] not in names]
    return lambda place: ("run", ["--data", place / "city", *small, *(f"--set={text}" for text in given)])


def space(code):
    def prepare(place):
        (place / "mine.py").write_text(code)
        return "run", ["--space", place / "mine.py", "--data", place / "city", *SMALL]

    return prepare


def damaged(damage, *given):
    """The city after `damage(its folder)`."""

    def prepare(place):
        damage(place / "city")
        return "run", ["--data", place / "city", *SMALL, *given]

    return prepare


def first(folder):
    return min(path for path in folder.rglob("*") if path.suffix == ".jpg")


def renamed(part, name):
    return damaged(lambda city: first(city / part).rename(first(city / part).with_name(name)))


def written(part, content):
    def write(city):
        file = first(city / part)
        whole = file.read_bytes()
        file.unlink()
        file.write_bytes(content(whole))

    return damaged(write)


def cities(change):
    """The full GSV-Cities layout with a fault."""

    def damage(city):
        shutil.rmtree(city / "gsv_xs")
        root = city / "gsv_cities"
        (root / "Images/Oslo").mkdir(parents=True)
        (root / "Dataframes").mkdir()
        header, row = "place_id,year,month,northdeg,city_id,lat,lon,panoid", "3,2016,7,0,Oslo,59.9,10.7,pano"
        (root / "Dataframes/Oslo.csv").write_bytes(change(f"{header}\n{row}\n"))

    return damaged(damage)


def weights(write, name="some.pth"):
    def prepare(place):
        write(place / name)
        return "run", ["--data", place / "city", *SMALL[1:], f"--set=model/weights={place / name}"]

    return prepare


def checkpoint(write):
    def prepare(place):
        write(place / "some.pt")
        return "evaluate", [place / "some.pt", "--data", place / "city", "--split", "sf_xs/val"]

    return prepare


def a_search(folder):
    (folder / "export").mkdir(parents=True)
    (folder / "export/config.json").touch()


def flipped(file):
    """A checkpoint with one changed bit in its largest part."""
    save_checkpoint(file, {"model": {"a": torch.zeros(1000)}}, from_leaves({}))
    with zipfile.ZipFile(file) as archive:
        part = max(archive.infolist(), key=lambda part: part.file_size)
    content = bytearray(file.read_bytes())
    content[part.header_offset + 500] ^= 1
    file.write_bytes(content)


def search_folder(place, content=None):
    (place / "results/old").mkdir(parents=True)
    if content is not None:
        (place / "results/old/summary.json").write_text(content)


def exported(content, *given):
    def prepare(place):
        search_folder(place, content)
        return "export", [*(given or ["old"]), "--to", place / "out", "--storage", place / "results"]

    return prepare


def of_a_file(place):
    (place / "results").write_text("")
    return "run", ["--data", place / "city", *SMALL]


def on_a_file(place):
    (place / "results").write_text("")
    return "doctor", ["--storage", place / "results"]


def of_something_else(place):
    search_folder(place)
    return "run", ["--data", place / "city", *SMALL, "--name", "old"]


def a_broken_ledger(place):
    (place / "results").mkdir()
    (place / "results/test-ledger.jsonl").write_text('{"previous": "x"}\n')
    return "run", ["--data", place / "city", *SMALL]


def training(resume):
    def prepare(place):
        if not resume:
            save_checkpoint(place / "out/epoch-0001.pt", {"model": {}}, from_leaves({}))
        more = ["--resume"] if resume else []
        return "train", ["--data", place / "city", "--out", place / "out", *SMALL, *more]

    return prepare


CASES = {
    # flags and values
    "unknown flag": (flags("--trialz", "3"), ["--trialz"]),
    "no number": (flags("--trials", "many"), ["--trials"]),
    "no trials": (flags("--trials", "0"), ["--trials 0 must be above 0"]),
    "no epochs": (flags("--epochs", "0"), ["training/epochs=0"]),
    "two epochs": (flags("--epochs", "3", "--set", "training/epochs=4"), ["disagree"]),
    "negative budget": (flags("--cache-budget", "-1"), ["--cache-budget -1"]),
    "endless gpus": (flags("--gpus-per-trial", "inf"), ["--gpus-per-trial inf"]),
    "broken gpus": (flags("--gpus-per-trial", "1.5"), ["whole above 1"]),
    "no time": (flags("--time-budget", "nan"), ["--time-budget nan"]),
    "nothing kept": (flags("--keep", "0"), ["--keep 0 must be above 0"]),
    "negative confirm": (flags("--confirm", "-1"), ["--confirm -1 must be 0 or more"]),
    "unknown rule": (flags("--early-stopping", "hope"), ["--early-stopping", "asha"]),
    "large seed": (flags("--seed", "99999999999999999999"), ["training/seed=99999999999999999999", "<= 4.29497e+09"]),
    "long list": (flags("--space", "paper", "--trials", "99"), ["fixed list of 14", "lower it"]),
    "name outside": (flags("--name", "../x"), ["--name '../x'", "a folder below --storage"]),
    "name of a shell": (flags("--name", "bob's"), ["--name"]),
    "fresh what": (flags("--fresh"), ["--fresh needs the --name"]),
    # leaves
    "unknown leaf": (leaf("loss/nam=circle"), ["loss/nam", "did you mean loss/name"]),
    "unknown loss": (leaf("loss/name=circel"), ["loss/name=circel", "did you mean circle"]),
    "lr in words": (leaf("optimizer/lr=fast"), ["optimizer/lr=fast", "a number > 0"]),
    "lr without value": (leaf("optimizer/lr"), ["no '='"]),
    "lr too high": (leaf("optimizer/lr=1e308"), ["optimizer/lr=1e+308", "out of range"]),
    "another's leaf": (leaf("optimizer/name=adam", "optimizer/momentum=0.5"), ["optimizer/momentum does not exist"]),
    "large dim": (leaf("model/dim=100000000000"), ["model/dim=100000000000", "out of range"]),
    "many views": (leaf("data/images_per_place=50"), ["no place with data/images_per_place=50", "lower it"]),
    "many places": (leaf("data/places_per_batch=5000"), ["data/places_per_batch=5000", "lower it"]),
    "unknown backbone": (leaf("model/backbone=timm:no_such_net"), ["timm:no_such_net does not exist"]),
    # spaces
    "unknown space": (flags("--space", "lossess"), ["lossess", "did you mean losses"]),
    "no space file": (flags("--space", "nowhere.py"), ["nowhere.py is no file", "give a .py file"]),
    "no suggest": (space("x = 1"), ["no function suggest", "see spaces/losses.py"]),
    "no module": (space("import no_such_module"), ["cannot be run", "no_such_module", "mend the file"]),
    "space that exits": (space("import sys; sys.exit(0)"), ["cannot be run", "SystemExit"]),
    "space without a leaf": (
        space("def suggest(trial):\n    trial.suggest_float('optimizer/rate', 0, 1)"),
        ["optimizer/rate", "suggests what cannot be trained"],
    ),
    "space out of range": (
        space("def suggest(trial):\n    trial.suggest_float('optimizer/lr', -2, -1)"),
        ["out of range"],
    ),
    "space misspelt": (space("def suggest(trial):\n    trial.sugest_float('optimizer/lr', 0, 1)"), ["sugest_float"]),
    "space that raises": (space("def suggest(trial):\n    raise ValueError('oops')"), ["cannot be sampled", "oops"]),
    "known good": (space("KNOWN_GOOD = [1]\ndef suggest(trial):\n    pass"), ["KNOWN_GOOD must be a list"]),
    "known good leaf": (space("KNOWN_GOOD = [{'loss/x': 1}]\ndef suggest(trial):\n    pass"), ["loss/x", "no leaf"]),
    "nothing to vary": (
        space("def suggest(trial):\n    trial.suggest_categorical('loss/name', ['circle'])"),
        ["varies nothing", "--trials 1"],
    ),
    "fixed": (space("FIXED = 5"), ["FIXED must be a list", "see spaces/paper.py"]),
    # folders
    "no data": (lambda place: ("run", ["--data", place / "nowhere", *SMALL]), ["nowhere is not a folder"]),
    "no train": (damaged(lambda city: shutil.rmtree(city / "gsv_xs")), ["no gsv_xs/train folder", "give --train"]),
    "no val": (damaged(lambda city: shutil.rmtree(city / "sf_xs/val")), ["no sf_xs/val folder", "give --val"]),
    "no queries": (
        damaged(lambda city: shutil.rmtree(city / "sf_xs/val/queries")),
        ["sf_xs/val has database/ but no queries/"],
    ),
    "empty database": (
        damaged(lambda city: [file.unlink() for file in (city / "sf_xs/val/database").rglob("*.jpg")]),
        ["has no .jpg, .jpeg or .png image"],
    ),
    "train alone": (
        lambda place: ("run", ["--train", place / "city/gsv_xs/train", *SMALL]),
        ["--train and --val go together"],
    ),
    "test without name": (flags("--test", "oslo"), ["NAME=DIR"]),
    "test of any characters": (
        flags("--test", "a b<i>=/x", "--test", "../../evil=/x"),
        ["'a b<i>=/x'", "'../../evil=/x'", "must be letters, digits, '_', '-', '.' and single '/'", "rename it"],
    ),
    "val of any characters": (flags("--val", "tokyo+night=/x"), ["the name 'tokyo+night' must be letters"]),
    "val sets without names": (flags("--val", "/x", "--val", "/y"), ["need a name each", "--val oslo=/data/oslo/val"]),
    "val set twice": (flags("--val", "a=/x", "--val", "a=/y"), ["need a name each, once"]),
    "val set train": (flags("--val", "train=/x"), ["none of them train"]),
    "val and test": (flags("--val", "tokyo_xs/test=/x"), ["tokyo_xs/test names a val set and a test set", "rename"]),
    "one picture in two val sets": (
        lambda place: (
            "run",
            ["--data", place / "city", *(f"--val={name}={place / 'city/sf_xs/val'}" for name in ("a", "b")), *SMALL],
        ),
        ["pictures stand in two sets"],
    ),
    "test without database": (
        lambda place: ("run", ["--data", place / "city", "--test", f"oslo={place / 'city/gsv_xs'}", *SMALL]),
        ["gsv_xs has images with a place in their names", "database/ and queries/"],
    ),
    "no protocol": (lambda place: ("run", ["--data", "nowhere://x", *SMALL]), ["--data nowhere://x cannot be read"]),
    "no address": (lambda place: ("run", ["--data", f"local://{place}/x", *SMALL]), ["holds no images", "gsv_xs"]),
    "no test": (flags("--test", "oslo=/nowhere"), ["/nowhere is not a folder", "database/ and queries/"]),
    # names and coordinates
    "no coordinates": (renamed("sf_xs/val/queries", "street.jpg"), ["street.jpg has no coordinates", "rename it"]),
    "coordinates in words": (
        renamed("sf_xs/val/database", "@east@north@.jpg"),
        ["@east@north@.jpg has no coordinates"],
    ),
    "endless coordinates": (renamed("sf_xs/test/queries", "@inf@1@.jpg"), ["@inf@1@.jpg has no coordinates"]),
    "no place": (renamed("gsv_xs/train", "street.jpg"), ["street.jpg has no place id", "second-last @ field"]),
    "no cities": (cities(lambda text: text.encode("utf-16")), ["Oslo.csv cannot be read as a UTF-8 table"]),
    "no month": (cities(lambda text: text.replace(",7,", ",July,").encode()), ["Oslo.csv, line 2", "July"]),
    "no picture of a city": (cities(str.encode), ["1 of 1 images", "are missing", "Oslo_0000003"]),
    # images
    "truncated": (
        written("gsv_xs/train", lambda whole: whole[:300]),
        ["1 images cannot be read", "--on-bad-image skip"],
    ),
    "no image": (written("sf_xs/val/queries", lambda whole: b"hello"), ["1 images cannot be read", "bad-images.tsv"]),
    "empty image": (
        written("sf_xs/test/database", lambda whole: b""),
        ["1 images cannot be read", "replace or remove"],
    ),
    "picture in two sets": (
        damaged(lambda city: shutil.copy(first(city / "sf_xs/test/queries"), city / "sf_xs/val/queries/@1@1@.jpg")),
        ["--allow-overlap", "sf_xs/test"],
    ),
    # weights and checkpoints
    "no weights": (leaf("model/weights=/no/such.pth"), ["/no/such.pth is no file", "imagenet"]),
    "text as weights": (weights(lambda file: file.write_text("hello")), ["some.pth"]),
    "hostile weights": (weights(lambda file: torch.save(Hostile(), file)), ["some.pth"]),
    "broken safetensors": (weights(lambda file: file.write_bytes(bytes(64)), "some.safetensors"), ["some.safetensors"]),
    "foreign weights": (weights(lambda file: torch.save({"a": torch.zeros(1)}, file)), ["some.pth"]),
    "nothing there": (checkpoint(lambda file: None), ["some.pt does not exist", "folder of an export"]),
    "no checkpoint": (checkpoint(os.mkfifo), ["some.pt is no checkpoint file"]),
    "a search instead of its export": (
        checkpoint(a_search),
        ["some.pt is a search; give its export", "some.pt/export"],
    ),
    "text as checkpoint": (checkpoint(lambda file: file.write_text("hello")), ["some.pt cannot be read"]),
    "hostile checkpoint": (
        checkpoint(lambda file: torch.save({"config": {}, "trainer": Hostile()}, file)),
        ["some.pt cannot be read"],
    ),
    "hostile pickle": (checkpoint(lambda file: file.write_bytes(pickle.dumps(Hostile()))), ["some.pt cannot be read"]),
    "damaged checkpoint": (checkpoint(flipped), ["some.pt cannot be read", "is damaged"]),
    "training that is there": (training(resume=False), ["holds a training already", "--resume"]),
    "training that is not there": (training(resume=True), ["holds no epoch to go on from", "--resume"]),
    # storage
    "storage in the cloud": (flags("--storage", "s3://bucket/x"), ["--storage s3:/bucket/x is an address"]),
    "storage that is a file": (of_a_file, ["results", "give another place"]),
    "folder of something else": (of_something_else, ["is no search that could go on", "--fresh"]),
    "changed ledger": (a_broken_ledger, ["test-ledger.jsonl, line 1", "put the ledger back"]),
    "export of nothing": (exported(None), ["holds no finished search"]),
    "export of another json": (exported("[1]"), ["holds no finished search"]),
    "export from outside": (exported("{}", "../x"), ["../x is a path"]),
    "export of another trial": (
        exported(json.dumps({"trials": [], "best": None})),
        ["has no weights of trial None", "kept: none"],
    ),
    # tracking and machines
    "no cluster": (flags("--cluster", "/no/such.yaml"), ["--cluster /no/such.yaml is no file", "ray up"]),
    "doctor on a file": (on_a_file, ["results cannot be written here", "mend that"]),
    "more finalists than trials": (flags("--trials", "2", "--confirm", "3"), ["--confirm 3, but --trials 2"]),
    "half a finalist": (flags("--confirm", "1.5"), ["--confirm 1.5 is no INT"]),
    "no tracking server": (
        flags("--tracking-uri", "http://127.0.0.1:9"),
        ["--tracking-uri http://127.0.0.1:9", "start"],
    ),
    "no tracking scheme": (flags("--tracking-uri", "ftp://x"), ["--tracking-uri ftp://x cannot be used"]),
    "many gpus": (flags("--gpus-per-trial", "64"), ["--gpus-per-trial 64, but this machine has", "lower it"]),
    "many cores": (flags("--cpus-per-trial", "4096"), ["--cpus-per-trial 4096, but this machine has", "lower it"]),
}


@pytest.fixture
def place(city, tmp_path):
    """A folder with a copy of the city (by links), which a case may damage."""
    for file in city.rglob("*.jpg"):
        link = tmp_path / "city" / file.relative_to(city)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(file)
    yield tmp_path
    ray.shutdown()


@pytest.mark.parametrize("case", CASES)
def test_refused_with_one_line(monkeypatch, capfd, place, case):
    prepare, words = CASES[case]
    program, given = prepare(place)
    storage = ["--storage", place / "results"] if program == "run" and "--storage" not in given else []
    before = {path: path.lstat().st_mtime_ns for path in place.rglob("*")}
    printed = refusal(monkeypatch, capfd, program, *given, *storage)
    assert all(word in printed for word in words), printed
    assert {path: path.lstat().st_mtime_ns for path in place.rglob("*")} == before, "something was written"


def test_all_bad_images_are_listed_in_one_report(monkeypatch, capfd, place):
    for part in ("gsv_xs/train", "sf_xs/val/database", "sf_xs/val/queries", "tokyo_xs/test/queries"):
        file = first(place / "city" / part)
        file.unlink()
        file.write_bytes(f"no picture of {part}".encode())
    printed = refusal(monkeypatch, capfd, "run", "--data", place / "city", "--storage", place / "r", *SMALL)
    assert "4 images cannot be read" in printed
    report = Path(printed.split("all are listed in ")[1].split(";")[0])
    listed = dict(line.split("\t") for line in report.read_text().splitlines())
    assert len(listed) == 4 and all("not an image of a known format" in reason for reason in listed.values())


def test_a_cluster_that_does_not_answer(monkeypatch, capfd, place):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    printed = refusal(monkeypatch, capfd, "run", "--data", place / "city", "--storage", place / "r", *SMALL)
    assert "127.0.0.1:9 does not answer" in printed and not (place / "r").exists()
