"""The retrieval gallery as HTML: a section that any page may hold, and a page that holds nothing else."""

import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.answers import Answers
from search.queries import OUTCOMES, light_of, order, outcomes
from search.thumbnails import Thumbnail, thumbnail
from vpr.datasets import RetrievalSet
from vpr.errors import ConfigError
from vpr.recall import NS

ASSETS = Path(__file__).parent / "assets"
QUERY_SIDE, DATABASE_SIDE = 192, 136
"""Pixels of a picture's longer side."""
MARGIN = 256
"""Bytes by which the text around the pictures may grow with their number."""


@dataclass(frozen=True)
class Model:
    """One that was measured."""

    title: str
    """`trial 3, seed 1`."""
    varied: str
    """Its settings in a line."""


@dataclass(frozen=True)
class AnsweredSet:
    """A set with what each model answered on it."""

    name: str
    folder: Path
    pictures: RetrievalSet
    answers: list[Answers]
    """Of each model, with the nearest pictures."""

    @property
    def firsts(self) -> list[np.ndarray]:
        """For each model the place (Q,) of the first right answer."""
        return [answers.first for answers in self.answers]


def as_html(models: Sequence[Model], sets: Sequence[AnsweredSet], max_bytes: int) -> str:
    """`<section id="gallery">` of at most `max_bytes` with the most telling queries (`search.queries.order`) of all sets.

    models: one or two, of which the first is compared with the second. The page around it defines the colours --ground, --surface,
    --ink, --muted, --line, --accent, --right and --wrong. Raises ConfigError where not even one query fits, and DataError for
    pictures that cannot be read.
    """
    rows, pictures = _chosen(sets, max_bytes - MARGIN - len(_section(models, sets, [], []).encode()))
    return _section(models, sets, rows, pictures)


