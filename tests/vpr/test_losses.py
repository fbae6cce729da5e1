"""The two losses that are ours, against slow, obvious twins."""

import pytest
import torch
from torch.nn.functional import normalize

from vpr.losses import CentroidTriplet, SmoothAP


@pytest.fixture(params=[(4, 4), (3, 5), (6, 2)])
def batch(request):
    places, views = request.param
    descriptors = normalize(
        torch.randn(places * views, 8, generator=torch.Generator().manual_seed(places), dtype=torch.float64)
    )
    return descriptors, torch.arange(places).repeat_interleave(views)


def test_smooth_ap_is_average_precision_where_it_is_sharp(batch):
    descriptors, labels = batch
    similarity = descriptors @ descriptors.T
    precisions = []
    for query in range(len(labels)):
        others = [index for index in range(len(labels)) if index != query]
        others.sort(key=lambda index: -similarity[query, index])
        right = [bool(labels[index] == labels[query]) for index in others]
        hits = [sum(right[: rank + 1]) / (rank + 1) for rank in range(len(right)) if right[rank]]
        precisions.append(sum(hits) / len(hits))
    expected = 1 - sum(precisions) / len(precisions)
    assert SmoothAP(1e-6)(descriptors, labels).item() == pytest.approx(expected, abs=1e-6)


def test_centroid_triplet(batch):
    descriptors, labels = batch
    costs = []
    for anchor in range(len(labels)):
        mine = [index for index in range(len(labels)) if labels[index] == labels[anchor] and index != anchor]
        positive = (descriptors[anchor] - descriptors[mine].mean(dim=0)).norm()
        for other in set(labels.tolist()) - {int(labels[anchor])}:
            negative = (descriptors[anchor] - descriptors[labels == other].mean(dim=0)).norm()
            costs.append(max(0.0, float(positive - negative) + 0.3))
    expected = sum(costs) / max(1, sum(cost > 0 for cost in costs))
    assert CentroidTriplet(0.3)(descriptors, labels).item() == pytest.approx(expected, abs=1e-9)
