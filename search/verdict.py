"""What a search found, in a sentence that claims no more than is known; and what to beware of."""

from collections.abc import Mapping
from typing import Any

from search.recorded import Recorded, is_choice, recall, to_short_text
from search.records import short
from vpr.config import Value


def answer(found: Recorded) -> str:
    """The best configuration with its certainty; what is not known is said."""
    finalists = found.summary["finalists"]
    if found.summary["best"] is None:
        return _nothing(found)
    if found.is_interrupted or not finalists:
        return _so_far(found)
    best = finalists[0]
    name = configuration(_leaves(found, best["trial"]))
    if "mean" not in best:
        return f"{name} has the best recall@1 on {_val(found)}; how certain that is could not be measured."
    value = f"recall@1 {best['mean']:.1f} % {interval(best)} on {_val(found)}"
    seeds = len(best["seeds"])
    if best["seeds"][0]["seed"] is None:
        return f"{name} has the best single run: {value}. It was not trained again, so part of this may be luck."
    over = f"{value} over {counted(seeds, 'seed')}"
    if len(finalists) == 1:
        return f"{name} is the only finalist: {over}. No other configuration was trained again, so nothing is known of its lead."
    return f"{name} is best: {over}, best with probability {100 * best['probability_best']:.0f} %{_tie(found, best['trial'])}."


def warnings(found: Recorded) -> list[str]:
    """What takes from the worth of the answer; empty where all is well."""
    lines = []
    if found.is_interrupted:
        left = max(found.asked.get("trials", 0) - sum(record.has_ended for record in found.trials), 0)
        rest = f"{counted(left, 'trial')} did not end" if left else "all trials ended, the finalists were not measured"
        lines.append(
            f"The search was interrupted: {rest}. The same command with --name {found.summary['name']} goes on."
        )
    lines += [" ".join(line.split(maxsplit=1)[1:]) for line in found.summary["data"].get("overlap", [])]
    failed = [record.number for record in found.trials if record.state == "failed"]
    if failed:
        lines.append(f"{counted(len(failed), 'trial')} failed: {_listed(failed)}; the table says why.")
    ended = [finalist for finalist in found.summary["finalists"] if not finalist.get("test")]
    if ended and not found.is_interrupted:
        lines.append("No test set was measured for the finalists.")
    return lines


def configuration(leaves: Mapping[str, Value]) -> str:
    """`ntxent with sgd, lr 0.02`: the loss or the first other choice, then the other choices and the learning rate."""
    names = [name for name in sorted(leaves, key=lambda name: name != "loss/name") if is_choice(name)]
    choices = [str(leaves[name]) for name in names if leaves[name] != "none"]
    if names and not choices:
        choices = [f"no {short(names[0])}"]
    details = choices[1:]
    if "optimizer/lr" in leaves:
        details.append(f"lr {to_short_text(leaves['optimizer/lr'])}")
    elif not choices:
        details = [f"{short(name)} {to_short_text(value)}" for name, value in leaves.items()][:2]
    if not choices:
        return ", ".join(details) or "The one configuration"
    return choices[0] + (f" with {', '.join(details)}" if details else "")


def interval(known: Mapping[str, Any]) -> str:
    low, high = known["interval"]
    return f"[{low:.1f}, {high:.1f}]"


def counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _val(found: Recorded) -> str:
    return f"the mean of {len(found.vals)} val sets" if found.vals else "val"


def _nothing(found: Recorded) -> str:
    if found.is_interrupted:
        return "Nothing was found yet: the search was interrupted before any trial had finished an epoch."
    return f"Nothing was trained: none of {counted(len(found.trials), 'trial')} succeeded, and the table says why."


def _so_far(found: Recorded) -> str:
    best = next(record for record in found.trials if record.number == found.summary["best"]["trial"])
    of = f"{counted(len(found.trials), 'trial')}{_asked(found)}"
    known = f"recall@1 {recall(best):.1f} % on {_val(found)}, one run with one seed"
    why = (
        "the search was interrupted before its finalists were measured"
        if found.is_interrupted
        else "there are no finalists"
    )
    return f"{configuration(best.leaves)} leads after {of}: {known}. It is not confirmed: {why}."


def _asked(found: Recorded) -> str:
    asked = found.asked.get("trials", 0)
    return f" of {asked}" if asked > len(found.trials) else ""


def _tie(found: Recorded, best: int) -> str:
    others = [number for number in found.summary["tie_group"] if number != best]
    if not others:
        return "; no other finalist can be taken for the best"
    noun = "trial" if len(others) == 1 else "trials"
    return f"; it cannot be told apart from {noun} {_listed(others)}"


def _listed(numbers: list[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} and {last}" if first else last


def _leaves(found: Recorded, number: int) -> Mapping[str, Value]:
    return found.events.records[number, None].leaves
