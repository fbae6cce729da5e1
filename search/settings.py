"""The command line of a search: one documented dataclass. Light to import, so that --help is quick."""

import math
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from vpr import discovery
from vpr.discovery import VAL_SET, check_train, check_val, expand_test, find_tests, find_train, find_val, set_name
from vpr.errors import ConfigError, DataError
from vpr.folders import Folders

SET_NAME = r"\w[\w.-]*(/\w[\w.-]*)*"
SET_NAME_BYTES = 100
"""Longest name of a set: a file name has 255 bytes, and MLflow's metric name 250 characters, with other words in each."""


def default_storage() -> Path:
    """Of this machine: cluster.yaml and docs/clusters/on-prem.yaml set it on each of theirs."""
    return Path(os.environ.get("VPR_STORAGE") or "results")


@dataclass(frozen=True)
class SearchSettings:
    """Find the best optimizer, schedule or loss for a visual place recognition model.

    Without --data it searches on MiniCity, a small procedural city that is built in.
    """

    space: str | None = None
    """What may vary: optimizers, schedulers, losses (if not given), full, paper, or a .py file with a function `suggest` (which is run)."""
    data: str | None = None
    """Folder that holds gsv_xs (or gsv-cities), sf_xs and tokyo_xs, the same on all machines; or an address such as s3://bucket/sets, which each machine copies once."""
    train: Path | None = None
    """Training folder, instead of the one below --data."""
    val: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """DIR with database/ and queries/ to select on, instead of the one below --data; or NAME=DIR, repeatable: the mean over the sets decides."""
    test: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME=DIR of a test set, instead of those below --data (repeatable)."""
    trials: int | None = None
    """Configurations to try; 12 if not given, or the whole of a fixed list."""
    epochs: int | None = None
    """Longest training of a trial, short for --set training/epochs=N."""
    name: str | None = None
    """Folder of this search below --storage; the space and the time if not given. That of an unfinished search goes on with it."""
    fresh: bool = False
    """Move the search of this --name aside and begin it anew."""
    seed: int | None = None
    """Fixes the suggestions and, through training/seed, every trial; 0 if not given."""
    cpus_per_trial: int | None = None
    """Cores of a trial; 1 without a GPU, else an even share."""
    gpus_per_trial: float | None = None
    """GPUs of a trial, 0.5 lets two share one; 1 if there is any."""
    max_concurrent: int | None = None
    """Trials at the same time; as many as the cores and GPUs allow."""
    storage: Path = field(default_factory=default_storage)
    """Folder for everything that a search writes; shared by all machines of a cluster; $VPR_STORAGE if not given, else results."""
    cluster: Path | None = None
    """File that `ray up` was given: the search runs on the head of that cluster, is followed here, and its results are brought here."""
    tracking_uri: str | None = None
    """MLflow address; $MLFLOW_TRACKING_URI if not given, else sqlite:///STORAGE/mlflow.db."""
    set: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """LEAF=VALUE for all trials, such as model/backbone=resnet50; a leaf of the space is held there (repeatable)."""
    time_budget: float | None = None
    """Minutes after which no trial begins another epoch; the confirmation of the best comes after it."""
    early_stopping: Literal["asha", "median", "none"] | None = None
    """Rule that stops trials early; asha if not given, and none for a fixed list."""
    confirm: int | None = None
    """Best configurations that are trained again, in full, with other seeds; 3 if not given, 2 on MiniCity, 0 for none."""
    confirm_seeds: int | None = None
    """Seeds of each of them; 3 if not given, 2 on MiniCity."""
    keep: int | None = None
    """Trials whose weights stay on the disk, the best ones; 3 if not given, and always those that are confirmed."""
    formats: tuple[Literal["onnx", "pt2"], ...] | None = None
    """Formats of the export for programs without this project, both if not given; model.safetensors is always written."""
    allow_overlap: bool = False
    """Go on where train, val and test share pictures or places; every report says so."""
    dry_run: bool = False
    """Print what would be tried, where, and how long it would take, and train nothing."""
    quiet: bool = False
    """Print only what the search is, what goes wrong, and the answer."""
    on_bad_image: Literal["error", "skip"] = "error"
    """What to do with images that cannot be read: list them and end, or leave them out."""
    cache_budget: float | None = None
    """GB that decoded images may take; more are packed as files. What fits into the machine's memory if not given."""


def timely_name(space: str) -> str:
    """For a search that was given none: its space, a name or a file, and the time, in what --name allows."""
    words = re.sub(r"[^\w-]+", "-", Path(space).stem).strip("-") or "search"
    return f"{words}-{time.strftime('%Y%m%d-%H%M%S')}"


