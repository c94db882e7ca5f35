"""max_avg_responsibility: the largest share that one unit takes."""

import math

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """max_j mean(a_j). Near 1/k is best; NaN unless every row sums to 1."""
    if not layer.are_shares:
        return math.nan
    return layer.activations.mean(dim=0).max().item()


max_avg_responsibility = Metric(
    measure,
    label="largest mean responsibility",
    better="lower",
    explanation="If the outputs sum to 1: the largest mean share of any unit. Near 1/K is best.",
    low=0.0,
    high=1.0,
    place=8,
    report_place=70,
)
