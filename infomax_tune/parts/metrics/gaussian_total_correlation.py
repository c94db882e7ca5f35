"""gaussian_total_correlation: what the total correlation sum_j H(a_j) - H(a) would be if a were Gaussian."""

from infomax_tune.parts.metrics import Layer, Metric


def measure(layer: Layer) -> float:
    """-1/2 log det R in nats, R the layer's `correlation` with 1e-6 added to its diagonal. A constant unit adds 6.9.

    If every row of a sums to 1, as with softmax, R is singular and its determinant would be that of the 1e-6, so the
    unit with the largest variance, which the others determine, is left out.
    """
    correlation = layer.correlation
    if layer.are_shares:
        left_out = int(layer.covariance.diagonal().argmax())
        kept = [j for j in range(len(correlation)) if j != left_out]
        correlation = correlation[kept][:, kept]
    regularizer = 1e-6 * correlation.new_ones(len(correlation)).diag()
    return 0.0 - 0.5 * (correlation + regularizer).slogdet().logabsdet.item()


gaussian_total_correlation = Metric(
    measure,
    label="Gaussian total correlation",
    better="lower",
    explanation="The information that the outputs would share if they were Gaussian: -1/2 log det of their correlation matrix, "
    "in nats. If the outputs sum to 1, the unit with the largest variance is excluded, because the others determine it. "
    "Lower is better.",
    redundancy=True,
    grows="unit",
    place=9,
    report_place=50,
)
