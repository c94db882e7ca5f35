"""largest_responsibility: how much of a sample its most responsible unit takes."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """Mean over samples of max_j r_j, r the layer's `responsibility`. Range: 1/k (all units alike) to 1 (one unit)."""
    return layer.responsibility.amax(dim=1).mean().item()


largest_responsibility = Metric(
    measure,
    on="trained layer",
    label="largest responsibility",
    explanation="Mean over images of the largest responsibility of a unit: 1 if one unit takes an image, 1/K if all share it. "
    "Neither direction is better.",
    low=0.0,
    high=1.0,
    ranked=False,
    place=22,
    report_place=74,
)
