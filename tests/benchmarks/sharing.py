"""What a second trial on the same store adds to memory."""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.benchmarks.table import Row
from vpr.datasets import find_images
from vpr.store import open_store

SIZE = (360, 480)
TRIAL = """
import sys
from pathlib import Path
import numpy as np, torch
from vpr.augment import AUGMENTS
from vpr.datasets import find_images
from vpr.loading import load
from vpr.store import open_store
torch.set_num_threads(1)
folder = Path(sys.argv[1])
images = open_store("sharing", folder, find_images(folder), (360, 480))
batches = np.split(np.arange(len(images)), range(8, len(images), 8))
for _, pixels in load(images, batches, torch.device("cpu")):
    AUGMENTS["light"](pixels, torch.Generator())
print("read", flush=True)
sys.stdin.read()
"""


def sharing_row(small: Path, large: Path) -> Row:
    """Proportional set sizes of one and of two processes that read and augment every image, on a large and on a small store.

    What a process costs without images is taken off with the small store.
    """
    row = 3 * SIZE[0] * SIZE[1]
    sizes = [row * len(open_store("sharing", folder, find_images(folder), SIZE)) for folder in (small, large)]
    process, both = _added(small), _added(large)
    added = both - process
    return Row(
        "memory that a second trial on the same store adds",
        f"{added / 1e6:.1f} MB of a store of {sizes[1] / 1e6:.0f} MB (proportional set size; {process / 1e6:.0f} MB of a process taken off)",
        100 * added / (sizes[1] - sizes[0]),
        10,
        "% of the store",
        is_upper=True,
    )


def _added(folder: Path) -> float:
    """Bytes that the second of two trials adds to both."""
    running: list[subprocess.Popen] = []
    totals = []
    try:
        for _ in range(2):
            trial = subprocess.Popen(
                [sys.executable, "-c", TRIAL, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            running.append(trial)
            assert trial.stdout and trial.stdout.readline() == b"read\n", "a trial ended before it had read its images"
            totals.append(sum(psutil.Process(one.pid).memory_full_info().pss for one in running))
    finally:
        for trial in running:
            trial.communicate()
    return totals[1] - totals[0]
