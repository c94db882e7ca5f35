"""dead_units: the count of units that hardly ever respond."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """Count of units with |a| > 1e-6 on under 1% of the samples. Range: 0 to k."""
    return float(layer.dead.sum().item())


dead_units = Metric(
    measure,
    label="dead units",
    better="lower",
    explanation="Units that respond (above 1e-6 in magnitude) to less than 1% of the test images. Lower is better.",
    redundancy=True,
    integer=True,
    grows="unit",
    low=0.0,
    high=1.0,
    place=3,
    report_place=30,
)
