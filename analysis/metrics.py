"""What the analysis knows about each metric: its label, which direction is better, its scale, and its explanation.

It all stands with the metric itself, in `infomax_tune.parts`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from infomax_tune.parts.catalogue import ours
from infomax_tune.parts.column import Column
from infomax_tune.parts.loss_columns import LOSS_COLUMNS

_NUMBERS = {name: metric for name, metric in ours("metrics").items() if metric.shape == "number"}
_COLUMNS: dict[str, Column] = _NUMBERS | LOSS_COLUMNS

METRICS = dict(sorted(_COLUMNS.items(), key=lambda item: item[1].report_place))
"""Every metric of the results table by its column, in the order of the report."""

REDUNDANCY_METRICS = tuple(name for name, metric in METRICS.items() if metric.redundancy)
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
