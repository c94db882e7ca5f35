"""How training went: whether it converged.

DataFrame in, DataFrame out. Imports other statistics, nothing that draws or writes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.metrics import REDUNDANCY_METRICS, to_scale
from analysis.reshape import as_tuple, cell_columns, done, order

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
