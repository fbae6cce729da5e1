"""The page of a search: all of it, in one file, that loads nothing and believes nobody."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from plotly import graph_objects as go
from plotly.offline import get_plotlyjs
from rich.console import Console

from search.recorded import read
from search.records import short
from search.report import FIGURES, write, write_or_tell
from search.verdict import answer, configuration, warnings
from tests.search.recorded_search import write_search
from vpr.errors import ConfigError
from vpr.leaves import all_leaves

SECTIONS = [
    "warnings",
    "trials",
    "curves",
    "importance",
    "parallel",
    "slices",
    "pairs",
    "finalists",
    "test",
    "gallery",
    "time",
    "environment",
]
MIB = 1024**2
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.ids, self.scripts = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.ids += [value for name, value in attrs if name == "id"]
        self.loaded += [
            v for n, v in attrs if n in ("src", "href", "srcset", "data", "poster", "action") and not v.startswith("#")
        ]


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_search(tmp_path_factory.mktemp("many") / "many", 200)


def test_the_page_has_every_section_in_order_and_loads_nothing(many):
    (many / "gallery.html").write_text('<!doctype html>\n<main><section id="gallery">pictures</section></main>')
    text = write(many).read_text()
    (many / "gallery.html").unlink()
    page = Page(text)
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    assert page.loaded == [] and page.scripts == 3
    own = text.replace(get_plotlyjs(), "")
    assert not re.search(r"url\(|@import|https?://", own)


def test_the_charts_can_be_drawn_by_others(many):
    page = Page(write(many).read_text())
    charts = json.loads((many / FIGURES).read_text())
    assert {"curves-chart", "finalists-chart", "parallel-chart", "pairs-chart"} <= set(charts) <= set(page.ids)
    for chart in charts.values():
        assert go.Figure(chart).data


def test_two_hundred_trials_stay_small(many):
    size = write(many).stat().st_size
    assert size - len(get_plotlyjs().encode()) < 350_000 and size < 5 * MIB  # a gallery of 1 MiB keeps it below 6


def test_what_comes_from_the_search_is_text(tmp_path):
    folder = write_search(tmp_path / "evil", 12, reason=EVIL)
    summary = json.loads((folder / "summary.json").read_text())
    summary["command"] = summary["git_commit"] = EVIL
    (folder / "summary.json").write_text(json.dumps(summary))
    history = (
        (folder / "history.jsonl").read_text().replace('"adamw"', json.dumps(EVIL)).replace('"none"', json.dumps(EVIL))
    )
    (folder / "history.jsonl").write_text(history)
    text = write(folder).read_text()
    assert "alert(1)" in text and EVIL not in text and Page(text).scripts == 3


def test_a_copy_tells_the_same(many, tmp_path):
    shutil.copytree(many, tmp_path / "elsewhere")
    assert write(tmp_path / "elsewhere").read_text() == write(many).read_text()


def test_a_tie_is_no_victory(many):
    found = read(many)
    first, second = found.summary["tie_group"]
    assert "best with probability 50 %" in answer(found) and answer(found).endswith(
        f"cannot be told apart from trial {second}."
    )
    assert any("3 images of train" in line for line in warnings(found)) and any(
        "failed: 7" in line for line in warnings(found)
    )


def test_an_interrupted_search_leads_and_does_not_win(tmp_path):
    found = read(write_search(tmp_path / "cut", 4, is_finished=False))
    assert "leads after 4 trials" in answer(found) and "not confirmed" in answer(found)
    assert "--name cut goes on" in warnings(found)[0]
    assert "yet: the search was interrupted" in write(found.folder).read_text()


def test_nothing_trained_is_said(tmp_path):
    folder = write_search(tmp_path / "none", 3)
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps({**summary, "best": None, "trials": [], "finalists": []}))
    (folder / "history.jsonl").write_text('{"event": "session", "at": 0}\n{"event": "finished", "at": 1}\n')
    assert "Nothing was trained" in write(folder).read_text()


def test_trials_that_all_failed_at_once_are_listed(tmp_path):
    folder = write_search(tmp_path / "failed", 6)
    summary = json.loads((folder / "summary.json").read_text())
    failed = [{**entry, "state": "failed", "stop_reason": "out of memory", "best": None} for entry in summary["trials"]]
    (folder / "summary.json").write_text(json.dumps({**summary, "best": None, "trials": failed, "finalists": []}))
    events = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    kept = [json.dumps(event) for event in events if event["event"] != "epoch" and not event.get("seed")]
    (folder / "history.jsonl").write_text("".join(line + "\n" for line in kept))
    text = write(folder).read_text()
    assert "none of 6 trials succeeded" in text and text.count("out of memory") == 6 and 'id="pairs"' not in text


@pytest.mark.parametrize(
    ("seeds", "told"),
    [([{"seed": None}], "not trained again"), ([{"seed": 1}, {"seed": 2}], "only finalist")],
)
def test_one_finalist_is_compared_with_nobody(tmp_path, seeds, told):
    found = read(write_search(tmp_path / "one", 3))
    found.summary["finalists"] = [{**found.summary["finalists"][0], "seeds": seeds}]
    assert told in answer(found)


def test_configurations_have_short_names():
    assert configuration({"optimizer/lr": 0.02, "loss/name": "ntxent"}) == "ntxent with lr 0.02"
    assert (
        configuration({"model/aggregation": "gem", "loss/name": "circle", "scheduler/name": "none"})
        == "circle with gem"
    )
    assert configuration({"optimizer/momentum": 0.9}) == "momentum 0.9"
    assert configuration({"scheduler/name": "none", "optimizer/lr": 0.02}) == "no scheduler with lr 0.02"
    assert configuration({"optimizer/name": "sgd", "scheduler/name": "none"}) == "sgd"


def test_a_report_that_fails_costs_one_line(tmp_path, capsys):
    write_or_tell(tmp_path, Console())
    assert capsys.readouterr().out == ""
    (tmp_path / "summary.json").write_text("{}")
    write_or_tell(tmp_path, Console())
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(ConfigError):
        write(tmp_path / "nowhere")


def test_no_two_leaves_look_the_same():
    leaves = all_leaves()
    assert len({short(leaf) for leaf in leaves}) == len(leaves)
    assert [short(leaf) for leaf in ("optimizer/lr", "loss/lr", "loss/name", "loss/alpha")] == [
        "lr",
        "loss/lr",
        "loss",
        "loss/alpha",
    ]
