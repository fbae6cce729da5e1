"""Losses and miners by exact name. A loss takes descriptors (B, D) and places (B,), and may own weights."""

from collections.abc import Callable
from typing import Any

import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn

from vpr.config import LossConfig


class SmoothAP(nn.Module):
    """1 - mean average precision with sigmoids for ranks (Brown et al. 2020, eq. 7), for any number of views.

    pytorch-metric-learning 2.9's SmoothAPLoss groups the batch by its number of views instead of its number of places.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, descriptors: Tensor, labels: Tensor, pairs: None = None) -> Tensor:
        similarity = descriptors @ descriptors.T  # (B, B)
        others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        positive = (labels[:, None] == labels) & others
        query, match = positive.nonzero(as_tuple=True)  # every (query, positive) pair: (M,)
        above = torch.sigmoid((similarity[query] - similarity[query, match, None]) / self.temperature)  # (M, B)
        # The match itself is no competitor of its own rank.
        above = above * others[query] * (torch.arange(len(labels), device=labels.device) != match[:, None])
        rank = 1 + above.sum(dim=1)
        rank_among_positives = 1 + (above * positive[query]).sum(dim=1)
        precision = torch.zeros_like(similarity[0]).index_add(0, query, rank_among_positives / rank)  # (B,)
        count = positive.sum(dim=1)
        average = precision / count.clamp(min=1)
        has_positive = (count > 0).to(average.dtype)
        return ((1 - average) * has_positive).sum() / has_positive.sum().clamp(min=1)


class CentroidTriplet(nn.Module):
    """Triplets of a descriptor, the mean of its place's other views, and the means of other places (Wieczorek et al. 2021).

    Averaged over the triplets that cost something.
    """

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, descriptors: Tensor, labels: Tensor, pairs: None = None) -> Tensor:
        places, index, views = labels.unique(return_inverse=True, return_counts=True)
        sums = torch.zeros(len(places), descriptors.shape[1], device=descriptors.device, dtype=descriptors.dtype)
        sums = sums.index_add(0, index, descriptors)  # (P, D)
        others = (sums[index] - descriptors) / (views[index] - 1).clamp(min=1)[:, None]  # (B, D), without itself
        to_positive = torch.linalg.vector_norm(descriptors - others + 1e-12, dim=1)  # (B,)
        to_centroids = torch.linalg.vector_norm(
            descriptors[:, None] - (sums / views[:, None])[None] + 1e-12, dim=2
        )  # (B, P); the small number keeps the gradient of a zero distance finite
        cost = torch.relu(to_positive[:, None] - to_centroids + self.margin)
        is_other = index[:, None] != torch.arange(len(places), device=index.device)
        cost = cost * is_other * (views[index] > 1)[:, None]
        return cost.sum() / (cost > 0).sum().clamp(min=1)


LossBuilder = Callable[[Any, int, int], Any]
"""(LossConfig with the fields of that loss, places of the training set, descriptor size) -> loss module."""

LOSSES: dict[str, LossBuilder] = {
    "triplet": lambda c, places, dim: losses.TripletMarginLoss(margin=c.margin),
    "contrastive": lambda c, places, dim: losses.ContrastiveLoss(pos_margin=c.pos_margin, neg_margin=c.neg_margin),
    "circle": lambda c, places, dim: losses.CircleLoss(m=c.margin, gamma=c.scale),
    "multi_similarity": lambda c, places, dim: losses.MultiSimilarityLoss(alpha=c.alpha, beta=c.beta, base=c.base),
    "ntxent": lambda c, places, dim: losses.NTXentLoss(temperature=c.temperature),
    "supcon": lambda c, places, dim: losses.SupConLoss(temperature=c.temperature),
    "lifted": lambda c, places, dim: losses.LiftedStructureLoss(neg_margin=c.neg_margin, pos_margin=c.pos_margin),
    "arcface": lambda c, places, dim: losses.ArcFaceLoss(places, dim, margin=c.margin_deg, scale=c.scale),
    "cosface": lambda c, places, dim: losses.CosFaceLoss(places, dim, margin=c.margin, scale=c.scale),
    "subcenter_arcface": lambda c, places, dim: losses.SubCenterArcFaceLoss(
        num_classes=places, embedding_size=dim, margin=c.margin_deg, scale=c.scale, sub_centers=c.sub_centers
    ),
    "proxy_anchor": lambda c, places, dim: losses.ProxyAnchorLoss(places, dim, margin=c.margin, alpha=c.scale),
    "fast_ap": lambda c, places, dim: losses.FastAPLoss(num_bins=c.bins),
    "smooth_ap": lambda c, places, dim: SmoothAP(c.temperature),
    "centroid_triplet": lambda c, places, dim: CentroidTriplet(c.margin),
}

MINERS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "multi_similarity": lambda: miners.MultiSimilarityMiner(epsilon=0.1),
    "triplet_semihard": lambda: miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard"),
    "triplet_hard": lambda: miners.BatchHardMiner(),
    "pair_margin": lambda: miners.PairMarginMiner(pos_margin=0.2, neg_margin=0.8),
}


class PlaceLoss(nn.Module):
    """The chosen miner and loss as one module; its parameters are the loss's own weights (none for most losses)."""

    def __init__(self, config: LossConfig, places: int, dim: int) -> None:
        super().__init__()
        self.loss = LOSSES[config.name](config, places, dim)
        self.miner = MINERS[config.miner or "none"]()

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """descriptors: (B, D) float32, unit length; labels: (B,) places 0..places-1. Returns a scalar."""
        pairs = self.miner(descriptors, labels) if self.miner else None
        # A batch in which nothing costs anything gives a constant 0; this keeps it differentiable.
        return self.loss(descriptors, labels, pairs) + 0.0 * descriptors.sum()
