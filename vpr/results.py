"""What an epoch gave, and the one rule for which epoch or trial is best."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochResult:
    """One epoch of training and the val measurement after it."""

    epoch: int
    """1 is the first; 0 is the untrained model."""
    recalls: dict[int, float]
    """val recall@N in per cent over all queries, by N."""
    loss: float
    """Mean over the epoch's batches."""
    learning_rate: float
    """Of the model's weights at the end of the epoch."""
    images_per_second: float
    """Training images over the seconds of training (validation apart)."""
    train_seconds: float
    val_seconds: float
    loss_weights: int
    """Trained weights that the loss itself owns; 0 for most losses."""

    def metrics(self) -> dict[str, float]:
        """By the names that MLflow, reports and summary.json use."""
        return {
            "epoch": self.epoch,
            **{f"val/recall_at_{n}": value for n, value in self.recalls.items()},
            "val/seconds": self.val_seconds,
            "train/loss": self.loss,
            "train/learning_rate": self.learning_rate,
            "train/images_per_second": self.images_per_second,
            "train/seconds": self.train_seconds,
            "train/loss_weights": self.loss_weights,
        }


def best_key(metrics: Mapping[str, float]) -> tuple[float, float, float]:
    """Larger is better: highest val recall@1, then recall@5, then the earlier epoch."""
    return metrics["val/recall_at_1"], metrics["val/recall_at_5"], -metrics["epoch"]
