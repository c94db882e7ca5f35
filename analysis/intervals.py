"""Intervals over seeds: Student's t for means.

Imports what is known about each metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics import bounds, from_scale, to_scale


def t_interval(mean: Any, sd: Any, n: Any, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Student's t interval of a mean: mean +- t(n - 1) sd / sqrt(n), elementwise; NaN if n < 2.

    Exact for normal data. All-equal values give an interval of width 0.
    """
    from scipy.special import stdtrit  # scipy.stats would import for a second

    mean, sd, n = (np.asarray(x, dtype=float) for x in (mean, sd, n))
    enough = n >= 2
    safe_n = np.where(enough, n, 2.0)
    half = stdtrit(safe_n - 1, (1 + confidence) / 2) * sd / np.sqrt(safe_n)
    half = np.where(enough, half, np.nan)
    return mean - half, mean + half


def cell_statistics(
    results: pd.DataFrame, metrics: Sequence[str], *, by: Sequence[str], confidence: float = 0.95
) -> pd.DataFrame:
    """Mean with its t interval, and median, of each metric in each cell.

    One row per cell and metric. Columns: the `by` columns, metric, n (seeds with a finite value), mean, sd, t_low, t_high (of the
    mean; missing below 2 seeds), median. Units are the metric's. For a ratio (`metrics.is_log`), everything is computed on
    natural logarithms: sd stays on that scale, and the mean is geometric. Intervals are cut off at the limits of the metric's
    range.
    """
    by = list(by)
    frames = []
    for metric in metrics:
        values = to_scale(metric, results[metric].astype(float))
        groups = values.where(np.isfinite(values)).groupby([results[name] for name in by], dropna=False, sort=False)
        table = groups.agg(n="count", mean="mean", sd="std", median="median").reset_index()
        low, high = t_interval(table["mean"], table["sd"], table["n"], confidence)
        bottom, top = bounds(metric, table["hidden_dim"] if "hidden_dim" in table else results["hidden_dim"].max())
        table = table.assign(
            metric=metric,
            mean=from_scale(metric, table["mean"]),
            median=from_scale(metric, table["median"]),
            t_low=np.maximum(from_scale(metric, low), bottom),
            t_high=np.minimum(from_scale(metric, high), top),
        )
        frames.append(table[[*by, "metric", "n", "mean", "sd", "t_low", "t_high", "median"]])
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*by, "metric", "n"])
