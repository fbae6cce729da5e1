"""What an epoch gave, and the one rule for which epoch or trial is best."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class EpochResult:
    """One epoch of training and the val measurement after it."""

    epoch: int
    """1 is the first; 0 is the untrained model."""
    recalls: dict[int, float]
    """val recall@N in per cent over all queries, by N; of several val sets their mean (`mean_recalls`)."""
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
    recalls_by_set: dict[str, dict[int, float]] = field(default_factory=dict)
    """val recall@N of each val set in per cent, by the set's name."""

    def metrics(self) -> dict[str, float]:
        """By the names that MLflow, reports and summary.json use."""
        return {
            "epoch": self.epoch,
            **{f"val/recall_at_{n}": value for n, value in self.recalls.items()},
            **self._metrics_by_set(),
            "val/seconds": self.val_seconds,
            "train/loss": self.loss,
            "train/learning_rate": self.learning_rate,
            "train/images_per_second": self.images_per_second,
            "train/seconds": self.train_seconds,
            "train/loss_weights": self.loss_weights,
        }

    def _metrics_by_set(self) -> dict[str, float]:
        """Return `val/NAME/recall_at_N` of each val set; nothing for a single one, whose recall is the mean."""
        if len(self.recalls_by_set) < 2:
            return {}
        return {
            f"val/{name}/recall_at_{n}": value
            for name, recalls in self.recalls_by_set.items()
            for n, value in recalls.items()
        }


def mean_recalls(by_set: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """Return the mean over sets of recall@N, by N.

    Each set has equal weight, whatever its number of queries. One set gives its own values exactly.

    Args:
        by_set: recall@N in per cent by N, by the set's name; one set or more, with the same N.
    """
    sets = list(by_set.values())
    return {n: sum(recalls[n] for recalls in sets) / len(sets) for n in sets[0]}


def best_key(metrics: Mapping[str, float]) -> tuple[float, float, float]:
    """Larger is better: highest val recall@1, then recall@5, then the earlier epoch."""
    return metrics["val/recall_at_1"], metrics["val/recall_at_5"], -metrics["epoch"]
