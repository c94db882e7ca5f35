"""A guess at what an epoch costs, used to train the costliest packs first and to estimate times not yet measured."""

from __future__ import annotations

from infomax_tune.study.datasets import SHAPES


def epoch_cost(dataset: str, hidden_dim: int) -> float:
    """Relative cost of one epoch of a trial, without a unit: its multiplications, and the gathering of its rows."""
    shape = SHAPES[dataset]
    return shape.train * shape.inputs * (hidden_dim + _GATHER)


_GATHER = 32
"""The number of units whose products take about as long as gathering a batch."""
