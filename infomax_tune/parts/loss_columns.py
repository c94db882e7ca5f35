"""The columns of the loss and its terms: means over the rows of an epoch."""

from infomax_tune.parts.column import Column

LOSS_COLUMNS = {
    "loss": Column(
        label="loss",
        better="lower",
        explanation="What training minimizes: entropy + lambda_tc x tc + lambda_wr x wr. It cannot be compared between "
        "widths, between lambdas, or between activations, whose outputs differ in range.",
        ranked=False,
        headline=True,
        report_place=120,
    ),
    "entropy": Column(
        label="entropy term",
        better="lower",
        explanation="The loss's first term: minus the sum of the units' log variances. Lower means that the units vary "
        "more. A bounded output range limits it, so activations are not ranked by it.",
        grows="unit",
        ranked=False,
        report_place=130,
    ),
    "tc": Column(
        label="decorrelation term (tc)",
        better="lower",
        explanation="The loss's second term: squared distance of the regularized correlation matrix from the identity on "
        "a batch. It is a decorrelation surrogate for total correlation, not total correlation itself.",
        grows="pair",
        low=0.0,
        ranked=False,
        report_place=140,
    ),
    "wr": Column(
        label="weight term (wr)",
        better="lower",
        explanation="The loss's third term: weight redundancy during training.",
        grows="pair",
        low=0.0,
        ranked=False,
        report_place=150,
    ),
}
"""By name, in the order of the tables."""
