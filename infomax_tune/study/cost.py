"""A rough cost of an epoch, used to train the costliest packs first and to estimate times not yet measured."""

from __future__ import annotations

from infomax_tune.study.datasets import shape_of


def epoch_cost(dataset: str, hidden_dim: int) -> float:
    """Relative cost of one epoch of a trial, without a unit: what each unit takes, and what a row takes without units."""
    shape = shape_of(dataset)
    return shape.train * shape.inputs * (hidden_dim + _WITHOUT_UNITS)


_WITHOUT_UNITS = 10
"""What a step takes without units (reading its rows), as a number of units: 2 and 17 on two CPUs."""
