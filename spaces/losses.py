"""Which loss, with its own knobs and the learning rate that suits it; optimizer and schedule stay as they are."""

import optuna

PAIR_LOSSES = ["triplet", "contrastive", "circle", "multi_similarity", "ntxent", "supcon", "lifted"]
CLASSIFIER_LOSSES = ["arcface", "cosface", "subcenter_arcface", "proxy_anchor"]
RANKING_LOSSES = ["fast_ap", "smooth_ap", "centroid_triplet"]

KNOWN_GOOD = [
    {"loss/name": "triplet", "optimizer/lr": 0.0025, "loss/margin": 0.3, "loss/miner": "none"},
    {"loss/name": "circle", "optimizer/lr": 0.0025, "loss/margin": 0.25, "loss/scale": 64.0, "loss/miner": "none"},
    {"loss/name": "contrastive", "optimizer/lr": 0.0025, "loss/neg_margin": 1.0, "loss/miner": "none"},
    {"loss/name": "ntxent", "optimizer/lr": 0.02, "loss/temperature": 0.07, "loss/miner": "none"},
    {"loss/name": "arcface", "optimizer/lr": 0.0025, "loss/margin_deg": 28.6, "loss/scale": 64.0, "loss/lr": 0.05},
    {"loss/name": "multi_similarity", "optimizer/lr": 0.02, "loss/beta": 50.0, "loss/base": 0.5, "loss/miner": "none"},
]
"""The study's four losses with its own settings, and the two that followed in the field. For SGD."""


def suggest(trial: optuna.Trial) -> None:
    """Fourteen losses; margins, temperatures and miners only where the loss has them."""
    trial.suggest_float("optimizer/lr", 1e-4, 1e-1, log=True)
    suggest_loss(trial)


def suggest_loss(trial: optuna.Trial) -> None:
    """A loss and its own knobs (shared with the space `full`)."""
    loss = trial.suggest_categorical("loss/name", PAIR_LOSSES + CLASSIFIER_LOSSES + RANKING_LOSSES)
    if loss in PAIR_LOSSES:
        trial.suggest_categorical("loss/miner", ["none", "multi_similarity", "triplet_semihard", "pair_margin"])
    if loss in CLASSIFIER_LOSSES:
        trial.suggest_float("loss/lr", 1e-3, 1.0, log=True)
    if loss in ("arcface", "subcenter_arcface"):
        trial.suggest_float("loss/margin_deg", 5.0, 40.0)
    if loss in ("triplet", "centroid_triplet", "circle", "cosface", "proxy_anchor"):
        trial.suggest_float("loss/margin", 0.05, 0.5)
    if loss in ("circle", *CLASSIFIER_LOSSES):
        trial.suggest_float("loss/scale", 16.0, 256.0, log=True)
    if loss in ("contrastive", "lifted"):
        trial.suggest_float("loss/neg_margin", 0.4, 1.4)
    if loss == "multi_similarity":
        trial.suggest_float("loss/beta", 10.0, 100.0, log=True)
        trial.suggest_float("loss/base", 0.0, 0.6)
    if loss in ("ntxent", "supcon", "smooth_ap"):
        trial.suggest_float("loss/temperature", 0.01, 0.3, log=True)
    if loss == "fast_ap":
        trial.suggest_int("loss/bins", 5, 25)
