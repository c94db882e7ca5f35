"""effective_rank: the number of directions the weights really use."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """(sum s)^2 / sum s^2, s the singular values (+ 1e-10). Range: 1 (all units parallel) to min(k, d).

    Differs: not the entropy-based effective rank of Roy & Vetterli (2007).
    """
    s = layer.singular_values + 1e-10
    return (s.sum().square() / s.square().sum()).item()


effective_rank = Metric(
    measure,
    label="effective rank",
    better="higher",
    explanation="How many directions the weights really use: (sum s)\u00b2 / sum s\u00b2 of the singular values s. It ranges from "
    "1 (all units parallel) to the smaller of K and the input size; higher is better.",
    redundancy=True,
    headline=True,
    grows="unit",
    low=0.0,
    high=1.0,
    place=1,
    report_place=10,
)
