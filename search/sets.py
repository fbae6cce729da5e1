"""What the sets of a search hold, looked at before anything is spent."""

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from search.settings import SearchSettings
from vpr.batches import PlaceSampler
from vpr.config import TrialConfig
from vpr.data import Retrieval, open_data, open_retrieval
from vpr.datasets import Places, RetrievalSet, SmallPlaces, read_places, read_retrieval_set
from vpr.errors import BadImagesError, DataError
from vpr.folders import Folders
from vpr.index import Index, retrieval_index, train_index
from vpr.index_arrays import fingerprint_of
from vpr.large_sets import prepared
from vpr.memory import memory_for_images
from vpr.overlap import Overlap, find_overlap
from vpr.store_files import cache_folder
from vpr.store_form import Form, StoreForm, choose_form
from vpr.walking import walk


@dataclass(frozen=True)
class Sets:
    """Train, the val sets and the test sets, all of which can be read."""

    fingerprint: str
    """Of the names and sizes of train and the val sets, the same for copies of them."""
    content: str
    """Hash of the contents of all images of all sets."""
    places: int
    """Of the training set that batches draw from."""
    images: int
    """Of the training set."""
    small_groups: int
    """Places that are left out, as their group of cells has fewer places than a batch (`vpr.cells`)."""
    small: SmallPlaces
    """Places of the training set that are left out."""
    skipped: Mapping[str, int]
    """Images that cannot be read and were left out, by set."""
    ceilings: Mapping[str, tuple[int, int]]
    """Queries without any positive, and all queries, by set."""
    databases: Mapping[str, int]
    """Database images, by set."""
    ignored: Mapping[str, tuple[int, str]]
    """Hidden files and system folders, by set: how many, and the first."""
    foreign: Mapping[str, tuple[int, str]]
    """Images in formats other than JPEG and PNG, by set: how many, and the first."""
    repeated: Mapping[str, tuple[int, str]]
    """Folders that were reached by two paths and read once, by set: how many, and the first."""
    overlap: Overlap
    """What the sets share; refused unless --allow-overlap was given."""
    form: Form
    """Of the image store on this machine."""

    def sizes_of(self, name: str) -> str:
        """Return how many images a val or test set has, in words; `name` is the reported one."""
        return f"{self.databases[name]:,} database images, {self.ceilings[name][1]:,} queries"

    def lines(self) -> list[str]:
        """Return what the start and the reports of a search say of images that do not count, and of recalls that cannot be reached."""
        lines = [f"places    {self.small}"] if self.small.places else []
        if self.small_groups:
            lines.append(
                f"places    {self.small_groups:,} places are left out: their groups of cells do not fill a batch"
            )
        lines += [
            f"skipped   {count} images of {name} cannot be read and are left out"
            for name, count in self.skipped.items()
        ]
        lines += [
            f"ignored   {count} hidden files and system folders of {name}, first {first}"
            for name, (count, first) in self.ignored.items()
        ]
        lines += [
            f"ignored   {count} images of {name} are neither JPEG nor PNG, first {first}"
            for name, (count, first) in self.foreign.items()
        ]
        lines += [
            f"repeated  {count} folders of {name} are reached by two paths and read once, first {first}"
            for name, (count, first) in self.repeated.items()
        ]
        lines += [
            f"ceiling   {missing:,} of {queries:,} queries of {name} have no database image near: "
            f"at most {100 * (queries - missing) / queries:.1f} % can be reached"
            for name, (missing, queries) in self.ceilings.items()
            if missing
        ]
        return lines + _overlap_lines(self.overlap)


def look_at_sets(
    folders: Folders,
    base: TrialConfig,
    settings: SearchSettings,
    session: str,
    tell: Callable[[str], None],
    meanwhile: Callable[[], None],
) -> Sets:
    """Read the index of each set, compare the sets, and put their images into the store of this machine.

    Args:
        folders: Of all sets.
        base: What a trial is before the space varies it.
        settings: --allow-overlap, --cache-budget and --on-bad-image are used.
        session: As for `vpr.index.train_index`; the walks of the folders are made here.
        tell: Gets the line about the store, before anything is written.
        meanwhile: Is called while other processes read large sets, to do other work.

    Raises:
        DataError: A set cannot be used.
        BadImagesError: Images cannot be read; it has those of all sets.
    """
    with prepared(folders, base.data.positive_radius_m, session) as is_beside:
        if is_beside:
            meanwhile()
        indexes = {name: retrieval_index(folder, session) for name, folder in folders.held_out.items()}
        _check_val(folders, base, session)
    train = train_index(folders.train, session)
    places = read_places(folders.train, base.data, session=session)
    sampler = PlaceSampler(places.labels, base.data, base.training.seed, places.groups)  # refuses too few places
    overlap = _check_overlap(folders, base, settings.allow_overlap, session)
    found: dict[str, Index] = {"train": train, **indexes}
    held_out = [read_retrieval_set(folder, session=session) for folder in folders.held_out.values()]
    form = _choose_form([places, *held_out], base, settings.cache_budget)
    tell(form.line)
    ceilings, skipped, small, content = _open_all(folders, base, settings, session, form.form)
    vals = [indexes[name] for name in folders.reported_vals]
    return Sets(
        _together([train, *vals]),
        content,
        places.count - sampler.left_out,
        len(train),
        sampler.left_out,
        small,
        {name: count for name, count in skipped.items() if count},
        ceilings,
        databases={name: index.database for name, index in indexes.items()},
        ignored=_counted(found, "ignored"),
        foreign=_counted(found, "foreign"),
        repeated=_counted(found, "repeated"),
        overlap=overlap,
        form=form.form,
    )


