"""What the analysis knows about each metric: its label, which direction is better, its scale, and its explanation.

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

    better: "higher", "lower", or None for neither. redundancy: whether it is a main metric of the study, compared with
    epoch 0 and drawn against the width. log: a ratio, averaged and compared by its logarithm. integer: a count.
    grows: with the number of units K ("unit") or with their pairs K (K - 1) ("pair"); a mean over widths divides by it.
    low, high: the range of values; if the metric grows by unit, high is the limit for one unit. ranked: whether
    activations may be ranked by it; no if their output range determines it, or another metric says the same.
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
        """+1 if higher is better, -1 if lower is, 0 if neither is."""
        if self.better is None:
            return 0
        return 1 if self.better == "higher" else -1


# In the order of the report: what was learned first, then how the training went.
_METRICS = (
    Metric(
        "effective_rank",
        "effective rank",
        "higher",
        "How many directions the weights really use: (sum s)\u00b2 / sum s\u00b2 of the singular values s. It ranges from 1 "
        "(all units parallel) to the smaller of K and the input size; higher is better.",
        redundancy=True,
        grows="unit",
        low=0.0,
        high=1.0,
    ),
    Metric(
        "weight_redundancy",
        "weight redundancy",
        "lower",
        "How far the units' weight vectors are from orthogonal: the squared distance of their cosine matrix from the "
        "identity. 0 is best.",
        redundancy=True,
        grows="pair",
        low=0.0,
    ),
    Metric(
        "dead_units",
        "dead units",
        "lower",
        "Units that respond (above 1e-6 in magnitude) to less than 1% of the test images. Lower is better.",
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
        "The squared distance of the outputs' correlation matrix from the identity. 0 means that no two units are linearly "
        "correlated.",
        redundancy=True,
        grows="pair",
        low=0.0,
    ),
    Metric(
        "gaussian_total_correlation",
        "Gaussian total correlation",
        "lower",
        "The information that the outputs would share if they were Gaussian: -1/2 log det of their correlation matrix, in nats. "
        "If the outputs sum to 1, the unit with the largest variance is excluded, because the others determine it. Lower is "
        "better.",
        redundancy=True,
        grows="unit",
    ),
    Metric(
        "variance_ratio",
        "variance ratio",
        "lower",
        "The largest variance of a unit divided by the smallest. 1 means all are equal; a dead unit makes it huge.",
        redundancy=True,
        log=True,
        low=0.0,
    ),
    Metric(
        "max_avg_responsibility",
        "largest mean responsibility",
        "lower",
        "If the outputs sum to 1: the largest mean share of any unit. Near 1/K is best.",
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
        "The first epoch that reaches 90% of the decrease in training loss. Lower is faster.",
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
        "What training minimizes: entropy + lambda_tc x tc + lambda_wr x wr. It cannot be compared between widths, between "
        "lambdas, or between activations, whose outputs differ in range.",
        ranked=False,
    ),
    Metric(
        "entropy",
        "entropy term",
        "lower",
        "The loss's first term: minus the sum of the units' log variances. Lower means that the units vary more. A "
        "bounded output range limits it, so activations are not ranked by it.",
        grows="unit",
        ranked=False,
    ),
    Metric(
        "tc",
        "decorrelation term (tc)",
        "lower",
        "The loss's second term: squared distance of the regularized correlation matrix from the identity on a batch. It is "
        "a decorrelation surrogate for total correlation, not total correlation itself.",
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
"""The study's main metrics, which the history also has for epoch 0, before training."""


PER = {"unit": "K", "pair": "K (K - 1)", None: ""}
"""The divisor of a metric before it is averaged over widths; otherwise the widest network would dominate."""


def label(name: str, *, per_size: bool = False) -> str:
    """A metric's label, or, for an unknown metric, the column name with spaces for underscores.

    per_size: for its value divided by what it grows with: "effective rank / K".
    """
    if name not in METRICS:
        return name.replace("_", " ")
    divisor = PER[METRICS[name].grows] if per_size else ""
    return METRICS[name].label + (f" / {divisor}" if divisor else "")


def divisor(name: str, units: Any) -> Any:
    """What a metric grows with, for a number (or array) of units: K, K (K - 1), or 1. A single unit has no pair: 1."""
    grows = METRICS[name].grows if name in METRICS else None
    k = np.asarray(units, dtype=float)
    if grows is None:
        return np.ones_like(k)
    return k if grows == "unit" else np.maximum(1.0, k * (k - 1))


def bounds(name: str, units: Any = 1) -> tuple[Any, Any]:
    """The lowest and highest possible value of a metric in a layer with this many units; for values per unit, give 1."""
    known = METRICS.get(name)
    if known is None:
        return -math.inf, math.inf
    high = known.high * divisor(name, units) if math.isfinite(known.high) else math.inf
    return known.low, high


def is_log(name: str) -> bool:
    """Whether a metric is averaged and compared by its logarithm."""
    return name in METRICS and METRICS[name].log


def sign(name: str) -> int:
    """+1 if higher values of a metric are better, -1 if lower ones are, 0 if neither are or it is unknown."""
    return METRICS[name].sign if name in METRICS else 0


def to_scale(name: str, values: Any) -> Any:
    """Values on the scale for averaging and comparing: natural logarithms for a ratio (NaN for 0), otherwise unchanged."""
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
