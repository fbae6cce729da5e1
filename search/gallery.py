"""Queries with the database pictures that were found for them, right and wrong, as a page. `python search/gallery.py NAME`."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from search.export import read_summary
from search.settings import SearchSettings, default_storage, find_folders
from vpr import cli
from vpr.errors import ConfigError, DataError

if TYPE_CHECKING:  # --help needs none of them
    from rich.console import Console

    from search.answers import Answers
    from search.finals import Finals
    from search.gallery_page import AnsweredSet, Model
    from search.plan import Plan
    from search.records import TrialKey
    from vpr.datasets import Folders

GALLERY = "gallery.html"
MAX_MB = 1.0
VAL = "val"


@dataclass(frozen=True)
class GallerySettings:
    """Show what a search's best model found for which query, beside the runner-up or of any two trials."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the search."""
    trials: tuple[int, int] | None = None
    """Two trials A B whose weights are kept: B against A, on val, which is measured now if it was not."""
    set: str | None = None
    """val, one of several val sets (val/NAME) or one of the test sets alone; all whose rankings are kept if not given."""
    storage: Path = field(default_factory=default_storage)
    """Folder that holds the search."""
    to: Path | None = None
    """File to write; gallery.html of the search if not given."""
    max_mb: float = MAX_MB
    """MiB that the gallery may take; the most telling queries come first."""
    data: str | None = None
    """Where the pictures are now, if they were moved since the search."""


def main(settings: GallerySettings) -> int:
    from rich.console import Console

    from search.gallery_page import as_html, as_page

    if Path(settings.name).name != settings.name:
        raise ConfigError(f"{settings.name} is a path; give the name of a search, and its folder with --storage")
    if settings.max_mb <= 0:
        raise ConfigError(f"--max-mb {settings.max_mb:g} must be above 0")
    folder = settings.storage / settings.name
    summary = read_summary(folder)
    runs = _chosen(summary, settings.trials)
    console = Console(highlight=False, markup=False)
    searched = _searched(settings)
    sets = _sets(settings, folder, searched, runs, console)
    models = [_model(key, run["params"]) for key, run in runs.items()]
    section = as_html(models, sets, round(settings.max_mb * 2**20))
    file = settings.to or folder / GALLERY
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, as_page(settings.name, section))
    console.print(f"gallery   {file} ({file.stat().st_size / 2**20:.2f} MiB)", soft_wrap=True)
    return 0


def write(plan: "Plan", finals: "Finals", console: "Console", max_mb: float = MAX_MB) -> None:
    """At the end of a search: gallery.html of the exported model and the runner-up, from the rankings that were kept.

    Where that cannot be done, the reason is told in one line. The pictures are read here, and not on a worker: the plan has read all of
    them on this node already.
    """
    from search.gallery_page import as_html, as_page
    from search.screen import told
    from search.storage import patiently

    with told(console, "the gallery could not be made"):
        runs = {found.best_run.key: found.record.leaves for found in finals.finalists[:2]}
        folders = {**plan.folders.reported_vals, **plan.folders.tests}
        kept = {name: found for name in folders if (found := _kept(plan.folder, list(runs), name))}
        if not kept:
            raise DataError("the nearest pictures of the finalists were not kept")
        sets = [open_set(name, folders[name], found) for name, found in kept.items()]
        models = [_model(key, leaves) for key, leaves in runs.items()]
        section = as_html(models, sets, round(max_mb * 2**20))
        patiently(_write, plan.folder / GALLERY, as_page(plan.name, section))


def remove(folder: Path) -> None:
    """The gallery of a search, which is of other finalists now."""
    (folder / GALLERY).unlink(missing_ok=True)


def open_set(name: str, folder: Path, answers: "list[Answers]") -> "AnsweredSet":
    """The pictures that the answers are about; raises DataError where they are not the ones that were measured."""
    from search.gallery_page import AnsweredSet
    from vpr.datasets import read_retrieval_set, retrieval_fingerprint

    known = {(found.fingerprint, found.radius_m, *found.skipped) for found in answers}
    if known != {(retrieval_fingerprint(folder), answers[0].radius_m, *answers[0].skipped)}:
        raise DataError(f"{folder} does not hold the pictures that were measured; put them back, or give --data")
    base = read_retrieval_set(folder).index.folder
    return AnsweredSet(name, base, read_retrieval_set(folder, {base / path for path in answers[0].skipped}), answers)


