"""Optimizers by exact name: `adam` is Adam, `adamw` is AdamW."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import optim

from vpr.config import OptimizerConfig

Groups = Iterable[dict[str, Any]]


def _adam_like(cls: type[optim.Optimizer]) -> Callable[[Groups, OptimizerConfig], optim.Optimizer]:
    def build(groups: Groups, c: OptimizerConfig) -> optim.Optimizer:
        own: dict[str, Any] = {"momentum_decay": c.momentum_decay} if cls is optim.NAdam else {}
        return cls(groups, lr=c.lr, betas=(c.beta1, c.beta2), eps=c.eps, weight_decay=c.weight_decay, **own)  # type: ignore[call-arg]

    return build


OPTIMIZERS: dict[str, Callable[[Groups, Any], optim.Optimizer]] = {
    "sgd": lambda g, c: optim.SGD(g, lr=c.lr, momentum=c.momentum, nesterov=c.nesterov, weight_decay=c.weight_decay),
    "asgd": lambda g, c: optim.ASGD(g, lr=c.lr, lambd=c.lambd, alpha=c.alpha, weight_decay=c.weight_decay),
    "rmsprop": lambda g, c: optim.RMSprop(
        g, lr=c.lr, alpha=c.alpha, eps=c.eps, momentum=c.momentum, weight_decay=c.weight_decay
    ),
    "adagrad": lambda g, c: optim.Adagrad(g, lr=c.lr, lr_decay=c.lr_decay, eps=c.eps, weight_decay=c.weight_decay),
    "adadelta": lambda g, c: optim.Adadelta(g, lr=c.lr, rho=c.rho, eps=c.eps, weight_decay=c.weight_decay),
    "adam": _adam_like(optim.Adam),
    "adamw": _adam_like(optim.AdamW),
    "nadam": _adam_like(optim.NAdam),
    "radam": _adam_like(optim.RAdam),
}