def check(settings: SearchSettings) -> None:
    """Raise ConfigError for values that no machine could serve, all at once."""
    faults = [
        f"--{name.replace('_', '-')} {value} must be above 0"
        for name in ("trials", "cpus_per_trial", "max_concurrent", "time_budget", "confirm_seeds", "keep")
        if (value := getattr(settings, name)) is not None and not 0 < value < math.inf
    ]
    if settings.confirm is not None and settings.confirm < 0:
        faults.append(f"--confirm {settings.confirm} must be 0 or more")
    if settings.confirm and settings.trials and settings.confirm > settings.trials:
        faults.append(f"--confirm {settings.confirm}, but --trials {settings.trials}; lower it or try more")
    if settings.seed is not None and settings.seed < 0:
        faults.append(f"--seed {settings.seed} must not be negative")
    if "://" in str(settings.storage) or ":/" in str(settings.storage):
        faults.append(f"--storage {settings.storage} is an address; give a folder (one that all machines share)")
    if settings.storage.exists() and not settings.storage.is_dir():
        faults.append(f"--storage {settings.storage} is a file; give another place")
    if settings.cache_budget is not None and not 0 <= settings.cache_budget < math.inf:
        faults.append(f"--cache-budget {settings.cache_budget} must be 0 or more (GB)")
    share = settings.gpus_per_trial or 0
    if not 0 <= share < math.inf or (share > 1 and share != int(share)):
        faults.append(f"--gpus-per-trial {share} must be 0 or more, and whole above 1")
    if settings.name is not None and not re.fullmatch(r"\w[\w.-]*", settings.name):
        faults.append(f"--name {settings.name!r} must be letters, digits, '_', '-' and '.': a folder below --storage")
    if settings.fresh and settings.name is None:
        faults.append("--fresh needs the --name that is to be moved aside")
    faults += [
        fault
        for flag, texts in (("--val", settings.val), ("--test", settings.test))
        for text in texts
        if (fault := _name_fault(flag, text))
    ]
    if faults:
        raise ConfigError("; ".join(faults))


def find_folders(settings: SearchSettings, copy: Path | None) -> Folders:
    """The sets of the search: those below --data (or in `copy`, this node's of it or of MiniCity), with single ones replaced. Raises DataError."""
    train, vals, tests = settings.train, _given_vals(settings.val), _given_tests(settings.test)
    root = copy or (Path(settings.data) if settings.data else None)
    if root is None and not (train and vals):
        raise DataError("--train and --val go together when there is no --data; give the other one too, or --data")
    if root is None or (train and vals and settings.data is None):
        folders = Folders(discovery.resolved(train), vals, tests)  # type: ignore[arg-type]
    else:
        here = discovery.resolved(root)
        train = train or find_train(here)  # first: it says where `here` is a wrong folder
        folders = Folders(
            discovery.resolved(train), vals or {VAL_SET: discovery.resolved(find_val(here))}, tests or find_tests(here)
        )
    given = {name for name, _ in map(_named_folder, settings.val)}
    if both := (given | set(folders.reported_vals)) & set(folders.tests):
        raise ConfigError(f"{min(both)} names a val set and a test set; rename one of them")
    check_train(settings.train or folders.train)
    for folder in (*folders.vals.values(), *tests.values()):
        check_val(folder)
    return folders


def absolute(text: str) -> str:
    """Return a value of --val or --test with its folder as an absolute path, as another current folder needs it."""
    name, folder = _named_folder(text)
    return f"{name}={folder}" if name else str(folder)


def _given_vals(texts: tuple[str, ...]) -> dict[str, Path]:
    """Return the folders of --val by name, in the order given; a folder alone is named as a set is (`set_name`)."""
    named = [_named_folder(text) for text in texts]
    names = [name for name, _ in named]
    if len(set(names)) < len(names) or (len(names) > 1 and "" in names) or "train" in names:
        raise ConfigError(
            "--val: several sets need a name each, once, and none of them train; "
            "write them as --val oslo=/data/oslo/val --val rome=/data/rome/val"
        )
    return {name or set_name(folder): folder for name, folder in named}


def _given_tests(texts: tuple[str, ...]) -> dict[str, Path]:
    named = [_named_folder(text) for text in texts]
    tests = dict(named)
    if len(tests) < len(named) or {"train", "val"} & set(tests):
        raise ConfigError("--test NAME=DIR: each name once, and none of them train or val; rename one")
    return {name: part for text, folder in tests.items() for name, part in expand_test(text, folder).items()}


def _named_folder(text: str) -> tuple[str, Path]:
    """Return name and absolute folder of NAME=DIR. The name is empty for a folder alone, which may hold a `=` after `/` or `./`."""
    name, separator, folder = text.partition("=")
    if not separator or text.startswith(("/", ".")):
        name, folder = "", text
    return name, discovery.absolute(Path(folder))  # links keep their names: a queries folder may be one


def _name_fault(flag: str, text: str) -> str | None:
    """Return what is wrong with a value of --val or --test; None if nothing is.

    The name becomes part of metric names, of which MLflow (3.17) refuses most other characters, and of file names, which `..` would
    lead out of the search's folder.
    """
    name, separator, folder = text.partition("=")
    if flag == "--val" and (not separator or text.startswith(("/", "."))):
        return None  # a folder alone
    if not (name and folder):
        return f"{flag} {text!r} has no NAME=DIR; write it as {flag} oslo=/data/oslo/{flag[2:]}"
    if re.fullmatch(SET_NAME, name) and len(os.fsencode(name)) <= SET_NAME_BYTES:
        return None
    return (
        f"{flag} {text!r}: the name {name!r} must be letters, digits, '_', '-', '.' and single '/' between parts that begin with a "
        f"letter, a digit or '_', {SET_NAME_BYTES} bytes at most; rename it"
    )
