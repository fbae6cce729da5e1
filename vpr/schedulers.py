"""Learning-rate schedules by exact name, after a linear warm-up."""

from collections.abc import Callable
from typing import Any

from torch import optim
from torch.optim import lr_scheduler as lrs

from vpr.config import SchedulerConfig

STEPWISE = ("one_cycle", "cyclic")
"""Schedules that move at every step; the others move after every epoch."""

Builder = Callable[[optim.Optimizer, Any, int, int], Any]
"""(optimizer, config, epochs after the warm-up, steps of an epoch) -> torch scheduler."""


def _rates(optimizer: optim.Optimizer, factor: float = 1.0) -> list[float]:
    return [group["lr"] * factor for group in optimizer.param_groups]


SCHEDULERS: dict[str, Builder] = {
    "none": lambda o, c, epochs, steps: lrs.ConstantLR(o, factor=1.0),
    "step": lambda o, c, epochs, steps: lrs.StepLR(o, step_size=c.step_epochs, gamma=c.gamma),
    "multistep": lambda o, c, epochs, steps: lrs.MultiStepLR(o, milestones=list(c.milestones), gamma=c.gamma),
    "exponential": lambda o, c, epochs, steps: lrs.ExponentialLR(o, gamma=c.gamma),
    "cosine": lambda o, c, epochs, steps: lrs.CosineAnnealingLR(o, T_max=epochs, eta_min=c.min_lr),
    "cosine_restarts": lambda o, c, epochs, steps: lrs.CosineAnnealingWarmRestarts(
        o, T_0=c.restart_epochs, T_mult=c.restart_factor, eta_min=c.min_lr
    ),
    # Momentum is left alone: most optimizers here have none to cycle.
    "one_cycle": lambda o, c, epochs, steps: lrs.OneCycleLR(
        o, max_lr=_rates(o), total_steps=epochs * steps + 1, pct_start=c.rise, cycle_momentum=False
    ),
    "plateau": lambda o, c, epochs, steps: lrs.ReduceLROnPlateau(
        o, mode="max", factor=c.gamma, patience=c.patience, min_lr=c.min_lr
    ),
    "linear": lambda o, c, epochs, steps: lrs.LinearLR(
        o, start_factor=1.0, end_factor=c.end_factor, total_iters=epochs
    ),
    "polynomial": lambda o, c, epochs, steps: lrs.PolynomialLR(o, total_iters=epochs, power=c.power),
    "cyclic": lambda o, c, epochs, steps: lrs.CyclicLR(
        o,
        base_lr=_rates(o, c.low_factor),
        max_lr=_rates(o),
        step_size_up=max(1, round(c.cycle_epochs * steps / 2)),
        cycle_momentum=False,
    ),
}


class Schedule:
    """The chosen scheduler behind its warm-up; tell it of every step and every epoch."""

    def __init__(self, config: SchedulerConfig, optimizer: optim.Optimizer, epochs: int, steps: int) -> None:
        """epochs: of the whole training, warm-up included; steps: of one epoch."""
        self.optimizer = optimizer
        self.is_stepwise = config.name in STEPWISE
        self.is_plateau = config.name == "plateau"
        self.warmup_steps = config.warmup_epochs * steps
        self.step = 0
        self.scheduler = SCHEDULERS[config.name](optimizer, config, max(1, epochs - config.warmup_epochs), steps)
        self.start_rates = _rates(optimizer)
        self._warm_up()

    def after_step(self) -> None:
        self.step += 1
        if self.step <= self.warmup_steps:
            self._warm_up()
        elif self.is_stepwise:
            self.scheduler.step()

    def after_epoch(self, recall_at_1: float) -> None:
        """recall_at_1: of this epoch on val, in per cent (only `plateau` looks at it)."""
        if self.step <= self.warmup_steps:
            return
        if self.is_plateau:
            self.scheduler.step(recall_at_1)
        elif not self.is_stepwise:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "start_rates": self.start_rates, "scheduler": self.scheduler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.start_rates = state["step"], state["start_rates"]
        self.scheduler.load_state_dict(state["scheduler"])

    def _warm_up(self) -> None:
        """Step i of n trains with (i + 1) / n of the rate; the step after the warm-up with all of it."""
        if not self.warmup_steps:
            return
        share = min(1.0, (self.step + 1) / self.warmup_steps)
        for group, rate in zip(self.optimizer.param_groups, self.start_rates, strict=True):
            group["lr"] = rate * share
