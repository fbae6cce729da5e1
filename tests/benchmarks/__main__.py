"""`make bench`: every promise of speed as a ratio within this run. One table, and results/bench.json."""

import os
import sys
import tempfile
from pathlib import Path

from vpr.minicity.preset import minicity_folder

folder = minicity_folder()  # in the user's own cache; what is measured gets a cache of its own
os.environ["OMP_NUM_THREADS"] = "1"

import torch

from tests.benchmarks.compute import compile_row, config, evaluation_row, recall_rows, training_row
from tests.benchmarks.data_path import data_rows, enlarge
from tests.benchmarks.lasting import lasting_row
from tests.benchmarks.searching import search_rows
from tests.benchmarks.sharing import sharing_row
from tests.benchmarks.start import start_rows
from tests.benchmarks.table import report
from vpr.data import open_data
from vpr.datasets import find_sets
from vpr.memory import keep_freed_memory


def main() -> int:
    torch.set_num_threads(1)
    keep_freed_memory()  # as each training does
    own_cache = os.environ.get("VPR_CACHE")
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["VPR_CACHE"] = cache
        with tempfile.TemporaryDirectory() as pictures:
            rows += data_rows(enlarge(folder / "gsv_xs/train", Path(pictures)))
        rows += start_rows()
        data = open_data(find_sets(folder), config().data)
        rows += [training_row(data), evaluation_row(data), *recall_rows(), compile_row(data)]
        rows.append(lasting_row(data, folder))
        rows.append(sharing_row(folder / "sf_xs/val/queries", folder / "gsv_xs/train"))
    os.environ.pop("VPR_CACHE")
    if own_cache:
        os.environ["VPR_CACHE"] = own_cache
    fault = ""
    try:
        rows += search_rows()
    except RuntimeError as error:  # the other rows are still worth their minutes
        fault = str(error)
    report(rows, Path("results/bench.json"))
    if fault:
        print(f"error: the search could not be measured: {fault}", file=sys.stderr)
    return 1 if fault else 0


if __name__ == "__main__":
    sys.exit(main())
