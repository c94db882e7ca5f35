"""activation_mean: the mean over all entries of the activations."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    return layer.activations.mean().item()


activation_mean = Metric(
    measure,
    label="mean activation",
    explanation="Mean of all outputs. Neither direction is better.",
    place=6,
    report_place=100,
)
