"""Everything that is decided and checked before a search spends anything."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from search.ledger import LEDGER, read_ledger
from search.sets import Sets, look_at_sets
from search.settings import SearchSettings, find_folders, timely_name
from search.space import Space, load_space, probe
from vpr.config import EXPORT_FORMATS, TORCHVISION_BACKBONES, TrialConfig, Value
from vpr.errors import ConfigError
from vpr.folders import Folders
from vpr.leaves import from_leaves, parse_assignments, to_leaves
from vpr.minicity.preset import PRESET
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
    """GB that decoded images of a node may take; None: what fits into its memory."""
    on_bad_image: str
    formats: tuple[str, ...]
    """Of the export besides model.safetensors."""
    samples: list[TrialConfig]
    """Some configurations of the space."""
    sets: Sets
    """What they hold."""
    session: str
    """Of this run of the command: an index that it has checked on a machine needs no walk there (`vpr.index`)."""

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
    settings: SearchSettings,
    search_id: str | None = None,
    tell: Callable[[str], None] = lambda line: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Plan:
    """Check space, settings, data and weights, and put the images of all sets into the store. Writes nothing but caches.

    Args:
        settings: Of the command line.
        search_id: Of the search that continues, if one does.
        tell: Gets what will be searched, before the data is looked at.
        meanwhile: As for `search.sets.look_at_sets`.

    Raises:
        VPRError: Something cannot be used.
    """
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
    session = uuid4().hex
    sets = look_at_sets(folders, base, settings, session, tell, meanwhile)
    _check_weights(base)
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
        formats=EXPORT_FORMATS if settings.formats is None else settings.formats,
        samples=samples,
        sets=sets,
        session=session,
    )


def source_of(settings: SearchSettings) -> str:
    """Where every node finds the sets (`vpr.sources.root_here`); empty for paths, which are the same everywhere."""
    if settings.data is None and settings.train is None and not settings.val:
        return MINICITY
    return settings.data if settings.data and is_address(settings.data) else ""


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


def _train_data(settings: SearchSettings, is_minicity: bool) -> list[str] | None:
    if is_minicity:
        return []
    if settings.data is None or settings.train or settings.val:
        return None
    return [f"--data={settings.data if is_address(settings.data) else Path(settings.data).resolve()}"]


def _check_weights(base: TrialConfig) -> None:
    if base.model.weights != "none" or base.model.backbone not in TORCHVISION_BACKBONES:
        from vpr.backbones import build_backbone  # imports torch: seconds that MiniCity need not wait

        build_backbone(base.model, base.data.image_size)
