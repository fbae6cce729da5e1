"""Whether the sets of a search are stored as decoded images or as the files' own bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vpr.errors import ConfigError, DataError

Form = Literal["decoded", "packed"]
DISK_SHARE = 0.8
"""Of the free disk, what decoded images may take when no budget is given; the rest is for checkpoints and for others."""


@dataclass(frozen=True)
class StoreForm:
    """A form, how much it takes, and why it was chosen."""

    form: Form
    decoded_bytes: int
    packed_bytes: int
    reason: str

    @property
    def line(self) -> str:
        """The choice as a line of a search's plan."""
        return f"store     {self.form}: {self.reason}"


def choose_form(
    sets: Sequence[tuple[str, int, int]],
    image_size: tuple[int, int],
    budget_gb: float | None,
    memory_bytes: int,
    disk_bytes: int,
) -> StoreForm:
    """Choose the form of all sets that must be stored together.

    Decoded images are faster only while the page cache can hold them, so memory decides where no budget is given.

    Args:
        sets: Name, number of images and bytes of all files of each set.
        image_size: Height and width of decoded images in pixels.
        budget_gb: GB that decoded images may take; overrides memory.
        memory_bytes: What `vpr.memory.memory_for_images` says.
        disk_bytes: Free disk, with what these sets' stores take already.

    Raises:
        ConfigError: The budget is negative.
        DataError: The disk has no room even for the files' own bytes.
    """
    if budget_gb is not None and not budget_gb >= 0:
        raise ConfigError(f"--cache-budget {budget_gb} must be 0 or more (GB)")
    decoded = sum(count for _, count, _ in sets) * image_size[0] * image_size[1] * 3
    packed = sum(size for _, _, size in sets)
    if budget_gb is None:
        limits = [(memory_bytes, "GB of memory for images"), (DISK_SHARE * disk_bytes, "GB of free disk for images")]
    else:
        limits = [(budget_gb * 1e9, "GB of --cache-budget"), (disk_bytes, "GB of free disk")]
    room, what = min(limits)
    if decoded <= room:
        return StoreForm("decoded", decoded, packed, f"{_gb(decoded)} GB fit into the {_gb(room)} {what}")
    if packed > disk_bytes:
        names = ", ".join(name for name, _, _ in sets)
        raise DataError(
            f"the disk of the image cache has {_gb(disk_bytes)} GB free, the images of {names} need {_gb(packed)} GB even "
            "packed; free some, or set VPR_CACHE to another disk"
        )
    advice = (
        "free some, or set VPR_CACHE to another disk" if "disk" in what else "raise --cache-budget to decode anyway"
    )
    reason = (
        f"{_gb(decoded)} GB decoded do not fit into the {_gb(room)} {what}; "
        f"the files' own {_gb(packed)} GB are decoded at every use ({advice})"
    )
    return StoreForm("packed", decoded, packed, reason)


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f}" if size >= 1e8 else f"{size / 1e9:.4f}"
