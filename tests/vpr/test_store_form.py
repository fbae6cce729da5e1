"""The form of a store follows from memory, budget and disk."""

import platform
import subprocess
import sys

import pytest

from vpr.errors import ConfigError, DataError
from vpr.memory import SHARE, memory_for_images
from vpr.store_form import choose_form

SETS = [("train", 500_000, 9_500_000_000), ("val", 28_060, 300_000_000)]
SIZE = (224, 224)
GB = 10**9


def test_sets_that_fit_into_memory_together_are_decoded():
    chosen = choose_form(SETS, SIZE, None, 80 * GB, 200 * GB)
    assert (chosen.form, chosen.decoded_bytes, chosen.packed_bytes) == (
        "decoded",
        528_060 * 3 * 224 * 224,
        9_800_000_000,
    )
    assert chosen.line == "store     decoded: 79.5 GB fit into the 80.0 GB of memory for images"


def test_sets_that_do_not_fit_into_memory_are_packed():
    assert choose_form(SETS[:1], SIZE, None, 79 * GB, 200 * GB).form == "decoded"  # alone it would fit
    assert choose_form(SETS, SIZE, None, 79 * GB, 200 * GB).line == (
        "store     packed: 79.5 GB decoded do not fit into the 79.0 GB of memory for images; the files' own 9.8 GB are decoded "
        "at every use (raise --cache-budget to decode anyway)"
    )


def test_a_budget_overrides_memory_in_both_directions():
    assert choose_form(SETS, SIZE, 80, 1 * GB, 200 * GB).form == "decoded"
    chosen = choose_form(SETS, SIZE, 79, 500 * GB, 200 * GB)
    assert chosen.form == "packed" and "do not fit into the 79.0 GB of --cache-budget;" in chosen.line


def test_a_small_disk_packs_and_a_full_one_is_refused():
    chosen = choose_form(SETS, SIZE, None, 500 * GB, 90 * GB)
    assert chosen.form == "packed" and "72.0 GB of free disk" in chosen.line and "VPR_CACHE" in chosen.line
    assert choose_form(SETS, SIZE, 500, 500 * GB, 78 * GB).form == "packed"
    with pytest.raises(DataError, match=r"9\.7 GB free, the images of train, val need 9\.8 GB even packed"):
        choose_form(SETS, SIZE, None, 500 * GB, 9_700_000_000)


def test_a_negative_budget_is_refused():
    with pytest.raises(ConfigError, match="must be 0 or more"):
        choose_form(SETS, SIZE, -1, 80 * GB, 200 * GB)


def written(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def kernel(tmp_path):
    """A machine of 100 GiB available memory, whose process is in the cgroup /job/step."""
    written(tmp_path / "proc/meminfo", "MemTotal: 209715200 kB\nMemAvailable:   104857600 kB\n")
    return tmp_path / "proc", tmp_path / "cgroup"


def share(gibibytes):
    return int(SHARE * gibibytes * 2**30)


def test_memory_is_the_machines_without_a_limit(kernel):
    assert memory_for_images(*kernel) == share(100)
    proc, cgroup = kernel
    written(proc / "self/cgroup", "0::/job/step\n")
    written(cgroup / "job/step/memory.max", "max\n")
    assert memory_for_images(*kernel) == share(100)
    assert memory_for_images() > 0


def test_memory_is_the_smallest_cgroups_version_2(kernel):
    proc, cgroup = kernel
    written(proc / "self/cgroup", "0::/job/step\n")
    for name, limit in (("job/step", 80), ("job", 20)):
        written(cgroup / name / "memory.max", f"{limit * 2**30}\n")
        written(cgroup / name / "memory.current", f"{12 * 2**30}\n")
        written(cgroup / name / "memory.stat", f"anon 5\ninactive_file {2**30}\nactive_file {3 * 2**30}\n")
    assert memory_for_images(*kernel) == share(20 - 12 + 4)


def test_memory_is_the_smallest_cgroups_version_1(kernel):
    proc, cgroup = kernel
    written(proc / "self/cgroup", "5:cpu,cpuacct:/\n4:memory:/docker/not-seen-from-inside\n")
    written(cgroup / "memory/memory.limit_in_bytes", f"{10 * 2**30}\n")
    written(cgroup / "memory/memory.usage_in_bytes", f"{9 * 2**30}\n")
    written(cgroup / "memory/memory.stat", f"total_inactive_file {2**30}\ntotal_active_file {2**30}\n")
    assert memory_for_images(*kernel) == share(3)


KEEPING = """
import resource, sys
from vpr.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
b"x" * (20 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    b"x" * (20 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_a_training_keeps_the_memory_that_it_frees():
    def pages_taken(how):
        return int(
            subprocess.run([sys.executable, "-c", KEEPING, how], capture_output=True, text=True, check=True).stdout
        )

    assert 10 * pages_taken("kept") < pages_taken("given back")
