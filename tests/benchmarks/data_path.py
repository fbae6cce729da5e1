"""From a file on disk to numbers on the training device."""

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import torchvision.transforms as T
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from tests.benchmarks.table import Row
from tests.benchmarks.timing import cpu_seconds, in_turns, seconds
from vpr.augment import AUGMENTS
from vpr.datasets import find_images
from vpr.images import Images, read_image
from vpr.loading import load
from vpr.store import open_store

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZE = (180, 320)
GSV_XS = (224, 224)
"""Height and width of GSV-XS's files, which need no resizing at this size."""
BATCH = 64


class Peer(Dataset):
    """What public VPR code does: every JPEG decoded again, with PIL, in a DataLoader worker."""

    def __init__(self, paths: list[Path], size: tuple[int, int]) -> None:
        bilinear = T.InterpolationMode.BILINEAR
        self.paths = paths
        self.transform = T.Compose(
            [
                T.Resize(size, interpolation=bilinear),
                T.RandAugment(num_ops=3, interpolation=bilinear),
                T.ToTensor(),
                T.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return self.transform(Image.open(self.paths[row]).convert("RGB"))


def deliver(images: Images) -> None:
    """An epoch of batches as a training step gets them: gathered, augmented, normalised."""
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    order = np.random.default_rng(0).permutation(len(images))
    generator = torch.Generator().manual_seed(0)
    for _, pixels in load(images, np.split(order, range(BATCH, len(order), BATCH)), CPU):
        AUGMENTS["randaugment"](pixels, generator).sub_(mean).div_(std)  # in place, as in a training step


def enlarge(source: Path, target: Path, size: tuple[int, int] = (300, 400)) -> Path:
    """Write MiniCity's images with the 300x400 pixels that GSV-Cities' photographs have, or another height and width."""
    for path in find_images(source)[:1024]:
        with Image.open(path) as image:
            image.resize(size[::-1], Image.Resampling.BICUBIC).save(target / path.name, quality=90)
    return target


def data_rows(folder: Path) -> list[Row]:
    """folder: pictures of the training set."""
    paths = find_images(folder)
    loader = DataLoader(Peer(paths, SIZE), BATCH, shuffle=True, num_workers=2)
    decoded = open_store("bench", folder, paths, SIZE)
    packed = _packed(folder, paths, SIZE)

    def peer() -> float:
        return cpu_seconds(lambda: [None for _ in loader]) / len(paths) * 1e3

    theirs, ours = in_turns(peer, lambda: cpu_seconds(lambda: deliver(decoded)) / len(paths) * 1e3, 3)
    theirs_again, pack = in_turns(peer, lambda: cpu_seconds(lambda: deliver(packed)) / len(paths) * 1e3, 1)
    rows = np.random.default_rng(0).permutation(len(paths))[:BATCH]
    out = np.empty((BATCH, 3, *SIZE), np.uint8)
    decode, gather = in_turns(
        lambda: seconds(lambda: [read_image(paths[row], SIZE) for row in rows]),
        lambda: seconds(lambda: decoded.gather(rows, out)),
        7,
    )
    decode_again, unpack = in_turns(
        lambda: seconds(lambda: [read_image(paths[row], SIZE) for row in rows]),
        lambda: seconds(lambda: packed.gather(rows, out)),
        3,
    )
    height, width = SIZE
    return [
        Row(
            "CPU time of a training image, PIL DataLoader / ours",
            f"PIL, 2 workers, RandAugment(3), 300x400 to {height}x{width}: {theirs:.2f} ms; ours {ours:.2f} ms",
            theirs / ours,
            5,
            "x",
        ),
        Row(
            "the same, from packed JPEG files",
            f"{theirs_again:.2f} ms; ours {pack:.2f} ms",
            theirs_again / pack,
            None,
            "x",
        ),
        _gsv_xs_row(folder),
        Row(
            "gathering a batch, PIL decoding / store",
            f"{BATCH} images: decoding {decode * 1e3:.1f} ms, gathering {gather * 1e3:.2f} ms",
            decode / gather,
            20,
            "x",
        ),
        Row(
            "the same, from packed JPEG files with all cores",
            f"decoding {decode_again * 1e3:.1f} ms on one core, unpacking {unpack * 1e3:.1f} ms",
            decode_again / unpack,
            None,
            "x",
        ),
        _build_row(folder, paths),
    ]


@contextmanager
def _empty_cache() -> Iterator[None]:
    before = os.environ["VPR_CACHE"]
    with tempfile.TemporaryDirectory() as other:
        os.environ["VPR_CACHE"] = other
        try:
            yield
        finally:
            os.environ["VPR_CACHE"] = before


def _packed(folder: Path, paths: list[Path], size: tuple[int, int]) -> Images:
    with _empty_cache():  # in the other one the decoded images would be found
        return open_store("bench", folder, paths, size, form="packed")


def _gsv_xs_row(folder: Path) -> Row:
    """A search of full GSV-XS, whose decoded images do not fit into memory."""
    with tempfile.TemporaryDirectory() as small:
        paths = find_images(enlarge(folder, Path(small), GSV_XS))
        loader = DataLoader(Peer(paths, GSV_XS), BATCH, shuffle=True, num_workers=2)
        packed = _packed(Path(small), paths, GSV_XS)
        theirs, ours = in_turns(
            lambda: cpu_seconds(lambda: [None for _ in loader]) / len(paths) * 1e3,
            lambda: cpu_seconds(lambda: deliver(packed)) / len(paths) * 1e3,
            3,
        )
    return Row(
        "the same from packed JPEG files that need no resizing",
        f"PIL, 2 workers, RandAugment(3), {GSV_XS[0]}x{GSV_XS[1]}: {theirs:.2f} ms; ours {ours:.2f} ms",
        theirs / ours,
        4,
        "x",
    )


def _build_row(folder: Path, paths: list[Path]) -> Row:
    """Against processes that decode and resize, and keep nothing: the limit of all cores."""
    size = (96, 160)
    cores = os.cpu_count() or 1

    def build() -> float:
        with _empty_cache():
            return seconds(lambda: open_store("bench", folder, paths, size))

    with ProcessPoolExecutor(cores) as pool:
        shares = [paths[core::cores] for core in range(cores)]
        bare, ours = in_turns(lambda: seconds(lambda: list(pool.map(_decode_all, shares))), build, 9)
    count = len(paths)
    return Row(
        "store build rate / bare decoding and resizing, all cores",
        f"300x400 to {size[0]}x{size[1]}: {count / bare:.0f} images/s in {cores} processes, {count / ours:.0f} built",
        bare / ours,
        0.9,
        "x",
    )


def _decode_all(paths: list[Path]) -> None:
    for path in paths:
        with Image.open(path) as image:
            np.asarray(image.convert("RGB").resize((160, 96), Image.Resampling.BILINEAR))
