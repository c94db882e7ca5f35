"""excess_kurtosis: how heavy the tails of the units' outputs are."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """Mean over units of E y^4 - 3, y the standardized output. Range: -2 to infinity, 0 for a Gaussian.

    Dead and constant units are left out; NaN if there are no others.
    """
    return layer.standardized.square().square().mean().item() - 3.0


excess_kurtosis = Metric(
    measure,
    on="trained layer",
    label="excess kurtosis",
    explanation="Mean over units, without dead and constant ones, of the fourth moment of the standardized output, minus 3: 0 for "
    "a Gaussian, high if a unit is mostly quiet. Neither direction is better.",
    low=-2.0,
    ranked=False,
    place=19,
    report_place=114,
)
