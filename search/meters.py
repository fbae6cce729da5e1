"""What the machine does while a search runs here: cores, memory, GPUs, and the disk of the search."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import psutil

from search.cluster import Slots

SECONDS = 2.0
"""Over which the use of the cores is measured."""
GPU_SECONDS = 10.0
"""That the driver of the GPUs may take to answer."""
QUERY = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits"]


class Meters:
    """The last reading, taken by a thread of its own: a shared disk or a GPU's driver may take seconds to answer."""

    def __init__(self, folder: Path, slots: Slots) -> None:
        """folder: of the search."""
        self.folder, self.slots = folder, slots
        self.reading = ""
        """In words; empty before the first."""
        self.ended = Event()

    @contextmanager
    def measuring(self) -> Iterator[None]:
        Thread(target=self._run, daemon=True).start()
        try:
            yield
        finally:
            self.ended.set()

    def _run(self) -> None:
        while not self.ended.is_set():
            with suppress(OSError):  # a file that went away, a disk that does not answer: the next reading may do
                self.reading = " · ".join([*self._machine(), disk(self.folder)])
            self.ended.wait(SECONDS)

    def _machine(self) -> list[str]:
        """Nothing of a cluster: what this machine does is not what its workers do."""
        cores = psutil.cpu_percent(SECONDS)
        if self.slots.is_cluster:
            return []
        memory = psutil.virtual_memory()
        gpus = [gpu_use(_asked())] if self.slots.gpus and shutil.which(QUERY[0]) else []
        used = f"memory {(memory.total - memory.available) / 1e9:.1f}/{memory.total / 1e9:.1f} GB"
        return [f"cores {cores:.0f} %", *gpus, used]


def _asked() -> str:
    try:
        return subprocess.run(QUERY, capture_output=True, text=True, timeout=GPU_SECONDS).stdout
    except subprocess.SubprocessError:
        return ""


def gpu_use(answer: str) -> str:
    """`GPUs 97 % 88 %, 21.3/48.0 GB`, of nvidia-smi's lines of per cent, MiB used and MiB in all."""
    found = [line.split(", ") for line in answer.splitlines() if line.count(", ") == 2]
    found = [parts for parts in found if all(part.strip().isdigit() for part in parts)]
    if not found:
        return "GPUs not known"
    used, total = (sum(int(parts[place]) for parts in found) * 2**20 / 1e9 for place in (1, 2))
    return f"GPUs {' '.join(f'{int(parts[0])} %' for parts in found)}, {used:.1f}/{total:.1f} GB"


def disk(folder: Path) -> str:
    """`disk 412 MB, 120 GB free`: what lies in the folder, and what is left of its disk."""
    sizes = []
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a checkpoint that was removed meanwhile
            sizes.append(file.stat().st_size if file.is_file() else 0)
    return f"disk {sum(sizes) / 1e6:.0f} MB, {shutil.disk_usage(folder).free / 1e9:.0f} GB free"
