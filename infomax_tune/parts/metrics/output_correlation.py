"""output_correlation: how far the units' outputs are from uncorrelated."""

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.parts.metrics._matrices import distance_from_identity


def measure(layer: Layer) -> float:
    """||R - I||_F^2, R the layer's `correlation`. Range: 0 to k (k - 1); a constant unit adds 1."""
    return distance_from_identity(layer.correlation)


output_correlation = Metric(
    measure,
    label="output correlation",
    better="lower",
    explanation="The squared distance of the outputs' correlation matrix from the identity. 0 means that no two units are "
    "linearly correlated.",
    redundancy=True,
    headline=True,
    grows="pair",
    low=0.0,
    chance=lambda units, inputs, rows: units * (units - 1) / (rows - 1),
    floor=lambda units: units / max(1, units - 1),
    place=4,
    report_place=40,
)
