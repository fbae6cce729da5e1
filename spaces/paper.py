"""The fourteen runs of the study "Image Geo-localization Through Retrieval", with its own settings.

The base (ResNet-18, GeM, 512 dimensions, 64 x 4 images, RandAugment, 10 epochs) is the config tree's default.
"""

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
