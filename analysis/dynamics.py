"""How training went: whether it converged, how fast, and how the final loss varies over seeds.

DataFrame in, DataFrame out. Imports other statistics, nothing that draws or writes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.intervals import RESAMPLES, bca_interval
from analysis.metrics import REDUNDANCY_METRICS, to_scale
from analysis.reshape import as_tuple, cell_columns, done, order, varying
from analysis.stats import levels_of

MANY_EPOCHS = 20
"""A tenth of fewer epochs than this is about one epoch."""


def still_moving(results: pd.DataFrame, history: pd.DataFrame | None) -> pd.DataFrame:
    """Has training converged? How far the loss and each redundancy metric moved over the last tenth of the epochs.

    One row per cell and quantity. Columns: the cell, metric, n (seeds), change (mean over seeds of the value at the end
    minus the value a tenth of the epochs before, or one epoch before in trainings of fewer than MANY_EPOCHS;
    interpolated linearly between evaluations), spread
    (sd over seeds of the value at the end), moving (whether |change| > spread; empty for fewer than 2 seeds). Seeds whose
    history after epoch 0 does not reach back far enough are excluded; without a history there are no rows. A ratio is
    taken by its logarithm.
    """
    by = cell_columns(results)
    columns = [*by, "metric", "n", "change", "spread", "moving"]
    rows = done(results)
    if history is None or rows.empty:
        return pd.DataFrame(columns=columns)
    trained = history[(history["epoch"] > 0) & history["trial_id"].isin(rows["trial_id"])]
    trained = trained.sort_values(["trial_id", "epoch"])
    last = trained.groupby("trial_id")["epoch"].max()
    start = last - (last / 10).where(last >= MANY_EPOCHS, 1.0)
    parts = []
    for metric in ("loss", *REDUNDANCY_METRICS):
        if metric not in trained:
            continue
        values = trained[["trial_id", "epoch"]].assign(value=to_scale(metric, trained[metric].astype(float)))
        values = values[np.isfinite(values["value"])]
        if values.empty:
            continue
        since = values["trial_id"].map(start)
        before = values[values["epoch"] <= since].groupby("trial_id").last()
        after = values[values["epoch"] >= since].groupby("trial_id").first()
        end = values[values["epoch"] == values["trial_id"].map(last)].set_index("trial_id")["value"]
        gap = (after["epoch"] - before["epoch"]).replace(0, np.nan)
        share = ((start - before["epoch"]) / gap).fillna(0.0)
        then = before["value"] + share * (after["value"] - before["value"]).fillna(0.0)
        moved = pd.DataFrame({"end": end, "change": end - then}).dropna()
        moved = rows[["trial_id", *by]].merge(moved, left_on="trial_id", right_index=True)
        groups = moved.groupby(by, dropna=False)
        table = pd.DataFrame(
            {"n": groups.size(), "change": groups["change"].mean(), "spread": groups["end"].std()}
        ).reset_index()
        parts.append(table.assign(metric=metric))
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True)
    table["moving"] = (table["change"].abs() > table["spread"]).astype("boolean").mask(table["n"] < 2)
    return order(table[columns], by)


def last_epochs(results: pd.DataFrame) -> str:
    """The epochs that `still_moving` looks at, in words."""
    epochs = results["epochs"] if "epochs" in results else pd.Series(dtype=float)
    epochs = epochs[epochs != 0]
    if (epochs < MANY_EPOCHS).all() and len(epochs):
        return "in the last epoch"
    short = f" (below {MANY_EPOCHS} epochs: in the last epoch)" if (epochs < MANY_EPOCHS).any() else ""
    return f"in the last tenth of the epochs{short}"


def convergence(results: pd.DataFrame, moving: pd.DataFrame) -> pd.DataFrame:
    """Whether training has converged, for each planned cell in which something was to be trained.

    Columns: the cell, state: "moving" if `still_moving` finds that anything moves; "settled" if it knows the loss and every
    redundancy metric that the cell recorded, and nothing moves; otherwise "unknown" (one seed, lost trials, no history, or
    too few evaluations).
    """
    by = cell_columns(results)
    trained = results[results["epochs"] != 0] if "epochs" in results else results
    cells = order(trained[by].drop_duplicates(), by)
    known = moving.dropna(subset=["moving"])
    moves, names = {}, {}
    for key, rows in known.groupby(by, dropna=False):
        moves[_key(key)] = bool(rows["moving"].any())
        names[_key(key)] = set(rows["metric"])
    metrics = [metric for metric in REDUNDANCY_METRICS if metric in results]
    there = done(results).groupby(by, dropna=False)[metrics].count() > 0
    needed = {_key(key): {"loss", *(m for m in metrics if row[m])} for key, row in there.iterrows()}

    def state(key: tuple) -> str:
        if moves.get(key, False):
            return "moving"
        return "settled" if key in names and needed.get(key, {"loss"}) <= names[key] else "unknown"

    return cells.assign(state=[state(_key(key)) for key in cells.itertuples(index=False, name=None)])


def _key(key: object) -> tuple:
    """The key of a cell, comparable: a missing setting equals itself."""
    return tuple(None if pd.isna(value) else value for value in as_tuple(key))  # type: ignore[arg-type]


def only_settled(results: pd.DataFrame, moving: pd.DataFrame) -> pd.DataFrame:
    """The table with convergence_epoch only in cells that have converged; see `convergence`.

    While the loss is still falling, the epoch of 90% of its decrease measures only the number of epochs. Cells without
    information (no history, one seed) have no convergence_epoch either.
    """
    if "convergence_epoch" not in results:
        return results
    by = cell_columns(results)
    found = results[by].merge(convergence(results, moving), on=by, how="left")["state"]
    return results.assign(convergence_epoch=results["convergence_epoch"].where((found == "settled").to_numpy()))


def convergence_speed(results: pd.DataFrame) -> pd.DataFrame:
    """Epochs until 90% of the decrease in training loss, per cell.

    results: from `only_settled`: a cell that has not converged has no value. Columns: the cell, planned (trials), n
    (with a value), median, q25, q75, min, max (epochs; lower is faster), and share (the median as a share of the epochs
    run, if the table has that number).
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

    Columns: the cell, n, mean, sd with its BCa bootstrap interval (sd_low, sd_high), iqr, min, max, in units of the loss. A
    smaller spread means that one seed says more about the others. Compare spreads only within a width: the loss is a sum
    over units.
    """
    by = cell_columns(results)
    rows = done(results)
    if rows.empty:
        return pd.DataFrame(columns=[*by, "n"])
    cells = {key: group["loss"].dropna().to_numpy(float) for key, group in rows.groupby(by, dropna=False)}
    # One row per cell, padded with gaps: cells may have lost seeds.
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
    """Brown-Forsythe test of whether all activations have the same spread of the final loss, per stratum.

    Columns: the stratum, levels, n (values), statistic, p. It treats seeds as independent between activations although
    they share initial weights and batches, so its p is only a guide. Source: Brown & Forsythe (1974); scipy.stats.levene.
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
