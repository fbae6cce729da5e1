"""Leaf names and values in and out of the config tree: `optimizer/lr=0.01`, MLflow parameters, config.json."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from difflib import get_close_matches
from functools import cache
from typing import Any, get_args, get_type_hints

from vpr.config import TrialConfig, Value
from vpr.errors import ConfigError


@cache
def all_leaves() -> dict[str, tuple[Field[Any], type]]:
    """Every leaf name with its field and its type (without `| None`), in the tree's order."""
    found = {}
    for branch, branch_type in get_type_hints(TrialConfig).items():
        hints = get_type_hints(branch_type)
        for f in fields(branch_type):
            kinds = [a for a in get_args(hints[f.name]) if a is not type(None)]
            is_optional = type(None) in get_args(hints[f.name])
            found[f"{branch}/{f.name}"] = (f, kinds[0] if is_optional else hints[f.name])
    return found


def to_leaves(config: TrialConfig) -> dict[str, Value]:
    """The leaves that this configuration has; those of other optimizers, losses and so on are left out."""
    leaves = {}
    for name, (f, _) in all_leaves().items():
        branch = getattr(config, name.split("/")[0])
        if "owners" not in f.metadata or getattr(branch, f.metadata["by"]) in f.metadata["owners"]:
            leaves[name] = getattr(branch, f.name)
    return leaves


def from_leaves(leaves: Mapping[str, Any], base: TrialConfig | None = None) -> TrialConfig:
    """The tree with these leaves set, the others as in `base` (or their defaults).

    Where a choice of `base` is replaced (its loss, say), the old choice's own leaves go with it, shared names included.
    Values may be text (`128x224`, `none`, `5,8`) or already typed. Raises ConfigError with all faults at once.
    """
    faults: list[str] = []
    values: dict[str, Value] = {}
    for name, raw in leaves.items():
        try:
            values[name] = _checked(name, raw)
        except ConfigError as fault:
            faults.append(str(fault))
    old = to_leaves(base) if base else {}
    merged = {**{name: value for name, value in old.items() if not _belongs_elsewhere(name, old, values)}, **values}
    config = TrialConfig(**{branch: cls(**_fields_of(branch, merged)) for branch, cls in _branches().items()})
    faults += [_not_owned(config, name) for name in values if name not in to_leaves(config)]
    faults += [] if faults else _conflicts(config)
    if faults:
        raise ConfigError("; ".join(faults))
    return config


def parse_assignments(assignments: Iterable[str]) -> dict[str, str]:
    """`["optimizer/lr=0.01"]` as a dictionary; raises ConfigError for text without `=` and for a leaf set twice."""
    found: dict[str, str] = {}
    for text in assignments:
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"--set {text!r} has no '='; write it as optimizer/lr=0.01")
        if found.setdefault(name, value) != value:
            raise ConfigError(f"--set {name} is given twice ({found[name]} and {value}); keep one")
    return found


