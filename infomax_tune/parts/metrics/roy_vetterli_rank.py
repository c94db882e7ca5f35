"""roy_vetterli_rank: the effective rank of the weights as Roy and Vetterli define it."""

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.parts.metrics._matrices import entropy_rank


def measure(layer: Layer) -> float:
    """exp(-sum p log p), p = s / sum s, s the singular values of the weights. Range: 1 to min(k, d); NaN if all are 0.

    Source: Roy & Vetterli (2007). `effective_rank` is another definition.
    """
    return entropy_rank(layer.singular_values)


roy_vetterli_rank = Metric(
    measure,
    on="trained layer",
    label="Roy-Vetterli rank",
    better="higher",
    explanation="How many directions the weights really use, by another definition than the effective rank: exp of the entropy "
    "of their normalized singular values. It ranges from 1 to the smaller of K and the input size; higher is better.",
    grows="unit",
    low=0.0,
    high=1.0,
    ranked=False,
    place=14,
    report_place=14,
)
