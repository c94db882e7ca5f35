"""What the analysis knows of each metric: its label, which direction is better, its scale, and its explanation.

A new metric needs its entry here and nothing else in this package. Imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One measured column.

    better: "higher", "lower", or None for neither. redundancy: what the study is about: compared with epoch 0 and drawn
    against the width. log, integer: the scale it is drawn on. explanation: a sentence or two for the report's readers.
    """

    name: str
    label: str
    better: str | None
    explanation: str
    redundancy: bool = False
    log: bool = False
    integer: bool = False

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is, 0 where neither is."""
        if self.better is None:
            return 0
        return 1 if self.better == "higher" else -1


# In the order of the report: what was learned first, then how the training went.
_METRICS = (
    Metric(
        "effective_rank",
        "effective rank",
        "higher",
        "How many directions the weights really use: (sum s)\u00b2 / sum s\u00b2 of the singular values s. From 1 (all units "
        "parallel) to the smaller of K and the input size; higher is better.",
        redundancy=True,
    ),
    Metric(
        "weight_redundancy",
        "weight redundancy",
        "lower",
        "How far the units' weight vectors are from being at right angles: the squared distance of their cosine matrix from "
        "the identity. 0 at best.",
        redundancy=True,
    ),
    Metric(
        "dead_units",
        "dead units",
        "lower",
        "Units that answer (above 1e-6 in size) to under 1% of the test images. Lower is better.",
        redundancy=True,
        integer=True,
    ),
    Metric(
        "output_correlation",
        "output correlation",
        "lower",
        "The squared distance of the outputs' correlation matrix from the identity. 0 means that no two units vary together "
        "in a straight line.",
        redundancy=True,
    ),
    Metric(
        "gaussian_total_correlation",
        "Gaussian total correlation",
        "lower",
        "The information that the outputs share, were they Gaussian: -1/2 log det of their correlations, in nats. Lower is "
        "better.",
        redundancy=True,
    ),
    Metric(
        "variance_ratio",
        "variance ratio",
        "lower",
        "The largest variance of a unit over the smallest. 1 is even; a dead unit makes it huge.",
        redundancy=True,
        log=True,
    ),
    Metric(
        "max_avg_responsibility",
        "largest mean responsibility",
        "lower",
        "Where outputs sum to 1: the largest mean share that one unit takes. Best near 1/K.",
    ),
    Metric(
        "probe_accuracy",
        "probe accuracy",
        "higher",
        "Test accuracy of a linear classifier on the frozen outputs. Higher is better.",
    ),
    Metric(
        "convergence_epoch",
        "convergence epoch",
        "lower",
        "The first epoch whose training loss has made 90% of its fall. Lower is faster.",
        integer=True,
    ),
    Metric("activation_mean", "mean activation", None, "Mean of all outputs. Neither direction is better."),
    Metric(
        "activation_std", "sd of activation", None, "Standard deviation of all outputs. Neither direction is better."
    ),
    Metric(
        "loss",
        "loss",
        "lower",
        "What training minimizes: entropy + lambda_tc x tc + lambda_wr x wr. Not comparable between widths or lambdas.",
    ),
    Metric(
        "entropy",
        "entropy term",
        "lower",
        "The loss's first term: minus the sum of the units' log variances. Lower means that the units vary more.",
    ),
    Metric(
        "tc",
        "decorrelation term (tc)",
        "lower",
        "The loss's second term: squared distance of the regularized correlation matrix from the identity on a batch. A "
        "decorrelation surrogate for total correlation, not total correlation itself.",
    ),
    Metric("wr", "weight term (wr)", "lower", "The loss's third term: weight redundancy during training."),
)

METRICS = {metric.name: metric for metric in _METRICS}
"""Every metric of the results table by its column, in the order of the report."""

REDUNDANCY_METRICS = tuple(metric.name for metric in _METRICS if metric.redundancy)
"""What the study is about, and what the history also holds for epoch 0, before any training."""


def label(name: str) -> str:
    """The words for a metric, or the column's own name with its underscores opened where the metric is unknown."""
    return METRICS[name].label if name in METRICS else name.replace("_", " ")


def sign(name: str) -> int:
    """+1 where higher values of a metric are better, -1 where lower ones are, 0 where neither is or it is unknown."""
    return METRICS[name].sign if name in METRICS else 0
