"""Where and how a pack is trained. Does not import torch, so a driver can use it before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infomax_tune.errors import ResourceError
from infomax_tune.process.environment import describe
from infomax_tune.science.arithmetic import ARITHMETIC


@dataclass(frozen=True)
class Execution:
    """Where and how a pack is trained.

    device: cpu, cuda or mps; it can change a trial's last bits. stacked: False computes the trials one after another.
    environment: the fingerprint kept with each record's timing.
    """

    device: str = "cpu"
    stacked: bool = True
    environment: str = ""


def environment_here(*, device: str, threads: int) -> dict[str, Any]:
    """The environment that this process would train in: see `describe`, and our arithmetic."""
    return describe(device=device, threads=threads) | {"arithmetic": ARITHMETIC}


ON_CPU = Execution()
"""Stacked, on the CPU."""


def require_device(device: str | None) -> None:
    """Raises ResourceError if torch finds no such device on this machine."""
    if device in (None, "cpu"):
        return
    import torch  # slow

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not found[device]:
        raise ResourceError(f"device {device}: torch {torch.__version__} finds no such device here; use cpu.")
