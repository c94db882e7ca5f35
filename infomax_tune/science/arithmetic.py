"""The number of our arithmetic, which tells trials apart that another version computed otherwise. Imports nothing."""

ARITHMETIC = 2
"""Raise it with every change that can alter a bit of a trial: the order of operations, a formula, an initial weight, the
order of the data. Its number is part of each record, and a sweep does not mix two. What was kept before it existed counts as
1. Since 2, the Gaussian total correlation of outputs that sum to 1 leaves one unit out."""


def arithmetic_of(activation: str, head: str) -> int:
    """The number of a trial's own arithmetic: that of the last change which altered trials of its kind.

    2 altered softmax alone: a sweep of other activations that an earlier version began is gone on with as it is.
    """
    return ARITHMETIC if "softmax" in (activation, head) else 1