def as_page(title: str, section: str) -> str:
    """A whole page, light and dark, around the section."""
    style = (ASSETS / "page.css").read_text()
    script = (ASSETS / "page.js").read_text()
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{_escaped(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<style>\n{style}</style>\n</head>\n<body>\n<header><h1>{_escaped(title)}</h1>\n<button type="button" id="theme">'
        f"Change to dark</button></header>\n<main>\n{section}</main>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _chosen(sets: Sequence[AnsweredSet], room: int) -> tuple[list[dict[str, Any]], list[Thumbnail]]:
    """Rows as long as they and their pictures fit into `room` bytes, those first on which the models differ; and the pictures."""
    numbers: dict[Path, int] = {}
    pictures: list[Thumbnail] = []
    rows: list[dict[str, Any]] = []
    positives = [answered.pictures.positives(answered.answers[0].radius_m) for answered in sets]
    for place, query in order([answered.firsts for answered in sets]):
        answered = sets[place]
        own = answered.pictures.queries[query]
        shown = {int(index) for answers in answered.answers for index in _nearest(answers, query)}
        wanted = [(own, QUERY_SIDE), *((answered.pictures.database[index], DATABASE_SIDE) for index in sorted(shown))]
        added = [(path, thumbnail(path, side)) for path, side in wanted if path not in numbers]
        known = {**numbers, **{path: len(numbers) + offset for offset, (path, _) in enumerate(added)}}
        row = {"set": place, **_row(answered, query, positives[place][query], known)}
        room -= len(_as_json(row)) + 1 + sum(len(_as_json(_picture(small))) + 1 for _, small in added)
        if room < 0:
            break
        numbers = known
        pictures += [small for _, small in added]
        rows.append(row)
    if not rows and any(len(answered.pictures.queries) for answered in sets):
        raise ConfigError("--max-mb has no room for a single query; raise it")
    alike = {"both wrong", "both right", "right"}
    return sorted(rows, key=lambda row: row["outcome"] in alike), pictures


def _row(answered: AnsweredSet, query: int, right: np.ndarray, numbers: dict[Path, int]) -> dict[str, Any]:
    """What the page shows of a query; right: its right database indices; numbers: of the pictures, by path."""
    pictures, own = answered.pictures, answered.pictures.queries[query]
    found = []
    for answers in answered.answers:
        places = []
        for index in _nearest(answers, query):
            east, north = pictures.database_utm[index] - pictures.query_utm[query]
            metres, bearing = _way(east, north)
            number = numbers[pictures.database[index]]
            places.append([number, metres, bearing, int(index in right)])
        first = int(answers.first[query])
        found.append({"first": first if first < max(NS) else None, "nearest": places})
    row = {
        "query": query,
        "name": own.name,
        "picture": numbers[own],
        "outcome": outcomes([answers.first[[query]] for answers in answered.answers])[0],
        "light": light_of(answered.name, own.relative_to(answered.folder)),
        "radius": answered.answers[0].radius_m,
        "answers": found,
    }
    return row if len(right) else {**row, "unmapped": True}


def _way(east: float, north: float) -> tuple[float | None, int | None]:
    """Return metres and compass direction in degrees; None where a set lists its right images and has no positions."""
    if np.isnan(east):
        return None, None
    return round(float(np.hypot(east, north)), 1), round(float(np.degrees(np.arctan2(east, north)) % 360)) % 360


def _nearest(answers: Answers, query: int) -> np.ndarray:
    assert answers.nearest is not None
    return answers.nearest[query]


def _section(
    models: Sequence[Model], sets: Sequence[AnsweredSet], rows: list[dict[str, Any]], pictures: list[Thumbnail]
) -> str:
    data = {
        "models": [vars(model) for model in models],
        "sets": [answered.name for answered in sets],
        "rows": rows,
        "pictures": [_picture(small) for small in pictures],
    }
    kinds = [outcome for solved, outcome in OUTCOMES.items() if len(solved) == len(models)]
    lights = sorted({row["light"] for row in rows if row["light"]})
    groups = [_group("outcome", "Queries", kinds)]
    if len(sets) > 1:
        groups.append(_group("set", "Set", [answered.name for answered in sets], list(map(str, range(len(sets))))))
    if lights:
        groups.append(_group("light", "Light", lights))
    shell = (ASSETS / "gallery.html").read_text()
    parts = {
        "style": (ASSETS / "gallery.css").read_text(),
        "introduction": _introduction(models, sets, len(rows)),
        "counts": _counts(sets, rows, kinds),
        "filters": "\n".join(groups),
        "data": _as_json(data),
        "script": (ASSETS / "gallery.js").read_text(),
    }
    for name, text in parts.items():  # the data come late: no name of a part is looked for in them
        shell = shell.replace(f"<!-- {name} -->", text, 1)
    return shell


def section_of(page: str) -> str:
    """What `as_html` gave, out of what `as_page` made of it."""
    end = "</section>"
    return page[page.index('<section id="gallery"') : page.rindex(end) + len(end)]


def _introduction(models: Sequence[Model], sets: Sequence[AnsweredSet], shown: int) -> str:
    names = [f"<b>{_escaped(model.title)}</b> ({_escaped(model.varied)})" for model in models]
    meaning = "By whether the nearest picture is right."
    if len(models) > 1:
        first, second = (_escaped(model.title) for model in models)
        meaning = f"Won: the nearest picture is right for {first} alone. Lost: for {second} alone."
    left = sum(len(answered.pictures.queries) for answered in sets) - shown
    without = f" {left:,} queries are left out to keep the page small; the table counts all." if left else ""
    return f"<p>{'<br>against '.join(names)}</p>\n<p>{meaning}{without}</p>"


def _counts(sets: Sequence[AnsweredSet], rows: list[dict[str, Any]], kinds: list[str]) -> str:
    """A table: of each set how many queries of each outcome there are, and how many are shown."""
    shown = Counter(row["set"] for row in rows)
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("set", "queries", *kinds, "shown here"))
    lines = []
    for place, answered in enumerate(sets):
        found = Counter(outcomes(answered.firsts))
        cells = [len(answered.pictures.queries), *(found[kind] for kind in kinds), shown[place]]
        numbers = "".join(f"<td>{cell:,}</td>" for cell in cells)
        lines.append(f'<tr><th scope="row">{_escaped(answered.name)}</th>{numbers}</tr>')
    body = "\n".join(lines)
    caption = "Queries by their nearest picture"
    table = f"<table><caption>{caption}</caption><thead><tr>{heads}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<div class="counts" tabindex="0" role="region" aria-label="{caption}">{table}</div>'


def _group(name: str, label: str, titles: Sequence[str], values: Sequence[str] | None = None) -> str:
    """Buttons of which one is pressed, `all` at first."""
    pairs = [("all", ""), *zip(titles, values or titles, strict=True)]
    buttons = "".join(
        f'<button type="button" data-filter="{name}" data-value="{_escaped(value)}" aria-pressed="{str(not value).lower()}">'
        f'{_escaped(title)} <span class="count"></span></button>'
        for title, value in pairs
    )
    return (
        f'<div role="group" aria-label="{label}"><span class="label" aria-hidden="true">{label}</span>{buttons}</div>'
    )


def _picture(small: Thumbnail) -> list[Any]:
    return [small.uri, small.width, small.height]


def _as_json(content: Any) -> str:
    """JSON that nothing of it can end the script element which holds it."""
    text = json.dumps(content, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _escaped(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode())  # a file name may be no UTF-8
