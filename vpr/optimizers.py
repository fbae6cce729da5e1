"""Optimizers by exact name: `adam` is Adam, `adamw` is AdamW.

Adam and AdamW are fused; on a GPU torch runs the others for all tensors at once (foreach) by itself. SGD is not fused: in torch
2.14 its kernel keeps uninitialised momentum when the gradient scaler skips the first step, as fp16 often does.
"""

from collections.abc import Callable, Iterable
from typing import Any

from torch import optim

from vpr.config import OptimizerConfig

Groups = Iterable[dict[str, Any]]
OWN: dict[type[optim.Optimizer], Callable[[OptimizerConfig], dict[str, Any]]] = {
    optim.Adam: lambda c: {"fused": True},
    optim.AdamW: lambda c: {"fused": True},
    optim.NAdam: lambda c: {"momentum_decay": c.momentum_decay},
    optim.RAdam: lambda c: {},
}


def _adam_like(cls: type[optim.Optimizer]) -> Callable[[Groups, OptimizerConfig], optim.Optimizer]:
    def build(groups: Groups, c: OptimizerConfig) -> optim.Optimizer:
        own: dict[str, Any] = OWN[cls](c)
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
