"""Where and how a pack is trained. Does not import torch, so a driver can use it before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
