"""What the analysis knows of each metric: its label, which direction is better, its scale, and its explanation.

A new metric needs its entry here and nothing else in this package. Imports nothing of ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Metric:
    """One measured column.

    better: "higher", "lower", or None for neither. redundancy: what the study is about: compared with epoch 0 and drawn
    against the width. log: a ratio, averaged and compared by its logarithm. integer: a count.
    grows: with the number of units K ("unit") or with their pairs K (K - 1) ("pair"); a mean over widths divides by it.
    low, high: the values there can be; high is that of one unit where the metric grows by unit. ranked: whether
    activations may be ranked by it; not where their output range decides it, nor where another metric says the same.
    explanation: a sentence or two for the report's readers.
    """

    name: str
    label: str
    better: str | None
    explanation: str
    redundancy: bool = False
    log: bool = False
    integer: bool = False
    grows: Literal["unit", "pair"] | None = None
    low: float = -math.inf
    high: float = math.inf
    ranked: bool = True

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
        grows="unit",
        low=0.0,
        high=1.0,
    ),
    Metric(
        "weight_redundancy",
        "weight redundancy",
        "lower",
        "How far the units' weight vectors are from being at right angles: the squared distance of their cosine matrix from "
        "the identity. 0 at best.",
        redundancy=True,
        grows="pair",
        low=0.0,
    ),
    Metric(
        "dead_units",
        "dead units",
        "lower",
        "Units that answer (above 1e-6 in size) to under 1% of the test images. Lower is better.",
        redundancy=True,
        integer=True,
        grows="unit",
        low=0.0,
        high=1.0,
    ),
    Metric(
        "output_correlation",
        "output correlation",
        "lower",
        "The squared distance of the outputs' correlation matrix from the identity. 0 means that no two units vary together "
        "in a straight line.",
        redundancy=True,
        grows="pair",
        low=0.0,
    ),
    Metric(
        "gaussian_total_correlation",
        "Gaussian total correlation",
        "lower",
        "The information that the outputs share, were they Gaussian: -1/2 log det of their correlations, in nats. Where outputs "
        "sum to 1, the unit with the largest variance is left out, since the others settle it. Lower is better.",
        redundancy=True,
        grows="unit",
    ),
    Metric(
        "variance_ratio",
        "variance ratio",
        "lower",
        "The largest variance of a unit over the smallest. 1 is even; a dead unit makes it huge.",
        redundancy=True,
        log=True,
        low=0.0,
    ),
    Metric(
        "max_avg_responsibility",
        "largest mean responsibility",
        "lower",
        "Where outputs sum to 1: the largest mean share that one unit takes. Best near 1/K.",
        low=0.0,
        high=1.0,
    ),
    Metric(
        "probe_accuracy",
        "probe accuracy",
        "higher",
        "Test accuracy of a linear classifier on the frozen outputs. Higher is better.",
        low=0.0,
        high=1.0,
    ),
    Metric(
        "convergence_epoch",
        "convergence epoch",
        "lower",
        "The first epoch whose training loss has made 90% of its fall. Lower is faster.",
        integer=True,
        low=1.0,
    ),
    Metric("activation_mean", "mean activation", None, "Mean of all outputs. Neither direction is better."),
    Metric(
        "activation_std", "sd of activation", None, "Standard deviation of all outputs. Neither direction is better."
    ),
    Metric(
        "loss",
        "loss",
        "lower",
        "What training minimizes: entropy + lambda_tc x tc + lambda_wr x wr. Not comparable between widths or lambdas, nor "
        "between activations, whose outputs differ in range.",
        ranked=False,
    ),
    Metric(
        "entropy",
        "entropy term",
        "lower",
        "The loss's first term: minus the sum of the units' log variances. Lower means that the units vary more, "
        "which an activation of bounded range cannot: activations are not ranked by it.",
        grows="unit",
        ranked=False,
    ),
    Metric(
        "tc",
        "decorrelation term (tc)",
        "lower",
        "The loss's second term: squared distance of the regularized correlation matrix from the identity on a batch. A "
        "decorrelation surrogate for total correlation, not total correlation itself.",
        grows="pair",
        low=0.0,
        ranked=False,
    ),
    Metric(
        "wr",
        "weight term (wr)",
        "lower",
        "The loss's third term: weight redundancy during training.",
        grows="pair",
        low=0.0,
        ranked=False,
    ),
)

METRICS = {metric.name: metric for metric in _METRICS}
"""Every metric of the results table by its column, in the order of the report."""

REDUNDANCY_METRICS = tuple(metric.name for metric in _METRICS if metric.redundancy)
"""What the study is about, and what the history also holds for epoch 0, before any training."""


PER = {"unit": "K", "pair": "K (K - 1)", None: ""}
"""What a metric is divided by before it is averaged over widths, or the widest would decide."""


def label(name: str, *, per_size: bool = False) -> str:
    """The words for a metric, or the column's own name with its underscores opened where the metric is unknown.

    per_size: of its value divided by what it grows with: "effective rank / K".
    """
    if name not in METRICS:
        return name.replace("_", " ")
    divisor = PER[METRICS[name].grows] if per_size else ""
    return METRICS[name].label + (f" / {divisor}" if divisor else "")


def divisor(name: str, units: Any) -> Any:
    """What a metric of so many units (a number or an array) grows with: K, K (K - 1), or 1. A single unit has no pair: 1."""
    grows = METRICS[name].grows if name in METRICS else None
    k = np.asarray(units, dtype=float)
    if grows is None:
        return np.ones_like(k)
    return k if grows == "unit" else np.maximum(1.0, k * (k - 1))


def bounds(name: str, units: Any = 1) -> tuple[Any, Any]:
    """The lowest and highest value a metric can have in a layer of so many units; of a value per unit, give 1."""
    known = METRICS.get(name)
    if known is None:
        return -math.inf, math.inf
    high = known.high * divisor(name, units) if math.isfinite(known.high) else math.inf
    return known.low, high


def is_log(name: str) -> bool:
    """Whether a metric is averaged and compared by its logarithm."""
    return name in METRICS and METRICS[name].log


def sign(name: str) -> int:
    """+1 where higher values of a metric are better, -1 where lower ones are, 0 where neither is or it is unknown."""
    return METRICS[name].sign if name in METRICS else 0


def to_scale(name: str, values: Any) -> Any:
    """Values as they are averaged and compared: natural logarithms of a metric that is a ratio (none of 0: NaN), else the same."""
    if not is_log(name):
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        return (
            np.log(values).where(values > 0)
            if hasattr(values, "where")
            else np.log(np.where(values > 0, values, np.nan))
        )


def from_scale(name: str, values: Any) -> Any:
    """Back from `to_scale`: a mean of logarithms becomes the geometric mean."""
    return np.exp(values) if is_log(name) else values