def to_text(name: str, value: Value) -> str:
    """A leaf's value as it is written in `--set`: `none`, `true`, `128x224`, `5,8`, `0.01`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return ("x" if name == "data/image_size" else ",").join(str(part) for part in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _belongs_elsewhere(name: str, old: Mapping[str, Value], values: Mapping[str, Value]) -> bool:
    """Whether a leaf of the base goes because the choice that owns it is replaced."""
    f, _ = all_leaves()[name]
    if "owners" not in f.metadata:
        return False
    chooser = f"{name.split('/')[0]}/{f.metadata['by']}"
    return values.get(chooser, old[chooser]) != old[chooser]


def _branches() -> dict[str, Any]:
    return get_type_hints(TrialConfig)


def _fields_of(branch: str, merged: Mapping[str, Value]) -> dict[str, Value]:
    """Constructor arguments of a branch; `only` fields of another choice are dropped, the caller reports those set."""
    mine = {name.split("/")[1]: value for name, value in merged.items() if name.startswith(f"{branch}/")}
    for f in fields(_branches()[branch]):
        if "owners" in f.metadata and f.name in mine:
            by = f.metadata["by"]
            chooser = all_leaves()[f"{branch}/{by}"][0]
            if mine.get(by, chooser.default) not in f.metadata["owners"]:
                del mine[f.name]
    return mine


def _not_owned(config: TrialConfig, name: str) -> str:
    branch, _ = name.split("/")
    f, _ = all_leaves()[name]
    chooser = f"{branch}/{f.metadata['by']}"
    chosen = getattr(getattr(config, branch), f.metadata["by"])
    return f"{name} does not exist for {chooser}={chosen}; it belongs to {', '.join(f.metadata['owners'])}"


def _checked(name: str, raw: Any) -> Value:
    if name not in all_leaves():
        close = get_close_matches(name, all_leaves(), n=1, cutoff=0.3)
        hint = f"; did you mean {close[0]}?" if close else f"; leaves are named like {next(iter(all_leaves()))}"
        raise ConfigError(f"there is no leaf {name!r}{hint}")
    f, kind = all_leaves()[name]
    is_optional = f.default is None or name == "model/dim"
    if raw is None or (is_optional and isinstance(raw, str) and raw.lower() == "none" and kind is not str):
        if name == "model/dim":
            return None
        raise ConfigError(f"{name} cannot be none; {allowed(f, kind)}")
    try:
        value = _convert(raw, kind)
    except (ValueError, TypeError, OverflowError):
        raise ConfigError(f"{name}={raw!s} is not valid; {allowed(f, kind)}") from None
    _check_limits(name, value, f, kind)
    return value


def _convert(raw: Any, kind: Any) -> Value:
    if kind is bool:
        if isinstance(raw, bool):
            return raw
        return {"true": True, "1": True, "false": False, "0": False}[str(raw).lower()] if _is_bool(raw) else _fail()
    if kind is str:
        return raw if isinstance(raw, str) else _fail()
    if kind is int:
        return int(raw) if isinstance(raw, str) or (not isinstance(raw, bool) and int(raw) == raw) else _fail()
    if kind is float:
        value = float(raw) if not isinstance(raw, bool) else math.nan
        return value if math.isfinite(value) else _fail()
    parts = raw.replace("x", ",").split(",") if isinstance(raw, str) else raw
    numbers = tuple(int(part) for part in parts)
    fixed_length = Ellipsis not in get_args(kind)
    return numbers if not fixed_length or len(numbers) == len(get_args(kind)) else _fail()


def _is_bool(raw: Any) -> bool:
    return str(raw).lower() in ("true", "false", "1", "0")


def _fail() -> Any:
    raise ValueError


def _check_limits(name: str, value: Value, f: Field[Any], kind: Any) -> None:
    limits = f.metadata
    if "choices" in limits and value not in limits["choices"]:
        prefix = limits.get("prefix")
        if prefix and isinstance(value, str) and value.startswith(prefix) and len(value) > len(prefix):
            return
        close = get_close_matches(str(value), limits["choices"], n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"{name}={value} does not exist{hint}; {allowed(f, kind)}")
    numbers = value if isinstance(value, tuple) else (value,)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        inside = (
            number >= limits.get("low", -math.inf)
            and number <= limits.get("high", math.inf)
            and number > limits.get("above", -math.inf)
            and number < limits.get("below", math.inf)
        )
        if not inside:
            raise ConfigError(f"{name}={to_text(name, value)} is out of range; {allowed(f, kind)}")


def allowed(f: Field[Any], kind: Any) -> str:
    """What a leaf may be, as errors and the reference say it."""
    limits = f.metadata
    if "choices" in limits:
        return "allowed: " + ", ".join(limits["choices"]) + (f", {limits['prefix']}NAME" if "prefix" in limits else "")
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    what = words.get(kind, "HEIGHTxWIDTH in pixels" if f.name == "image_size" else "whole numbers like 5,8")
    signs = {"low": ">=", "above": ">", "high": "<=", "below": "<"}
    ranges = [f"{sign} {limits[key]:g}" for key, sign in signs.items() if key in limits]
    return f"allowed: {what} {' and '.join(ranges)}".rstrip()


def _conflicts(config: TrialConfig) -> list[str]:
    """Values that are fine alone but not together."""
    faults = []
    if config.optimizer.nesterov and not config.optimizer.momentum:
        faults.append("optimizer/nesterov=true needs optimizer/momentum above 0")
    if config.model.projection_init == "pca" and config.model.dim is None:
        faults.append("model/projection_init=pca needs model/dim; with none there is no projection")
    if 0 < config.training.epochs <= config.scheduler.warmup_epochs:
        faults.append(
            f"scheduler/warmup_epochs={config.scheduler.warmup_epochs} leaves nothing of "
            f"training/epochs={config.training.epochs}; lower it"
        )
    return faults
