"""Batches from a thread: the right images in the right order, and a fault reaches whoever trains."""

import numpy as np
import pytest
import torch

from vpr.data import open_data
from vpr.datasets import find_sets
from vpr.loading import load
from vpr.train import Trainer

CPU = torch.device("cpu")


def test_batches_come_in_order_with_their_images(data):
    batches = [np.array([3, 1]), np.array([0, 2, 5])]
    loaded = list(load(data.images, batches, CPU))
    assert [rows.tolist() for rows, _ in loaded] == [[3, 1], [0, 2, 5]]
    out = np.empty((3, *data.images.shape[1:]), np.uint8)
    data.images.gather(batches[1], out)
    assert (loaded[1][1].numpy() == out).all()
    assert list(load(data.images, [], CPU)) == []


def test_a_fault_in_the_thread_is_raised_where_the_batch_is_wanted():
    class Broken:
        shape = (4, 3, 2, 2)

        def __len__(self):
            return 4

        def gather(self, rows, out):
            if 3 in rows:
                raise OSError("the disk is gone")

    batches = load(Broken(), [np.array([0]), np.array([3])], CPU)
    next(batches)
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_training_cannot_tell_packed_from_decoded_images(city, config, data, monkeypatch, tmp_path):
    monkeypatch.setenv("VPR_CACHE", str(tmp_path))
    packed = open_data(find_sets(city), config.data, budget_gb=0)
    assert {file.suffix for file in tmp_path.iterdir() if file.is_file()} == {".pack", ".lock", ".content"}
    first, second = (next(iter(Trainer(config, kind, CPU))) for kind in (data, packed))
    assert (first.loss, first.recalls) == (second.loss, second.recalls)