def _chosen(summary: dict[str, Any], trials: tuple[int, int] | None) -> "dict[TrialKey, dict[str, Any]]":
    """The trainings to compare, with what summary.json says of them: the winner and the runner-up, or B and A."""
    from vpr.results import best_key

    searched = {(entry["id"], None): entry for entry in summary["trials"]}
    again = {
        (finalist["trial"], run["seed"]): {**run, "params": searched[finalist["trial"], None]["params"]}
        for finalist in summary.get("finalists", ())
        for run in sorted(finalist["seeds"], key=lambda run: best_key(run["best"]), reverse=True)
    }
    runs = {**searched, **again}
    if trials is None:
        if not summary["best"]:
            raise ConfigError("no trial of the search succeeded, so that there is nothing to show")
        numbers = list(dict.fromkeys(number for number, _ in again)) or [summary["best"]["trial"]]
        usable = list(again or runs)
    else:
        numbers, usable = [trials[1], trials[0]], [key for key, run in runs.items() if run["checkpoint"]]
    known = ", ".join(map(str, sorted({number for number, _ in usable}))) or "none"
    found = {}
    for number in numbers[:2]:
        keys = [key for key in usable if key[0] == number]
        if not keys:
            raise ConfigError(f"no weights of trial {number} are kept; trials whose weights are kept: {known}")
        found[keys[0]] = runs[keys[0]]
    if trials and len(found) < 2:
        raise ConfigError(
            f"--trials {trials[0]} {trials[1]} are the same; give two of those whose weights are kept: {known}"
        )
    return found


def _searched(settings: GallerySettings) -> SearchSettings:
    """What the search began with, with the pictures where they are now."""
    from search.resume import BEGINNING, find_beginning, joined

    folder = settings.storage / settings.name
    if not (folder / BEGINNING).exists():
        raise ConfigError(
            f"{folder} has no {BEGINNING}, which says where the pictures are; run this where the search ran"
        )
    given = SearchSettings(name=settings.name, storage=settings.storage)
    beginning = find_beginning(given)
    searched = joined(given, beginning) if beginning else given
    if settings.data is None:
        return searched
    # Several val sets stay where they were, as named test sets do: a folder of sets holds one.
    return replace(searched, data=settings.data, train=None, val=searched.val if len(searched.val) > 1 else ())


def _sets(
    settings: GallerySettings,
    folder: Path,
    searched: SearchSettings,
    runs: "dict[TrialKey, dict[str, Any]]",
    console: "Console",
) -> "list[AnsweredSet]":
    """The sets to show, with the answers that were kept; val is measured where they were not, a test set never."""
    from search.measuring import measured

    sets = _folders(searched)
    vals, folders = list(sets.reported_vals), {**sets.reported_vals, **sets.tests}
    if settings.set not in (None, VAL, *folders):
        raise ConfigError(f"--set {settings.set} is no set of the search; it has {', '.join(folders)}")
    if settings.trials and settings.set not in (None, VAL, *vals):
        raise ConfigError(f"--set {settings.set} is sealed: --trials compares on val alone; leave one of them out")
    if settings.set in (None, VAL):
        names = vals if settings.trials or settings.set else list(folders)
    else:
        names = [settings.set]
    found = []
    for name in names:
        answers = _kept(folder, list(runs), name)
        if answers is None and name in vals:
            answers = [
                measured(folder / run["checkpoint"], name, folders[name], searched, console, _model(key, {}).title)
                for key, run in runs.items()
                if run["checkpoint"]
            ]
        if answers is None or len(answers) < len(runs):
            why = "" if name in vals else ", and a test set is not looked at again"
            console.print(f"left out  {name}: its rankings were not kept{why}", soft_wrap=True)
        else:
            found.append(open_set(name, folders[name], answers))
    if not found:
        raise ConfigError(
            f"{folder} keeps no rankings of {', '.join(names)}; name two trials whose weights are kept with --trials A B"
        )
    return found


def _folders(searched: SearchSettings) -> "Folders":
    """Return the sets on this machine."""
    from search.plan import source_of
    from vpr.sources import root_here

    source = source_of(searched)
    return find_folders(searched, root_here(source) if source else None)


def _kept(folder: Path, keys: "list[TrialKey]", name: str) -> "list[Answers] | None":
    """What all of the models answered on a set; None where the nearest pictures of one were not kept."""
    from search.answers import answers_file, read_answers

    found = [read_answers(answers_file(folder, key, name)) for key in keys]
    known = [answers for answers in found if answers is not None and answers.nearest is not None]
    return known if len(known) == len(keys) else None


def _model(key: "TrialKey", leaves: dict[str, Any]) -> "Model":
    from search.gallery_page import Model
    from search.records import what_varied

    title = f"trial {key[0]}" + ("" if key[1] is None else f", seed {key[1]}")
    return Model(
        title, what_varied({name: tuple(value) if isinstance(value, list) else value for name, value in leaves.items()})
    )


def _write(file: Path, page: str) -> None:
    aside = file.with_name(f"{file.name}.partial-{os.getpid()}")
    aside.write_text(page, encoding="utf-8")
    os.replace(aside, file)


if __name__ == "__main__":
    cli.run(main, GallerySettings, "python search/gallery.py")
