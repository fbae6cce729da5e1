"""Device and number format by name."""

from contextlib import AbstractContextManager
from typing import Any

import torch

from vpr.errors import ConfigError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one; raises ConfigError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device cuda: PyTorch finds no GPU here; use cpu or auto")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"--device {name} does not exist; use auto, cpu or cuda")
    return torch.device(name)


def resolve(device: torch.device, precision: str) -> str:
    """What `training/precision=auto` means on this device.

    bf16 where it computes in it, else fp16 on a GPU and fp32 on a CPU.
    """
    if precision != "auto":
        return precision
    if device.type == "cpu":
        # Before torch 2.14 there is nothing to ask; those CPUs train in fp32.
        can: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return "bf16" if can.get("avx512_bf16") or can.get("amx_bf16") else "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """The forward pass's number format; a no-op for fp32."""
    name = resolve(device, precision)
    return torch.autocast(device.type, dtype=DTYPES[name], enabled=name != "fp32")