def _counted(found: Mapping[str, Index], what: str) -> dict[str, tuple[int, str]]:
    return {name: tuple(index.facts[what]) for name, index in found.items() if index.facts[what][0]}


def _choose_form(found: Iterable[Places | RetrievalSet], base: TrialConfig, budget_gb: float | None) -> StoreForm:
    """Choose the form of the stores of all sets together; what they take of the disk already is theirs."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    there = sum(file.stat().st_size for file in cache.iterdir() if file.suffix in (".npy", ".pack"))
    parts = {part.name: (one.index, part.rows) for one in found for part in one.parts}  # a shared gallery once
    sizes = [(name, len(rows), int(index.sizes[rows].sum())) for name, (index, rows) in parts.items()]
    free = shutil.disk_usage(cache).free + there
    return choose_form(sizes, base.data.image_size, budget_gb, memory_for_images(), free)


def fingerprint_of_sets(folders: Folders, session: str = "") -> str:
    """Return the fingerprint of train and the val sets."""
    vals = [retrieval_index(folder, session) for folder in folders.vals.values()]
    return _together([train_index(folders.train, session), *vals])


def fingerprint_of_all(folders: Folders) -> str:
    """Return the hash of names and sizes of train and the val sets that version 0.5 wrote into its searches."""
    listings = [walk(folder) for folder in (folders.train, *folders.vals.values())]
    return fingerprint_of(*((listing.folder, listing.names, listing.sizes) for listing in listings))


def _together(indexes: Iterable[Index]) -> str:
    return hashlib.sha256(" ".join(index.fingerprint for index in indexes).encode()).hexdigest()[:16]


def _check_val(folders: Folders, base: TrialConfig, session: str) -> None:
    for folder in folders.vals.values():
        found = read_retrieval_set(folder, session=session)
        if not any(len(right) for right in found.positives(base.data.positive_radius_m)):
            raise DataError(
                f"no query of {folder} has a database image within {base.data.positive_radius_m:g} m, so that every model "
                "would have recall 0; are database and queries of one city, and in metres?"
            )


def _check_overlap(folders: Folders, base: TrialConfig, is_allowed: bool, session: str) -> Overlap:
    overlap = find_overlap(folders, base.data.positive_radius_m, session)
    if not overlap.is_clean and not is_allowed:
        raise DataError(
            f"{overlap.describe()}; take them out of one of the sets, or say --allow-overlap and trust no recall"
        )
    return overlap


def _open_all(
    folders: Folders, base: TrialConfig, settings: SearchSettings, session: str, form: Form
) -> tuple[dict[str, tuple[int, int]], dict[str, int], SmallPlaces, str]:
    """Decode all sets.

    Returns:
        By set the queries without positives and all queries; by set the images left out; the places left out; and a hash
        of the contents of all images.
    """
    how = settings.cache_budget, settings.on_bad_image, session, form
    opened: dict[str, Retrieval] = {}
    bad: dict[Path, str] = {}
    skipped, small = {}, None
    try:
        data = open_data(folders, base.data, *how)
        skipped["train"], small = len(data.skipped), data.small
        opened |= dict(zip(folders.reported_vals, data.vals.values(), strict=True))
    except BadImagesError as error:
        bad.update(error.faults)
    for name, folder in folders.tests.items():
        try:
            opened[name] = open_retrieval(folder, base.data, *how)
        except BadImagesError as error:
            bad.update(error.faults)
    if bad:
        raise BadImagesError(bad)
    assert small
    ceilings = {name: (one.queries_without_positives, len(one.queries)) for name, one in opened.items()}
    contents = " ".join([data.content, *(one.content for one in opened.values())])
    content = hashlib.sha256(contents.encode()).hexdigest()[:16]
    return ceilings, {**skipped, **{name: len(one.skipped) for name, one in opened.items()}}, small, content


def _overlap_lines(overlap: Overlap) -> list[str]:
    lines = [] if overlap.is_clean else [f"OVERLAP   {overlap.describe()}: no recall of this search can be trusted"]
    lines += [
        f"overlap   {count} val images have an image of {name} near: its recall is not of another place"
        for name, count in overlap.near_val.items()
        if count
    ]
    if overlap.train_without_position:
        lines.append(
            f"overlap   {overlap.train_without_position} training images say no position and were not compared"
        )
    return lines
