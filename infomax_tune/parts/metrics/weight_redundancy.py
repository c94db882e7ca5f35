"""weight_redundancy: how far the units' directions are from orthogonal."""

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.parts.metrics._matrices import distance_from_identity


def measure(layer: Layer) -> float:
    """||G - I||_F^2, G the Gram matrix of the rows / (norm + 1e-8).

    Range: 0 (orthogonal) to k (k - 1) (all parallel); a zero row adds 1.
    """
    unit = layer.weight / (layer.weight.norm(dim=1, keepdim=True) + 1e-8)
    return distance_from_identity(unit @ unit.T)


weight_redundancy = Metric(
    measure,
    label="weight redundancy",
    better="lower",
    explanation="How far the units' weight vectors are from orthogonal: the squared distance of their cosine matrix from the "
    "identity. 0 is best.",
    redundancy=True,
    headline=True,
    grows="pair",
    low=0.0,
    chance=lambda units, inputs, rows: units * (units - 1) / inputs,
    place=2,
    report_place=20,
)
