"""One trial on one worker: the only place where training meets Ray Tune."""

import faulthandler
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ray import tune

from search.answers import answers_file, answers_of, keep_answers
from search.records import FAILED, METRIC, TrialKey
from search.storage import patiently
from vpr.config import DataConfig, TrialConfig
from vpr.data import TrainingData, open_data
from vpr.datasets import Folders
from vpr.errors import TrainingError, VPRError
from vpr.leaves import from_leaves
from vpr.sources import root_here

if TYPE_CHECKING:
    from vpr.train import Trainer


def run_trial(
    suggestion: dict[str, Any],
    base: TrialConfig,
    source: str,
    folders: Folders,
    trials: Path,
    budget_gb: float | None,
    on_bad_image: str,
    cpus: int,
    device: str,
    session: str = "",
) -> None:
    """Train what was suggested from its last epoch on, and report every epoch after its checkpoint is on the disk.

    suggestion: `{"trial": number, "leaves": {leaf: value}, "seed": of a finalist trained again, "folder": below `trials`}`;
    source, folders: train and the val sets, and no test set, below `vpr.sources.root_here(source)`; budget_gb: that
    decoded images of the node may take; session: as for `vpr.index.train_index`.
    """
    import torch  # on the worker only: the driver needs neither it nor its memory

    from search.usage import usage
    from vpr.checkpoint import load_latest, save_epoch
    from vpr.memory import keep_freed_memory
    from vpr.precision import pick_device
    from vpr.train import Trainer

    if not trials.parent.is_dir():
        raise OSError(f"{trials.parent} is not on {socket.gethostname()}; mount the storage there")
    folder = trials / suggestion["folder"]
    with _told_why(folder):
        config = from_leaves(suggestion["leaves"], base)
        torch.set_num_threads(cpus)
        keep_freed_memory()
        data = _found(source, folders, config, base, budget_gb, on_bad_image, session)
        state = patiently(load_latest, folder, config)
        trainer = Trainer(config, data, pick_device(device), is_resumed=state is not None)
        if state:
            trainer.load_state_dict(state)
            assert trainer.metrics
            _report({**trainer.metrics, **usage(device)}, None)  # the driver may have been killed before it heard of it
        usage(device)  # from here on
        for result in trainer:
            if trainer.is_best and suggestion["seed"] is not None:
                # Before the checkpoint, which is then not without them; the search's end need not measure val again.
                _keep_answers(trainer, trials.parent, (suggestion["trial"], suggestion["seed"]), folders)
            patiently(save_epoch, folder, trainer.state_dict(), config)
            _report({**result.metrics(), **usage(device)}, trainer.first_step_at)


def _keep_answers(trainer: "Trainer", search: Path, key: TrialKey, folders: Folders) -> None:
    """Keep what the last epoch's model answered on each val set."""
    for name, reported in zip(folders.vals, folders.reported_vals, strict=True):
        answers = answers_of(trainer.rankings[name], trainer.data.vals[name], trainer.config.data.positive_radius_m)
        patiently(keep_answers, answers_file(search, key, reported), answers)


def _report(metrics: dict[str, float], first_step_at: float | None) -> None:
    tune.report({**metrics, "first_step_at": first_step_at, "reported_at": time.time()})


@contextmanager
def _told_why(folder: Path) -> Iterator[None]:
    """Says why a trial fails before it does, also where native code kills the process: then the next worker says it."""
    crash = folder / "crash.txt"
    try:
        if crash.exists() and (last := crash.read_text()):
            raise TrainingError(f"native code crashed: {_in_one_line(last)}")
        with patiently(_opened_to_write, crash) as trace:
            faulthandler.enable(trace)
            try:
                yield
            finally:
                faulthandler.enable()
        crash.unlink(missing_ok=True)
    except Exception as fault:
        crash.unlink(missing_ok=True)
        if _may_heal(fault):
            raise
        tune.report({FAILED: _reason(fault), METRIC: float("nan"), "epoch": 0})
        raise


def _may_heal(fault: Exception) -> bool:
    """On another worker: a fault of the machine, such as a disk or a GPU that went away."""
    from torch import AcceleratorError

    return isinstance(fault, OSError | AcceleratorError)


def _opened_to_write(file: Path) -> IO[str]:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file.open("w")


def _reason(fault: Exception) -> str:
    """One line; our own errors need no name before their message, and the system's no traceback."""
    text = " ".join(str(fault).split())[:250]
    name = type(fault).__name__
    if name in ("MemoryError", "OutOfMemoryError"):  # torch's own is one of them
        text += "; lower data/places_per_batch, or give a trial more of the machine"
    return text if isinstance(fault, VPRError) else f"{name}: {text}"


def _in_one_line(trace: str) -> str:
    """`Fatal Python error: Segmentation fault` and the innermost line of Python, of faulthandler's trace."""
    lines = [line.strip() for line in trace.splitlines()]
    current = next((at for at, line in enumerate(lines) if line.startswith("Current thread")), 0)
    inner = next((line for line in lines[current:] if line.startswith("File ")), "")
    return f"{lines[0].removeprefix('Fatal Python error: ')}, {inner}".rstrip(", ")


def _found(source: str, folders: Folders, config: TrialConfig, base: TrialConfig, *given: Any) -> TrainingData:
    """Train and val on this machine.

    Raises OSError, which may heal on another one, for a fault of sets that the driver itself could read as `base` has them.
    """
    try:
        own = folders.below(root_here(source))
        return patiently(_opened, own.train, tuple(own.vals.items()), config.data, *given)
    except VPRError as fault:
        if config.data != base.data:
            raise
        raise OSError(f"on {socket.gethostname()}: {fault}") from None


@cache
def _opened(
    train: Path,
    vals: tuple[tuple[str, Path], ...],
    config: DataConfig,
    budget_gb: float | None,
    on_bad_image: str,
    session: str,
) -> TrainingData:
    """A reused worker finds the data of its trial before open."""
    return open_data(Folders(train, dict(vals)), config, budget_gb, on_bad_image, session)
