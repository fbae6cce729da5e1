"""Everything that is decided and checked before a search spends anything."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from search.ledger import LEDGER, read_ledger
from search.settings import SearchSettings, find_folders, timely_name
from search.space import Space, load_space, probe
from vpr.batches import PlaceSampler
from vpr.config import TORCHVISION_BACKBONES, TrialConfig, Value
from vpr.data import open_data, open_retrieval
from vpr.datasets import Folders, find_images, fingerprint
from vpr.errors import BadImagesError, ConfigError, DataError
from vpr.leaves import from_leaves, parse_assignments, to_leaves
from vpr.minicity.preset import PRESET
from vpr.overlap import Overlap, find_overlap
from vpr.sources import MINICITY, is_address, root_here

DEFAULT_SPACE, DEFAULT_TRIALS = "losses", 12
KEEP = 3
"""Trials whose weights stay on the disk."""
CONFIRM, CONFIRM_MINICITY = 3, 2
"""Finalists, and seeds of each."""


@dataclass(frozen=True)
class Plan:
    """What will be run."""

    name: str
    search_id: str
    """By which MLflow and the ledger know it: a name may come again."""
    folder: Path
    """`<storage>/<name>`, absolute."""
    space: Space
    base: TrialConfig
    """Defaults, MiniCity's preset, `--set`: what a trial is before the space varies it."""
    pinned: Mapping[str, Value]
    """Leaves of `--set`; a space cannot vary them."""
    preset: Mapping[str, Value]
    """MiniCity's own settings; empty on real data."""
    data: Mapping[str, str]
    """Root and fingerprint of train and val, and val's folder."""
    source: str
    """Where every node finds the sets (`vpr.sources.root_here`)."""
    folders: Folders
    """On this node."""
    trials: int
    train_data: list[str] | None
    """Where `python -m vpr.train` finds the same data; None where single folders were given."""
    seed: int
    early_stopping: str
    confirm: int
    """Best configurations that are trained again, in full."""
    confirm_seeds: list[int]
    """`training/seed` of these trainings; the search's own is not among them."""
    kept: int
    """Best trials whose weights stay on the disk."""
    time_budget_s: float | None
    cache_budget: float | None
    """GB of a node's disk for decoded images; None: a share of what is free."""
    on_bad_image: str
    samples: list[TrialConfig]
    """Some configurations of the space."""
    places: int
    """Of the training set."""
    skipped: Mapping[str, int]
    """Images that cannot be read and were left out, by set."""
    overlap: Overlap
    """What the sets share; refused unless --allow-overlap was given."""

    @property
    def train_and_val(self) -> Folders:
        """Below the source's root on any node, and without the test sets, which a trial must not see."""
        return replace(self.folders.relative_to(root_here(self.source)), tests={})

    @property
    def resume(self) -> str:
        """What to type to go on after an interruption."""
        storage = self.folder.parent
        where = "" if storage == Path("results").resolve() else f" --storage {shlex.quote(str(storage))}"
        return f"python search/run.py --name {self.name}{where}"

    @property
    def ledger(self) -> Path:
        """Of the looks at test sets, by all searches of the storage."""
        return self.folder.parent / LEDGER

    @property
    def epochs(self) -> int:
        return self.base.training.epochs


def make_plan(
    settings: SearchSettings, search_id: str | None = None, tell: Callable[[str], None] = lambda line: None
) -> Plan:
    """search_id: of the search that goes on, if one does; tell: gets what will be searched, before the data is looked at. Check space, settings, data and weights; decode train and val. Raises VPRError and writes nothing but caches."""
    space = load_space(settings.space or DEFAULT_SPACE)
    seed = settings.seed or 0
    source = source_of(settings)
    is_minicity = source == MINICITY
    preset = dict(PRESET) if is_minicity else {}
    base, pinned = _base(settings, preset)
    trials = settings.trials or space.fixed_trials or DEFAULT_TRIALS
    if space.fixed_trials and trials > space.fixed_trials:
        raise ConfigError(
            f"--trials {trials}, but --space {space.name} is a fixed list of {space.fixed_trials}; lower it"
        )
    samples = probe(space, base, pinned, seed)
    if trials > 1 and all(sample == samples[0] for sample in samples):
        raise ConfigError(
            f"the space {space.name} varies nothing that --set does not hold; try it once with --trials 1"
        )
    name = settings.name or timely_name(space.name)
    tell(f"search    {name}: {trials} trials of at most {base.training.epochs} epochs, space {space.name}")
    folders = find_folders(settings, root_here(source) if source else None)
    read_ledger(settings.storage / LEDGER)  # refuses one that was changed, before anything is spent
    overlap = _check_overlap(folders, base, settings.allow_overlap)
    places, skipped = _check_data(folders, base, settings)
    few = CONFIRM_MINICITY if is_minicity else CONFIRM
    confirm = min(few if settings.confirm is None else settings.confirm, trials)
    seeds = range(base.training.seed + 1, base.training.seed + 1 + (settings.confirm_seeds or few))
    return Plan(
        name,
        search_id or f"{name}-{uuid4().hex[:8]}",
        settings.storage.resolve() / name,
        space,
        base,
        pinned,
        preset,
        _data_facts(folders),
        source,
        folders,
        trials,
        train_data=_train_data(settings, is_minicity),
        seed=seed,
        early_stopping=settings.early_stopping or ("none" if space.fixed_trials else "asha"),
        confirm=confirm,
        confirm_seeds=list(seeds),
        kept=trials if space.fixed_trials else max(settings.keep or KEEP, confirm),
        time_budget_s=settings.time_budget and settings.time_budget * 60,
        cache_budget=settings.cache_budget,
        on_bad_image=settings.on_bad_image,
        samples=samples,
        places=places,
        skipped=skipped,
        overlap=overlap,
    )


