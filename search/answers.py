"""What a measured model answered on a set, kept in `answers/` of its search: measured once, looked at as often as one likes."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from search.records import TrialKey
from vpr.data import Retrieval
from vpr.errors import DataError

NEAREST = 5
"""Database pictures of each query that are kept."""


@dataclass(frozen=True)
class Answers:
    """Of one model on one set of Q queries."""

    first: np.ndarray
    """(Q,) place of the first right answer, counted from 0 (`vpr.recall.first_hits`)."""
    nearest: np.ndarray | None = None
    """(Q, n <= 5) database indices, nearest first; None where an earlier version kept `first` alone."""
    radius_m: float = 0.0
    """A database picture this close to the query is right."""
    skipped: list[str] = field(default_factory=list)
    """Pictures that could not be read and have no index, by their path below the set's folder."""
    fingerprint: str = ""
    """Of the set's pictures (`vpr.datasets.retrieval_fingerprint`): the indices are theirs."""


def answers_file(folder: Path, key: TrialKey, name: str) -> Path:
    """Where the answers of a model on a set lie, another file for `a/b` than for `a-b`; folder: of the search."""
    return folder / "answers" / f"{key[0]}-{key[1]}-{name.replace('-', '--').replace('/', '-')}.npz"


def read_answers(file: Path) -> Answers | None:
    """None where there are none; those of an earlier version have no nearest ones. Raises DataError for a damaged file."""
    older = file.with_suffix(".npy")
    try:
        if not file.exists():
            return Answers(np.load(older)) if older.exists() else None
        with np.load(file) as kept:
            known = kept["first"], kept["nearest"], float(kept["radius_m"])
            return Answers(*known, kept["skipped"].tolist(), str(kept["fingerprint"]))
    except (BadZipFile, ValueError, KeyError, EOFError) as fault:
        raise DataError(f"{file} is damaged ({fault}); remove it to have the set measured again") from None


def keep_answers(file: Path, answers: Answers) -> None:
    """Write beside and rename."""
    file.parent.mkdir(exist_ok=True)
    partial = file.with_name(f"{file.name}.partial-{os.getpid()}")
    assert answers.nearest is not None
    skipped = np.array(answers.skipped, dtype=np.str_)
    with partial.open("wb") as sink:
        np.savez_compressed(
            sink,
            first=answers.first,
            nearest=answers.nearest,
            radius_m=answers.radius_m,
            skipped=skipped,
            fingerprint=answers.fingerprint,
        )
        sink.flush()
        os.fsync(sink.fileno())
    os.replace(partial, file)


def measure(
    checkpoint: Path,
    folder: Path,
    budget_gb: float | None,
    on_bad_image: str,
    device: str,
    watched: Callable[[Retrieval], Retrieval] = lambda retrieval: retrieval,
) -> Answers:
    """Rank a set with a model; folder: of the set on this node; watched: may put something between its images and the model. Raises VPRError."""
    from vpr.data import open_retrieval
    from vpr.evaluate import ranking
    from vpr.export import load_model
    from vpr.precision import pick_device

    model, config = load_model(checkpoint)
    where = pick_device(device)
    retrieval = watched(open_retrieval(folder, config.data, budget_gb, on_bad_image))
    ranked = ranking(model.to(where), retrieval, config.training.precision, where)
    return answers_of(ranked, retrieval, config.data.positive_radius_m)


def answers_of(ranked: np.ndarray, retrieval: Retrieval, radius_m: float) -> Answers:
    """Return what a ranking answers; ranked: (Q, n >= 5) database indices, nearest first."""
    from vpr.recall import first_hits

    return Answers(
        first_hits(ranked, retrieval.positives),
        ranked[:, :NEAREST].astype(np.int32),
        radius_m,
        sorted(str(path.relative_to(retrieval.folder)) for path in retrieval.skipped),
        retrieval.fingerprint,
    )
