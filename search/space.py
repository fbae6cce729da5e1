"""A space by name or file, checked before anything is spent."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import optuna

from vpr.config import TrialConfig, Value
from vpr.errors import ConfigError, VPRError
from vpr.leaves import all_leaves, from_leaves, to_leaves, to_text

optuna.logging.set_verbosity(optuna.logging.ERROR)

SHIPPED = ("optimizers", "schedulers", "losses", "full", "paper")
PROJECT = Path(__file__).resolve().parent.parent
PROBES = 30
"""Configurations drawn from a space to check that its leaves and values exist."""


@dataclass(frozen=True)
class Space:
    """What may vary, and what is tried first."""

    name: str
    suggest: Callable[[optuna.Trial], None]
    known_good: list[dict[str, Any]]
    fixed_trials: int | None
    """Length of a fixed list, which is run as a whole without early stopping; None for a space to search."""
    source: str
    """Text of its file."""
    tables: Sequence[Any] = ()
    """A study's own figures of the fixed list (`spaces.paper.StudyTable`), which are printed beside ours."""


def load_space(name: str) -> Space:
    """The shipped space or the file of that name; raises ConfigError where it is neither or has no `suggest`."""
    module = _from_file(Path(name)) if name.endswith(".py") else _shipped(name)
    stem, source = Path(name).stem, Path(str(module.__file__)).read_text()
    fixed, known_good = getattr(module, "FIXED", []), getattr(module, "KNOWN_GOOD", [])
    for label, entries in (("FIXED", fixed), ("KNOWN_GOOD", known_good)):
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ConfigError(f"--space {name}: {label} must be a list of dictionaries of leaves; see spaces/paper.py")
    if fixed:
        return Space(stem, _suggest_fixed(fixed), fixed, len(fixed), source, getattr(module, "TABLES", ()))
    if not callable(getattr(module, "suggest", None)):
        raise ConfigError(f"--space {name} has no function suggest(trial: optuna.Trial) -> None; see spaces/losses.py")
    return Space(stem, module.suggest, known_good, None, source)


def probe(space: Space, base: TrialConfig, pinned: Mapping[str, Value], seed: int) -> list[TrialConfig]:
    """Some configurations, drawn and built; raises ConfigError for a leaf or value that does not exist."""
    for entry in space.known_good:
        unknown = sorted(set(entry) - set(all_leaves()))
        if unknown:
            raise ConfigError(f"the space {space.name} tries {unknown[0]}, which is no leaf; see vpr/config.py")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    for entry in first_tries(space, pinned):
        study.enqueue_trial(entry)
    drawn = []
    for _ in range(space.fixed_trials or PROBES + len(space.known_good)):
        trial = study.ask()
        try:
            drawn.append(from_leaves(suggest_from(space, trial, pinned, base), base))
        except VPRError as fault:
            raise ConfigError(f"the space {space.name} suggests what cannot be trained: {fault}") from None
    return drawn


def first_tries(space: Space, pinned: Mapping[str, Value]) -> list[dict[str, Any]]:
    """The known-good configurations without pinned leaves, each once; a fixed list stays whole."""
    tries = [{leaf: value for leaf, value in entry.items() if leaf not in pinned} for entry in space.known_good]
    if space.fixed_trials is not None:
        return tries
    return [entry for number, entry in enumerate(tries) if entry not in tries[:number]]


def suggest_from(space: Space, trial: optuna.Trial, pinned: Mapping[str, Value], base: TrialConfig) -> dict[str, Value]:
    """The leaves of a trial over `base`: what the space suggests, and what of `--set` another choice than the base's dropped.

    Optuna is not asked for pinned leaves. Raises VPRError where the suggestion cannot be trained.
    """
    try:
        space.suggest(cast(optuna.Trial, PinnedTrial(trial, pinned)))
    except VPRError:
        raise
    except (Exception, SystemExit) as fault:  # whatever a user's function raises
        reason = f"{type(fault).__name__}: {fault}"
        raise ConfigError(f"the space {space.name} cannot be sampled ({reason}); mend its suggest()") from None
    own = to_leaves(from_leaves(trial.params, base))
    dropped = {leaf: value for leaf, value in pinned.items() if leaf in own and own[leaf] != value}
    return {**trial.params, **dropped}


class PinnedTrial:
    """A trial as a space sees it, whose `suggest_*` give a pinned leaf's own value, inside the space's range or not."""

    def __init__(self, trial: optuna.Trial, pinned: Mapping[str, Value]) -> None:
        self._trial, self._pinned = trial, pinned

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._trial, name)
        if not name.startswith("suggest_"):
            return found
        return lambda leaf, *args, **kwargs: (
            self._pinned[leaf] if leaf in self._pinned else found(leaf, *args, **kwargs)
        )

    def suggest_categorical(self, leaf: str, choices: Sequence[Any]) -> Any:
        """Raises ConfigError for a choice that Optuna's journal does not give back as it was."""
        if bad := [choice for choice in choices if not isinstance(choice, bool | int | float | str | None)]:
            raise ConfigError(
                f"the choice {bad[0]!r} of {leaf} is neither text nor a number; write it as text: {to_text(leaf, bad[0])!r}"
            )
        return self.__getattr__("suggest_categorical")(leaf, choices)


def _suggest_fixed(runs: list[dict[str, Any]]) -> Callable[[optuna.Trial], None]:
    choices: dict[str, list[Any]] = {}
    for run in runs:
        for leaf, value in run.items():
            values = choices.setdefault(leaf, [])
            values.extend([value] if value not in values else [])

    def suggest(trial: optuna.Trial) -> None:
        for leaf in runs[trial.number % len(runs)]:
            trial.suggest_categorical(leaf, choices[leaf])

    return suggest


def _shipped(name: str) -> ModuleType:
    if name not in SHIPPED:
        close = get_close_matches(name, SHIPPED, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"--space {name} does not exist{hint}; there are {', '.join(SHIPPED)}, or give a .py file")
    module = importlib.import_module(f"spaces.{name}")
    if Path(str(module.__file__)).resolve().parent.parent != PROJECT:
        raise ConfigError(
            f"`spaces` is another package ({module.__file__}); pip uninstall spaces, then pip install -e ."
        )
    return module


def _from_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise ConfigError(f"--space {file} is no file; give a .py file or one of {', '.join(SHIPPED)}")
    print(f"space: runs the code of {file}", file=sys.stderr)
    spec = importlib.util.spec_from_file_location(f"user_space_{file.stem}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as fault:  # whatever a user's file raises
        raise ConfigError(f"--space {file} cannot be run ({type(fault).__name__}: {fault}); mend the file") from None
    return module