def source_of(settings: SearchSettings) -> str:
    """Where every node finds the sets (`vpr.sources.root_here`); empty for paths, which are the same everywhere."""
    if settings.data is None and settings.train is None and settings.val is None:
        return MINICITY
    return settings.data if settings.data and is_address(settings.data) else ""


def _data_facts(folders: Folders) -> dict[str, str]:
    images = find_images(folders.train) + find_images(folders.val)
    root = Path(os.path.commonpath([folders.train, folders.val]))
    return {"root": str(root), "fingerprint": fingerprint(images), "val": str(folders.val)}


def _base(settings: SearchSettings, preset: Mapping[str, Value]) -> tuple[TrialConfig, dict[str, Value]]:
    given: dict[str, Any] = parse_assignments(settings.set)
    flags = {"training/epochs": settings.epochs, "training/seed": settings.seed or None}
    for leaf, value in flags.items():
        if value is not None and str(given.setdefault(leaf, value)) != str(value):
            raise ConfigError(f"--set {leaf}={given[leaf]} and its own flag ({value}) disagree; give one of them")
    base = from_leaves({**preset, **given})
    if base.training.epochs == 0:
        raise ConfigError("training/epochs=0 leaves nothing to search; give at least 1")
    if base.model.weights not in ("imagenet", "none"):
        # A worker has another current folder.
        absolute = str(Path(base.model.weights).resolve())
        given["model/weights"] = absolute
        base = from_leaves({**preset, **given})
    leaves = to_leaves(base)
    return base, {leaf: leaves[leaf] for leaf in given}


def _check_overlap(folders: Folders, base: TrialConfig, is_allowed: bool) -> Overlap:
    overlap = find_overlap(folders, base.data.positive_radius_m)
    if not overlap.is_clean and not is_allowed:
        raise DataError(f"{overlap.describe()}; take them out of train, or say --allow-overlap and trust no recall")
    return overlap


def _train_data(settings: SearchSettings, is_minicity: bool) -> list[str] | None:
    if is_minicity:
        return []
    if settings.data is None or settings.train or settings.val:
        return None
    return [f"--data={settings.data if is_address(settings.data) else Path(settings.data).resolve()}"]


def _check_data(folders: Folders, base: TrialConfig, settings: SearchSettings) -> tuple[int, dict[str, int]]:
    """Decode all sets; returns the number of training places, and how many images of each set were left out. Raises BadImagesError with those of all sets."""
    skipped, faults = {}, {}
    how = settings.cache_budget, settings.on_bad_image
    try:
        data = open_data(folders, base.data, *how)
        PlaceSampler(data.labels, base.data, base.training.seed)  # refuses too few places
        skipped = {"train": len(data.skipped), "val": len(data.val.skipped)}
    except BadImagesError as fault:
        faults.update(fault.faults)
    for name, folder in folders.tests.items():
        try:
            skipped[name] = len(open_retrieval(folder, base.data, *how).skipped)
        except BadImagesError as fault:
            faults.update(fault.faults)
    if faults:
        raise BadImagesError(faults)
    if base.model.weights != "none" or base.model.backbone not in TORCHVISION_BACKBONES:
        from vpr.backbones import build_backbone  # imports torch: seconds that MiniCity need not wait

        build_backbone(base.model, base.data.image_size)
    return data.places, {name: count for name, count in skipped.items() if count}
