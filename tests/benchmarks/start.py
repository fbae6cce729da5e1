"""From a folder of the size of GSV-XS to a training that can begin, beside one walk that asks for each file once."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.table import Row
from tests.benchmarks.timing import in_turns, seconds
from vpr.config import DataConfig
from vpr.data import open_data
from vpr.datasets import find_sets
from vpr.folders import Folders
from vpr.index import retrieval_index, train_index
from vpr.large_sets import prepared
from vpr.overlap import find_overlap

TOOL = Path(__file__).resolve().parents[3] / "shared/tools/scale/make_xs.py"
"""Writes folders with the names and counts of the real sets."""
SHARE = "0.2"
"""Of the real sets' size: 105,000 training images."""


def start_rows() -> list[Row]:
    """Return the rows, or none where the tool is not beside this checkout.

    They are measured in a process of their own without torch, as the command of a search is: its forks are cheaper.
    """
    if not TOOL.is_file():
        print(f"left out: the rows about a large set, which need {TOOL.name} beside the checkout", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, str(TOOL), folder, "--share", SHARE, "--macos"], check=True, capture_output=True
        )
        measure = [sys.executable, "-m", "tests.benchmarks.start", folder]
        done = subprocess.run(measure, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    walk, first, again, second = (found[name] for name in ("walk", "first", "again", "second"))
    what = f"{found['files']:,} files, {walk:.2f} s for a walk that asks for each once"
    opened = found["opened"]
    return [
        Row("a set that is new: index and overlap / one walk", f"{what}; {first:.2f} s", first / walk, 3, "x", True),
        Row("the same set again / one walk", f"{again:.2f} s; {second:.2f} s", second / again, 1.5, "x", True),
        Row("a worker opens train and val", f"{opened:.2f} s, beside its index", opened, 1, "s", True),
    ]


def main(folder: Path) -> None:
    """Print the seconds of a walk, of a first and a second look at the sets below a folder, and of a worker's opening, as JSON."""
    folders = find_sets(folder)
    parts = [folders.train, *folders.vals.values(), *folders.tests.values()]
    files = sum(_walk(part) for part in parts)
    walk, first = in_turns(lambda: seconds(lambda: [_walk(part) for part in parts]), lambda: _first(folders), 3)
    again, second = in_turns(lambda: seconds(lambda: [_walk(part) for part in parts]), lambda: _second(folders), 3)
    config = replace(DataConfig(), image_size=(32, 32))
    open_data(folders, config, session="bench")
    _, opened = in_turns(lambda: 0.0, lambda: seconds(lambda: open_data(folders, config, session="bench")), 5)
    print(
        json.dumps({"files": files, "walk": walk, "first": first, "again": again, "second": second, "opened": opened})
    )


def _walk(folder: Path) -> int:
    count = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            os.stat(f"{parent}/{name}")  # noqa: PTH116 - as fast as it can be asked
            count += 1
    return count


def _first(folders: Folders) -> float:
    """Seconds with an empty cache."""
    before = os.environ["VPR_CACHE"]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["VPR_CACHE"] = cache
        try:
            return seconds(lambda: _look(folders, "bench"))
        finally:
            os.environ["VPR_CACHE"] = before


def _second(folders: Folders) -> float:
    return seconds(lambda: _look(folders, os.urandom(8).hex()))


def _look(folders: Folders, session: str) -> None:
    """Do what a search does before it opens its images."""
    with prepared(folders, 25.0, session):
        for folder in folders.held_out.values():
            retrieval_index(folder, session)
    train_index(folders.train, session)
    find_overlap(folders, 25.0, session)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
