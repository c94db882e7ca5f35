"""saturation: the share of outputs that are at the end of their range."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """Share of all outputs with |a| > 0.95 of the bound; if rows of a sum to 1, of samples whose largest output is > 0.95.

    Range: 0 to 1; NaN if the activation has no bound.
    """
    rates = layer.saturation_rate  # at most one share of a row is > 0.95
    return (rates.sum() if layer.are_shares else rates.mean()).item()


saturation = Metric(
    measure,
    on="trained layer",
    label="saturated share",
    explanation="If the outputs are bounded: the share of them beyond 95% of the bound. If they sum to 1: the share of images "
    "whose largest output is over 0.95. Neither direction is better.",
    low=0.0,
    high=1.0,
    ranked=False,
    place=18,
    report_place=112,
)
