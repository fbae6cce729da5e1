"""Batches on the training device: a thread gathers the next one while the model computes on this one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from vpr.images import Images


def load(images: Images, batches: Iterable[np.ndarray], device: torch.device) -> Iterator[tuple[np.ndarray, Tensor]]:
    """For each batch of rows (B,): the rows, and their images (B, 3, H, W) uint8 on the device.

    Images travel to a GPU from pinned memory, and nobody waits for them.
    """

    def gather(rows: np.ndarray) -> Tensor:
        batch = torch.empty((len(rows), *images.shape[1:]), dtype=torch.uint8, pin_memory=device.type == "cuda")
        images.gather(rows, batch.numpy())
        return batch

    with ThreadPoolExecutor(1, "gather") as thread:
        coming = None
        for rows in chain(batches, [None]):
            ready, coming = coming, None if rows is None else (rows, thread.submit(gather, rows))
            if ready:
                yield ready[0], ready[1].result().to(device, non_blocking=True)
