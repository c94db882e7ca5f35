"""What an epoch costs before anything is measured: to train the costliest packs first, and to guess the time left."""

from __future__ import annotations

from infomax_tune.study.datasets import SHAPES


def epoch_cost(dataset: str, hidden_dim: int) -> float:
    """What an epoch of a trial costs, in no unit: its multiplications, and the gathering of its rows beside them."""
    shape = SHAPES[dataset]
    return shape.train * shape.inputs * (hidden_dim + _GATHER)


_GATHER = 32
"""Units whose products take about as long as the gathering of a batch."""
