"""The fourteen runs of the study "Image Geo-localization Through Retrieval", with its own settings.

The base (ResNet-18, GeM, 512 dimensions, 64 x 4 images, RandAugment, 10 epochs) is the config tree's default.
"""

from typing import NamedTuple

SGD = {"optimizer/name": "sgd", "optimizer/momentum": 0.9, "optimizer/weight_decay": 1e-3, "optimizer/lr": 0.0025}
ADAM = {"optimizer/name": "adam", "optimizer/weight_decay": 0.0, "optimizer/lr": 0.0025}
ADAMW = {"optimizer/name": "adamw", "optimizer/weight_decay": 1e-3, "optimizer/lr": 0.0025}
ASGD = {"optimizer/name": "asgd", "optimizer/weight_decay": 1e-3, "optimizer/lr": 0.0025}
GEM = {"model/aggregation": "gem", "model/projection_init": "random"}
CONSTANT = {"scheduler/name": "none"}
CONTRASTIVE = {"loss/name": "contrastive", "loss/pos_margin": 0.0, "loss/neg_margin": 1.0}
CIRCLE = {"loss/name": "circle", "loss/margin": 0.25, "loss/scale": 64.0}
BASE = {**GEM, **CONTRASTIVE, **SGD, **CONSTANT}

FIXED = [
    {**BASE, "model/aggregation": "avg", "optimizer/lr": 0.001},
    {**BASE, "optimizer/lr": 0.001},
    BASE,
    {**BASE, "optimizer/lr": 0.004},
    {**BASE, "optimizer/lr": 0.00085},
    {**GEM, **CONTRASTIVE, **CONSTANT, **ADAM},
    {**GEM, **CONTRASTIVE, **CONSTANT, **ADAMW},
    {**GEM, **CONTRASTIVE, **CONSTANT, **ASGD},
    {**BASE, "scheduler/name": "cosine", "scheduler/min_lr": 0.0},
    {**BASE, "scheduler/name": "plateau", "scheduler/gamma": 0.1, "scheduler/patience": 5},
    {**GEM, "loss/name": "triplet", "loss/margin": 0.3, **SGD, **CONSTANT},
    # The study's ArcFace row is what untrained classifier weights look like; ours are trained (`loss/lr`).
    {**GEM, "loss/name": "arcface", "loss/margin_deg": 28.6, "loss/scale": 64.0, **SGD, **CONSTANT},
    {**GEM, **CIRCLE, **ADAM, **CONSTANT},
    {**GEM, **CIRCLE, **SGD, **CONSTANT},
]


class StudyRow(NamedTuple):
    """One line of the study's tables: recall@1 in per cent on SF-XS val after each epoch, and on a test set."""

    label: str
    run: int
    """Place in FIXED."""
    val: list[float]
    test: float
    test_set: str = "sf_xs/test"


class StudyTable(NamedTuple):
    """One of the study's tables."""

    title: str
    rows: list[StudyRow]


SGD_0025 = [49.2, 54.3, 57.5, 59.6, 60.8, 61.5, 62.2, 62.7, 63.4, 63.6]
GEM_SF = [40.4, 47.5, 51.0, 53.9, 55.7, 57.2, 58.9, 59.7, 60.2, 61.3]
AVERAGE_SF = [39.5, 46.3, 50.2, 52.0, 54.3, 54.7, 55.6, 57.2, 57.1, 57.8]
# The study trained these two again for Tokyo-XS.
AVERAGE_TOKYO = [39.7, 46.0, 49.4, 51.9, 53.8, 54.5, 56.0, 56.8, 58.0, 59.0]
GEM_TOKYO = [39.3, 46.6, 50.9, 53.8, 55.1, 57.0, 58.9, 58.8, 59.4, 60.0]

TABLES = [
    StudyTable(
        "Pooling (SGD lr 0.001)",
        [
            StudyRow("average, SF", 0, AVERAGE_SF, 27.2),
            StudyRow("GeM, SF", 1, GEM_SF, 28.3),
            StudyRow("average, Tokyo", 0, AVERAGE_TOKYO, 40.0, "tokyo_xs/test"),
            StudyRow("GeM, Tokyo", 1, GEM_TOKYO, 43.2, "tokyo_xs/test"),
        ],
    ),
    StudyTable(
        "Learning rate (SGD)",
        [
            StudyRow("0.001", 1, GEM_SF, 28.3),
            StudyRow("0.0025", 2, SGD_0025, 48.3),
            StudyRow("0.004", 3, [51.7, 57.5, 58.9, 60.5, 61.4, 61.9, 63.0, 62.6, 63.3, 62.3], 46.3),
            StudyRow("0.00085", 4, [21.3, 25.2, 28.1, 30.9, 32.8, 34.2, 35.6, 36.8, 37.4, 38.5], 29.5),
        ],
    ),
    StudyTable(
        "Optimizer (lr 0.0025)",
        [
            StudyRow("Adam", 5, [18.3, 26.0, 23.9, 30.6, 20.6, 34.8, 34.6, 29.3, 28.4, 31.9], 9.5),
            StudyRow("AdamW", 6, [29.8, 38.0, 42.6, 46.3, 49.2, 51.0, 52.2, 53.9, 49.9, 55.5], 21.9),
            StudyRow("ASGD", 7, [26.9, 32.8, 35.6, 37.7, 40.0, 41.5, 43.0, 44.3, 46.2, 47.1], 33.0),
            StudyRow("SGD, momentum 0.9", 2, SGD_0025, 48.3),
        ],
    ),
    StudyTable(
        "Scheduler (SGD lr 0.0025)",
        [
            StudyRow("CosineAnnealingLR", 8, [48.7, 54.3, 56.8, 58.4, 59.7, 61.1, 61.3, 61.9, 62.4, 62.5], 44.4),
            StudyRow("ReduceLROnPlateau", 9, [55.3, 58.0, 60.6, 62.1, 62.4, 62.6, 63.0, 62.9, 63.7, 63.7], 43.8),
            StudyRow("none", 2, SGD_0025, 48.3),
        ],
    ),
    StudyTable(
        "Loss (SGD lr 0.0025 unless said)",
        [
            StudyRow("Triplet", 10, [44.0, 50.3, 53.3, 54.7, 56.5, 58.3, 58.8, 60.7, 60.6, 60.8], 32.4),
            StudyRow("Contrastive", 2, SGD_0025, 48.3),
            StudyRow("ArcFace", 11, [10.1, 12.2, 14.1, 15.9, 17.6, 19.6, 20.5, 21.9, 23.7, 24.8], 15.2),
            StudyRow("Circle, Adam", 12, [52.3, 59.0, 61.9, 63.2, 64.5, 65.3, 65.9, 66.4, 67.0, 67.3], 44.1),
            StudyRow("Circle, SGD", 13, [63.6, 65.8, 66.8, 62.7, 67.6, 67.7, 67.8, 68.3, 68.1, 68.9], 37.8),
        ],
    ),
]
"""Epoch 0 of the study is our epoch 1, the val recall after the first pass over the training set."""
