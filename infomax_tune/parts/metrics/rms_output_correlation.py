"""rms_output_correlation: how correlated two units' outputs are on average."""

from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.parts.metrics._matrices import rms_off_diagonal


def measure(layer: Layer) -> float:
    """Root mean square of the off-diagonal entries of the layer's `correlation`. Range: 0 to 1; NaN if there is no pair.

    Independent outputs have about 1 / sqrt(n - 1) on n samples; outputs that sum to 1 have at least 1 / (k - 1). Dead and
    constant units are left out.
    """
    return rms_off_diagonal(layer.correlation[layer.live][:, layer.live])


rms_output_correlation = Metric(
    measure,
    on="trained layer",
    label="rms output correlation",
    better="lower",
    explanation="Root mean square of the correlations between two units' outputs, without dead and constant units. Independent "
    "outputs have about 1/sqrt(N - 1) on N images, and outputs that sum to 1 at least 1/(K - 1). Lower is better.",
    low=0.0,
    high=1.0,
    ranked=False,
    place=17,
    report_place=42,
)
