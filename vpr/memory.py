"""How much memory the page cache of this machine can have for images, and what becomes of memory that a training frees."""

import ctypes
import os
from pathlib import Path

SHARE = 0.7
"""Of the available memory, what images may take; the reserve of 30 % is for the trials themselves."""
CGROUP = Path("/sys/fs/cgroup")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's mallopt(3)."""


def memory_for_images(proc: Path = Path("/proc"), cgroup: Path = CGROUP) -> int:
    """Return the bytes of images that stay in memory beside the trials.

    It is a share of the available memory of the machine, or of the process's cgroups where one of them (a container,
    a Slurm job) leaves less. Memory that the page cache holds now counts as available. On a system without
    /proc/meminfo (macOS) half of the installed memory counts as available.

    Args:
        proc: Folder of the kernel's facts of processes.
        cgroup: Folder of the kernel's cgroups, version 1 or 2.
    """
    return int(SHARE * min([_machine_bytes(proc), *_cgroup_bytes(proc, cgroup)]))


def _machine_bytes(proc: Path) -> int:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _cgroup_bytes(proc: Path, cgroup: Path) -> list[int]:
    """Return the bytes that each limited cgroup of this process, and each of those above it, leaves."""
    found = []
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = cgroup, ("memory.max", "memory.current", "inactive_file", "active_file")
        elif "memory" in controllers.split(","):
            root = cgroup / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file")
        else:
            continue
        own = root / path.lstrip("/")
        # A container often sees its own cgroup as the root, although the path says otherwise.
        found += [_left(folder, *names) for folder in (own, *own.parents) if folder.is_relative_to(root)]
    return [left for left in found if left is not None]


def _left(folder: Path, limit: str, usage: str, *cached: str) -> int | None:
    """Return what a cgroup's limit leaves, with what it holds of files, or None where it has no limit."""
    try:
        most = int((folder / limit).read_text())  # "max" is not a number
        used = int((folder / usage).read_text())
        facts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, most - used + sum(int(facts.get(name, 0)) for name in cached))
    except (OSError, ValueError):
        return None


def keep_freed_memory() -> None:
    """Ask glibc to keep the memory that this process frees, for a training, which needs as much again in its next step.

    To take it from the system again costs a training on a CPU a twentieth of its time. Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Before glibc 2.35 the most is 32 MiB; to set the other threshold alone would give back even more.
    if mallopt and (mallopt(M_MMAP_THRESHOLD, 1 << 30) or mallopt(M_MMAP_THRESHOLD, 1 << 25)):
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
