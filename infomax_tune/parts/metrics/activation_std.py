"""activation_std: the unbiased standard deviation over all entries of the activations."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    return layer.activations.std().item()


activation_std = Metric(
    measure,
    label="sd of activation",
    explanation="Standard deviation of all outputs. Neither direction is better.",
    place=7,
    report_place=110,
)
