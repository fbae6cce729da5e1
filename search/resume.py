"""A search goes on under its name: what it began with is in search.json, and nothing but the budget may change."""

import ast
import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from search.plan import Plan
from search.sets import fingerprint_of_all
from search.settings import SearchSettings, absolute
from vpr.config import TrialConfig
from vpr.datasets import retrieval_fingerprint
from vpr.errors import ConfigError
from vpr.leaves import to_leaves, to_text
from vpr.sources import is_address

BEGINNING = "search.json"
LOCK = "running.lock"
DATA = "data (hash of the hashes of its sets)"
SMALL = "data/skip_small_places"
CONTENT = "contents of the images of all sets (hash)"
DATA_BEFORE = "data (hash of names and sizes)"
"""As version 0.5 wrote it."""
HERE = ("name", "storage", "cluster", "fresh", "dry_run", "quiet")
"""Settings of one run of the command, not of the search."""


@dataclasses.dataclass(frozen=True)
class Beginning:
    """What a search began with."""

    search_id: str
    """By which MLflow knows it: a name may come again."""
    settings: dict[str, Any]
    facts: dict[str, str]
    """All that its numbers depend on."""
    budget: dict[str, int]


def find_beginning(settings: SearchSettings) -> Beginning | None:
    """Of the search of this name; None where there is none or --fresh was said. Raises ConfigError for a folder of something else."""
    folder = settings.storage / (settings.name or "")
    if settings.name is None or settings.fresh or not folder.exists():
        return None
    try:
        return Beginning(**json.loads((folder / BEGINNING).read_text()))
    except (OSError, ValueError, TypeError) as fault:
        raise ConfigError(
            f"{folder} exists and is no search that could go on ({fault}); give another --name, or --fresh to move it aside"
        ) from None


def joined(settings: SearchSettings, beginning: Beginning) -> SearchSettings:
    """The settings that the search began with, under those that were given now."""
    defaults = SearchSettings()
    given = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != getattr(defaults, field.name) or field.name in HERE
    }
    before = {name: _tuples(value) for name, value in beginning.settings.items()}
    before["train"] = Path(before["train"]) if before.get("train") else None
    if not isinstance(val := before.get("val"), tuple):  # one path or none: searches of version 0.5 and before
        before["val"] = (val,) if val else ()
    if "set" in given:
        leaves = {text.partition("=")[0] for text in settings.set}
        others = [text for text in beginning.settings["set"] if text.partition("=")[0] not in leaves]
        given["set"] = (*others, *settings.set)
    return dataclasses.replace(defaults, **{**before, **given})


def check_same(beginning: Beginning, plan: Plan) -> None:
    """Raises ConfigError with what differs, and where it is running, before Ray is started for it; a larger budget than before is no difference."""
    with _locked(plan.folder):
        pass
    now = facts_of(plan)
    before, now = _comparable(beginning.facts, now, plan)
    differing = [
        f"{name} was {before.get(name, 'not there')}, now {now.get(name, 'not there')}"
        for name in {**before, **now}
        if before.get(name) != now.get(name)
    ]
    differing += [
        f"--{name.replace('_', '-')} was {least}, now {asked}, and can only be raised"
        for name, least in beginning.budget.items()
        if (asked := budget_of(plan)[name]) < least
    ]
    if differing:
        raise ConfigError(
            f"the search {plan.name} began otherwise: {'; '.join(differing)}; leave that out to go on, give another --name, "
            "or --fresh to move the old one aside"
        )


def facts_of(plan: Plan) -> dict[str, str]:
    """All that the numbers of a search depend on, by name."""
    return {
        "--space": plan.space.name,
        "code of the space": plan.space.source and _digest(ast.dump(ast.parse(plan.space.source))),
        **{name: to_text(name, value) for name, value in to_leaves(plan.base).items()},
        "--set": " ".join(sorted(plan.pinned)),
        DATA: plan.sets.fingerprint,
        CONTENT: plan.sets.content,
        # A search with one val set has no such fact, nor had those of version 0.5: the hash above is enough.
        **({"val sets": _hashes(plan.folders.vals, plan.session)} if len(plan.folders.vals) > 1 else {}),
        "test sets": _hashes(plan.folders.tests, plan.session),
        "--seed": str(plan.seed),
        "--early-stopping": plan.early_stopping,
        "--on-bad-image": plan.on_bad_image,
    }


def _comparable(before: dict[str, str], now: dict[str, str], plan: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """Return the facts of a beginning and of now in one form, where an earlier version wrote the beginning."""
    defaults = {name: to_text(name, value) for name, value in to_leaves(TrialConfig()).items()}
    before = {**{name: text for name, text in defaults.items() if name in now}, **before}  # leaves that are new since
    now = dict(now)
    if CONTENT not in before:
        now.pop(CONTENT)
    if not plan.sets.small.places:  # then the leaf decides nothing, and its default was another one
        before.pop(SMALL, None), now.pop(SMALL, None)
    if DATA_BEFORE in before and DATA not in before:
        before[DATA] = before.pop(DATA_BEFORE)
        now[DATA] = fingerprint_of_all(plan.folders)
    return before, now


def budget_of(plan: Plan) -> dict[str, int]:
    """What may be raised when a search goes on."""
    return {"trials": plan.trials, "confirm": plan.confirm, "confirm_seeds": len(plan.confirm_seeds)}


@contextmanager
def opened_folder(plan: Plan, settings: SearchSettings) -> Iterator[None]:
    """The search's folder, for this process alone while it lasts, with the beginning written down.

    An old search is moved aside for --fresh. Raises ConfigError where another process has it.
    """
    if settings.fresh and plan.folder.exists():
        with _locked(plan.folder):
            pass
        plan.folder.rename(plan.folder.with_name(f"{plan.name}.until-{time.strftime('%Y%m%d-%H%M%S')}"))
    plan.folder.mkdir(parents=True, exist_ok=True)
    with _locked(plan.folder):
        kept = {name: value for name, value in dataclasses.asdict(settings).items() if name not in HERE}
        if (settings.space or "").endswith(
            ".py"
        ):  # the file itself may be gone, or another one, when the search goes on
            own = plan.folder / Path(str(settings.space)).name
            own.write_text(plan.space.source)
            kept["space"] = str(own)
        kept |= {name: [absolute(text) for text in kept[name]] for name in ("val", "test")}
        if settings.data and not is_address(settings.data):
            kept["data"] = str(Path(settings.data).resolve())
        found = Beginning(plan.search_id, kept, facts_of(plan), budget_of(plan))
        partial = plan.folder / f"{BEGINNING}.partial-{os.getpid()}"
        partial.write_text(json.dumps(dataclasses.asdict(found), indent=2, default=_absolute) + "\n")
        os.replace(partial, plan.folder / BEGINNING)
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ConfigError(f"the search in {folder} is running; wait for its end, or give another --name") from None
    try:
        yield
    finally:
        lock.release()


def _hashes(sets: Mapping[str, Path], session: str) -> str:
    return " ".join(f"{name} {retrieval_fingerprint(folder, session)}" for name, folder in sorted(sets.items()))


def _absolute(value: Any) -> str:
    assert isinstance(value, Path)
    return str(value.resolve())


def _tuples(value: Any) -> Any:
    """JSON has no tuples."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
