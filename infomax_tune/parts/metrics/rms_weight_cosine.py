"""rms_weight_cosine: how parallel two units' weights are on average."""

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.parts.metrics._matrices import rms_off_diagonal


def measure(layer: Layer) -> float:
    """Root mean square of the cosines between the weights of two units. Range: 0 to 1; NaN if there is no pair.

    Of random directions it is 1 / sqrt(d). A unit whose weights are all 0 has no direction and is left out.
    """
    length = layer.weight.norm(dim=1, keepdim=True)
    unit = (layer.weight / length)[length[:, 0] > 0]
    return rms_off_diagonal(unit @ unit.T)


rms_weight_cosine = Metric(
    measure,
    on="trained layer",
    label="rms weight cosine",
    better="lower",
    explanation="Root mean square of the cosines between two units' weights. Random directions in d dimensions have 1/sqrt(d). "
    "Lower is better.",
    low=0.0,
    high=1.0,
    ranked=False,
    place=16,
    report_place=22,
)
