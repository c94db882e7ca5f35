"""constant_units: the count of units whose output hardly varies, as that of a saturated tanh, which is not dead."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """Count of units that are `constant`: their variance is under 1e-4 of the layer's median, or 0. Range: 0 to k."""
    return float(layer.constant.sum().item())


constant_units = Metric(
    measure,
    on="trained layer",
    label="constant units",
    better="lower",
    explanation="Units whose variance is below 1/10,000 of the median unit's, or 0. Lower is better.",
    integer=True,
    grows="unit",
    low=0.0,
    high=1.0,
    ranked=False,
    place=15,
    report_place=32,
)
