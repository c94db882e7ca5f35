"""What trains trials: a stack of replicas by torch, or one trial in compiled loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from infomax_tune.study.config import TrialConfig


@dataclass(frozen=True)
class TrialState:
    """All that a trial needs to resume: its last epoch, and its parameters and optimizer moments, unstacked, on the CPU.

    tensors: weight (K, D), bias (K,), those of an objective that rebuilds the inputs, and `<parameter>.<moment>` of each.
    """

    epoch: int
    tensors: dict[str, Tensor]


@runtime_checkable
class Stepper(Protocol):
    """Trains one trial or more of a cell, each a replica. config: of the first; size: how many there are."""

    config: TrialConfig
    size: int

    def train_epoch(self, epoch: int, batches: int | None = None) -> list[dict[str, float]]:
        """One pass over the data in the epoch's order; returns the means of the terms over its rows, per replica.

        Where lambda_wr is 0, no step needs wr: it is that of the weights after the last step. batches: how many to train
        on; None is all.
        """
        ...

    def parameters(self, replica: int) -> Mapping[str, Tensor]:
        """The parameters of one replica, by name, as they are now."""
        ...

    def tensors(self, replica: int) -> dict[str, Tensor]:
        """Copies of the parameters and moments of one replica, on the CPU."""
        ...
