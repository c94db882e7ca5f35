"""Whether each seed learns the same: how alike the units of two seeds are, once they are matched one to one.

Weights in, DataFrame out. Imports names and order, nothing that draws or writes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from analysis.load import Weights
from analysis.reshape import as_tuple, cell_columns, done, order

DRAWS = 999
SEED = 20_261_201
"""Of the resampled seeds, and of the random weights: the same folder always gives the same numbers."""

MOST_SEEDS = 20
"""The first seeds of a cell: pairs grow with the square of their number."""

COLUMNS = ("seeds", "pairs", "consistency", "ci_low", "ci_high", "random")


def seed_consistency(results: pd.DataFrame, load_weights: Callable[[str], Weights | None]) -> pd.DataFrame:
    """How alike the units are that two seeds of a cell learn, over all pairs of its seeds with saved weights.

    load_weights(trial_id): its weight (k, d) and bias, or None. One row per cell with two such seeds. Columns: those of the
    cell, then seeds, pairs; consistency, the mean over the pairs of `matched_cosine`, 0 to 1; ci_low, ci_high, its 95%
    interval: seeds are resampled, not pairs, since the pairs of a seed are not independent (percentiles of 999 resamples,
    with a fixed seed); random, the same of weights that were drawn, not trained: uniform, of the same shape.
    """
    by = cell_columns(results)
    records = []
    for key, trials in done(results).groupby(by, dropna=False, sort=False):
        found = [load_weights(trial) for trial in trials.sort_values("seed")["trial_id"].head(MOST_SEEDS)]
        units = [unit_rows(each[0]) for each in found if each is not None]
        if len(units) < 2:
            continue
        alike = _alike(units)
        low, high = _interval(alike)
        pairs = len(units) * (len(units) - 1) // 2
        records.append((*as_tuple(key), len(units), pairs, np.nanmean(alike), low, high, _of_random(units[0].shape)))
    table = pd.DataFrame(records, columns=[*by, *COLUMNS])
    return order(table, by) if len(table) else table


def matched_cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Mean |cos| of the rows of two matrices (k, d) of unit rows, matched one to one so that it is largest."""
    return _matched(np.abs(one @ other.T))


def _matched(cosines: np.ndarray) -> float:
    from scipy.optimize import linear_sum_assignment

    return float(cosines[linear_sum_assignment(-cosines)].mean())


def _alike(units: list[np.ndarray]) -> np.ndarray:
    """The matched cosine of each pair of seeds, (n, n); NaN on the diagonal."""
    k, together = len(units[0]), np.concatenate(units)
    with threadpool_limits(1):  # the last bits depend on the number of threads
        cosines = np.abs(together @ together.T)
    alike = np.full((len(units), len(units)), np.nan)
    for i, j in itertools.combinations(range(len(units)), 2):
        alike[i, j] = alike[j, i] = _matched(cosines[i * k : (i + 1) * k, j * k : (j + 1) * k])
    return alike


def unit_rows(weight: np.ndarray) -> np.ndarray:
    """The rows of (k, d), each divided by its length; a row of zeros as it is."""
    weight = np.asarray(weight, dtype=float)
    norms = np.linalg.norm(weight, axis=1, keepdims=True)
    return weight / np.where(norms > 0, norms, 1.0)


def _interval(alike: np.ndarray) -> tuple[float, float]:
    """alike: of each pair of seeds; NaN on the diagonal, so that a seed that is drawn twice is not compared with itself."""
    if len(alike) < 3:
        return np.nan, np.nan
    drawn = np.random.default_rng(SEED).integers(len(alike), size=(DRAWS, len(alike)))
    values = alike[drawn[:, :, None], drawn[:, None, :]]
    there = np.isfinite(values)
    counts = there.sum(axis=(1, 2))
    means = np.where(there, values, 0).sum(axis=(1, 2))[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _of_random(shape: tuple[int, int], pairs: int = 5) -> float:
    rng = np.random.default_rng(SEED)
    drawn = [[unit_rows(rng.uniform(-1, 1, shape)) for _ in range(2)] for _ in range(pairs)]
    return float(np.mean([matched_cosine(*pair) for pair in drawn]))
