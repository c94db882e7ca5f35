"""How training went: the speed of convergence and the spread of the final loss over seeds.

DataFrame in, DataFrame out. Imports other statistics, nothing that draws or writes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.intervals import RESAMPLES, bca_interval
from analysis.reshape import as_tuple, cell_columns, done, order, varying
from analysis.stats import levels_of


def convergence_speed(results: pd.DataFrame) -> pd.DataFrame:
    """Epochs until 90% of the fall in training loss, per cell.

    Columns: the cell, planned (trials), n (with a value), median, q25, q75, min, max (epochs; lower is faster), and
    share (the median as a share of the epochs run, where the table says how many). An epoch of the last tenth of the
    run means that training had not settled: the value is then a lower bound.
    """
    by = cell_columns(results)
    planned = results.groupby(by, dropna=False).size().rename("planned")
    groups = done(results).groupby(by, dropna=False)["convergence_epoch"]
    table = pd.DataFrame(
        {
            "n": groups.count(),
            "median": groups.median(),
            "q25": groups.quantile(0.25),
            "q75": groups.quantile(0.75),
            "min": groups.min(),
            "max": groups.max(),
        }
    )
    table = planned.to_frame().join(table).fillna({"n": 0}).astype({"n": int})
    if "epochs" in results:
        epochs = results.groupby(by, dropna=False)["epochs"].max()
        table["share"] = table["median"] / epochs.where(epochs > 0)
    return order(table.reset_index(), by)


def loss_spread(results: pd.DataFrame, *, seed: int, n_resamples: int = RESAMPLES) -> pd.DataFrame:
    """How much the final loss depends on the seed, per cell.

    Columns: the cell, n, mean, sd with its BCa bootstrap interval (sd_low, sd_high), iqr, min, max. Units of the loss;
    lower spread means that one seed tells more about the others. Compare spreads within a width only: the loss grows
    with the number of units.
    """
    by = cell_columns(results)
    rows = done(results)
    if rows.empty:
        return pd.DataFrame(columns=[*by, "n"])
    cells = {key: group["loss"].dropna().to_numpy(float) for key, group in rows.groupby(by, dropna=False)}
    # A row a cell, filled up with gaps: cells may have lost seeds.
    wide = np.full((len(cells), max(1, *map(len, cells.values()))), np.nan)
    for row, losses in enumerate(cells.values()):
        wide[row, : len(losses)] = losses
    low, high = bca_interval(wide, _sd, seed=seed, n_resamples=n_resamples)
    groups = pd.DataFrame(wide).T
    table = pd.DataFrame(list(cells), columns=by).assign(
        n=groups.count(),
        mean=groups.mean(),
        sd=groups.std(),
        sd_low=low,
        sd_high=high,
        iqr=groups.quantile(0.75) - groups.quantile(0.25),
        min=groups.min(),
        max=groups.max(),
    )
    return order(table, by)


def equal_spread(results: pd.DataFrame, within: Sequence[str] | None = None) -> pd.DataFrame:
    """Brown-Forsythe test that all activations have the same spread of the final loss, per stratum.

    Columns: the stratum, levels, n (values), statistic, p. It treats seeds as independent between activations although
    they share initial weights and batches, so its p is a guide. Source: Brown & Forsythe (1974); scipy.stats.levene.
    """
    from scipy import stats

    within = list(within) if within is not None else varying(results, but=("activation",))
    rows = done(results).dropna(subset=["loss"])
    records = []
    for key, group in rows.groupby(within, dropna=False) if within else [((), rows)]:
        samples = [
            group.loc[group["activation"] == name, "loss"].to_numpy(float) for name in levels_of(group, "activation")
        ]
        samples = [sample for sample in samples if len(sample) >= 3]
        statistic = p = np.nan
        if len(samples) >= 2 and any(np.ptp(sample) > 0 for sample in samples):
            statistic, p = stats.levene(*samples, center="median")
        names = dict(zip(within, as_tuple(key), strict=True))
        n = sum(map(len, samples))
        records.append({**names, "levels": len(samples), "n": n, "statistic": statistic, "p": p})
    return pd.DataFrame(records)


def _sd(values: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.std(values, axis=axis, ddof=1)
