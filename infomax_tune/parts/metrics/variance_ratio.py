"""variance_ratio: how unevenly the units vary."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """max_j Var_j / (min_j Var_j + 1e-10), unbiased variances. Range: 0 to infinity, 1 is even."""
    variance = layer.covariance.diagonal()
    return (variance.max() / (variance.min() + 1e-10)).item()


variance_ratio = Metric(
    measure,
    label="variance ratio",
    better="lower",
    explanation="The largest variance of a unit divided by the smallest. 1 means all are equal; a dead unit makes it huge.",
    redundancy=True,
    log=True,
    low=0.0,
    place=5,
    report_place=60,
)
