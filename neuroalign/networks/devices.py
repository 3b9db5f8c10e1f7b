"""Where a network is computed, and in which precision."""

from __future__ import annotations

import torch

from neuroalign.errors import NetworkError


def find_device(wanted: str) -> torch.device:
    """Give the device asked for; `auto` is the fastest there is.

    Raises
    ------
    NetworkError
        This machine has none.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    if not there[wanted]:
        raise NetworkError(f"device is '{wanted}', but this machine has none; set device: auto")
    return torch.device(wanted)


def compute_dtype(stored: str, device: torch.device, trained: torch.dtype | None = None) -> torch.dtype:
    """Half precision only on an accelerator and if stored so; the wider-ranged half if trained in it."""
    if stored == "float32" or device.type == "cpu":
        return torch.float32
    return torch.bfloat16 if trained == torch.bfloat16 else torch.float16
