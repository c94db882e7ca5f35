"""Intervals over seeds: Student's t for means, BCa bootstrap for mean, median and interquartile mean.

Imports what is known about each metric.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics import bounds, from_scale, to_scale

MIN_BOOTSTRAP = 5
"""Fewer seeds than this give too few distinct resamples (4 give 35) for a meaningful bootstrap interval."""

RESAMPLES = 9_999


def t_interval(mean: Any, sd: Any, n: Any, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Student's t interval of a mean: mean +- t(n - 1) sd / sqrt(n), elementwise; NaN if n < 2.

    Exact for normal data. All-equal values give an interval of width 0.
    """
    from scipy import stats

    mean, sd, n = (np.asarray(x, dtype=float) for x in (mean, sd, n))
    enough = n >= 2
    safe_n = np.where(enough, n, 2.0)
    half = stats.t.ppf((1 + confidence) / 2, safe_n - 1) * sd / np.sqrt(safe_n)
    half = np.where(enough, half, np.nan)
    return mean - half, mean + half


def mean_median_iqm(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean, median and interquartile mean along an axis, stacked in front.

    The interquartile mean is exactly that of the middle half: of ten values, the middle four and half of each neighbor.
    (scipy.stats.trim_mean drops only whole values and keeps six of ten.)
    """
    ordered = np.moveaxis(np.sort(values, axis), axis, -1)
    n = ordered.shape[-1]
    # Each value covers a unit of the line from 0 to n; its weight is the part between n/4 and 3n/4.
    ends = np.arange(n + 1)
    inside = np.diff(np.clip(ends, n / 4, 3 * n / 4)) / (n / 2)
    lowest = ordered[..., :1]
    # Relative to the lowest: the mean of equal values is exactly that value, to the last bit.
    iqm = lowest[..., 0] + (ordered - lowest) @ inside
    return np.stack([np.mean(values, axis), np.median(values, axis), iqm])


def bca_interval(
    values: np.ndarray,
    statistic: Callable[..., np.ndarray],
    *,
    seed: int,
    confidence: float = 0.95,
    n_resamples: int = RESAMPLES,
) -> tuple[np.ndarray, np.ndarray]:
    """Bias-corrected and accelerated bootstrap interval of a statistic, row by row.

    values: (m, n), NaN if a seed has no value. statistic(values, axis) may stack several statistics in front; the two
    results then have shape (s, m), otherwise (m,). Rows with fewer than MIN_BOOTSTRAP values give NaN, all-equal rows an
    interval of width 0, and rows whose acceleration is undefined (nearly all values tie) percentile intervals. The same
    seed gives the same numbers (except the last bit), whatever the other rows are.
    Source: Efron (1987); scipy.stats.bootstrap.
    """
    from scipy import stats

    def bootstrap(rows: np.ndarray, method: str) -> Any:
        with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            return stats.bootstrap(
                (rows,),
                statistic,
                axis=-1,
                vectorized=True,
                method=method,
                confidence_level=confidence,
                n_resamples=n_resamples,
                batch=256,
                rng=np.random.default_rng(seed),
            ).confidence_interval

    values = np.asarray(values, dtype=float)
    shape = (*np.shape(statistic(np.zeros((1, 2)), axis=-1))[:-1], len(values))
    low, high = np.full(shape, np.nan), np.full(shape, np.nan)
    finite = np.isfinite(values)
    sizes = finite.sum(axis=1)
    with np.errstate(invalid="ignore"):
        spread = np.array(
            [np.ptp(row[keep]) if keep.any() else np.nan for row, keep in zip(values, finite, strict=True)]
        )
    for n in np.unique(sizes[sizes >= MIN_BOOTSTRAP]):
        flat = np.flatnonzero((sizes == n) & (spread == 0))
        if len(flat):
            low[..., flat] = high[..., flat] = statistic(_compress(values[flat], int(n)), axis=-1)
        # Blocks limit memory: a block of resamples is 128 * 256 * n numbers.
        rows = np.flatnonzero((sizes == n) & (spread > 0))
        for block in np.array_split(rows, max(1, math.ceil(len(rows) / 128))):
            if not len(block):
                continue
            full = _compress(values[block], int(n))
            low[..., block], high[..., block] = bootstrap(full, "BCa")
            # With nine equal seeds and one other, the median's acceleration is 0 / 0; its percentiles still exist.
            lost = np.isnan(low[..., block]).reshape(-1, len(block)).any(axis=0)
            if lost.any():
                again, there = bootstrap(full[lost], "percentile"), block[lost]
                low[..., there] = np.where(np.isnan(low[..., there]), again[0], low[..., there])
                high[..., there] = np.where(np.isnan(high[..., there]), again[1], high[..., there])
    return low, high


def cell_statistics(
    results: pd.DataFrame,
    metrics: Sequence[str],
    *,
    seed: int,
    by: Sequence[str],
    confidence: float = 0.95,
    n_resamples: int = RESAMPLES,
) -> pd.DataFrame:
    """Mean, median and IQM of each metric in each cell, with t and BCa bootstrap intervals.

    One row per cell and metric. Columns: the `by` columns, metric, n (seeds with a finite value), mean, sd, t_low, t_high
    (t interval of the mean), then for each of mean, median and iqm its value and `<name>_low`, `<name>_high` (BCa).
    Intervals that need more seeds are missing. Units are the metric's. For a ratio (`metrics.is_log`), everything is computed
    on natural logarithms: sd stays on that scale, and the mean is geometric. t intervals are cut off at the limits of the
    metric's range.
    """
    by = list(by)
    frames = []
    groups = results.groupby(by, dropna=False, sort=False)
    place = groups.cumcount().to_numpy()
    group = groups.ngroup().to_numpy()
    keys = results.groupby(group, sort=True)[by].first().reset_index(drop=True)
    for metric in metrics:
        values = np.full((len(keys), int(place.max()) + 1), np.nan)
        values[group, place] = to_scale(metric, results[metric]).to_numpy(float)
        values[~np.isfinite(values)] = np.nan
        n = np.isfinite(values).sum(axis=1)
        point = np.full((3, len(keys)), np.nan)
        sd = np.full(len(keys), np.nan)
        for size in np.unique(n[n > 0]):
            rows = n == size
            full = _compress(values[rows], int(size))
            point[:, rows] = mean_median_iqm(full)
            if size > 1:
                sd[rows] = full.std(axis=1, ddof=1)
        t_low, t_high = t_interval(point[0], sd, n, confidence)
        low, high = bca_interval(values, mean_median_iqm, seed=seed, confidence=confidence, n_resamples=n_resamples)
        bottom, top = bounds(metric, keys["hidden_dim"] if "hidden_dim" in keys else results["hidden_dim"].max())
        t_low, t_high = np.maximum(from_scale(metric, t_low), bottom), np.minimum(from_scale(metric, t_high), top)
        point, low, high = (from_scale(metric, numbers) for numbers in (point, low, high))
        columns: dict[str, Any] = {"metric": metric, "n": n, "sd": sd, "t_low": t_low, "t_high": t_high}
        for i, name in enumerate(("mean", "median", "iqm")):
            columns |= {name: point[i], f"{name}_low": low[i], f"{name}_high": high[i]}
        frames.append(keys.assign(**columns))
    if not frames:
        return pd.DataFrame(columns=[*by, "metric", "n"])
    return pd.concat(frames, ignore_index=True)


def _compress(values: np.ndarray, n: int) -> np.ndarray:
    """Rows with n finite values each, without their gaps: (m, n)."""
    return values[np.isfinite(values)].reshape(len(values), n)
