"""Which queries are worth a look: how two models answered them, and in which order they are shown."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

OUTCOMES = {
    (True, False): "won",
    (False, True): "lost",
    (False, False): "both wrong",
    (True, True): "both right",
    (False,): "wrong",
    (True,): "right",
}
"""By whether the nearest picture of each model is right; of two models the first is the one that wins."""
ROUND = ("won", "lost", "won", "lost", "both wrong", "both right", "wrong", "wrong", "right")
"""What is chosen in turn, as long as there is any: mostly what tells the models apart, and some of the rest beside it."""
LIGHT = re.compile(r"(?<![a-z])(day|sunset|night)(?![a-z])")


def outcomes(firsts: Sequence[np.ndarray]) -> list[str]:
    """Of each query, from the places (Q,) of the first right answer of one or two models (`vpr.recall.first_hits`)."""
    return [OUTCOMES[tuple(bool(place == 0) for place in places)] for places in zip(*firsts, strict=True)]


def order(sets: Sequence[Sequence[np.ndarray]]) -> Iterator[tuple[int, int]]:
    """All queries as (set, query), the most telling ones first.

    sets: for each set the places (Q,) of the first right answer of one or two models. Outcomes take turns as in `ROUND`, and sets
    take turns within an outcome, so that wherever one stops, each is there. Of one outcome those come first whose
    places lie furthest apart, equal ones by chance: neighbours in a set are often pictures of one spot.
    """
    queues: dict[str, Iterator[tuple[int, int]]] = {}
    for outcome in OUTCOMES.values():
        queues[outcome] = _alternating(
            [[(number, query) for query in _ranked(firsts, outcome)] for number, firsts in enumerate(sets)]
        )
    while queues:
        for outcome in ROUND:
            if outcome in queues:
                found = next(queues[outcome], None)
                if found is None:
                    del queues[outcome]
                else:
                    yield found


def light_of(set_name: str, query: Path) -> str | None:
    """`day`, `sunset` or `night` where the set's name, the query's own folder or the note in its name says so.

    query: below the folder of the set. The community's names hold year and month, and no hour, so that most sets do not tell.
    """
    note = query.name.split("@")[-2] if query.name.count("@") > 1 else ""
    for text in (note, *reversed(query.parts[:-1]), set_name):
        if found := LIGHT.findall(text.lower()):
            return found[-1]
    return None


def _ranked(firsts: Sequence[np.ndarray], outcome: str) -> list[int]:
    """The queries of an outcome, those whose places lie furthest apart first."""
    of_outcome = np.array([found == outcome for found in outcomes(firsts)], dtype=bool)
    chance = np.random.default_rng(0).permutation(len(of_outcome))
    apart = np.minimum(firsts[0], 100) - np.minimum(firsts[-1], 100)  # further down is equally lost
    found = np.lexsort((chance, -np.abs(apart)))
    return found[of_outcome[found]].tolist()


def _alternating(queues: list[list[tuple[int, int]]]) -> Iterator[tuple[int, int]]:
    for place in range(max(map(len, queues), default=0)):
        for queue in queues:
            if place < len(queue):
                yield queue[place]
