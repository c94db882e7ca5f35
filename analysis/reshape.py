"""From the results table to the inputs of statistics and figures: filters, counts, averages and summarizes rows.

No tests and no files; imports intervals and names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.intervals import t_interval
from analysis.metrics import METRICS, REDUNDANCY_METRICS, bounds, divisor, from_scale, to_scale
from analysis.schema import ACTIVATIONS, BASELINE_COLUMNS, DONE, STATUSES, config_columns
from analysis.wording import show
from infomax_tune.study.settings import labels


def varying(results: pd.DataFrame, but: Iterable[str] = ()) -> list[str]:
    """The config columns with more than one value in this table, except those in `but`."""
    skip = set(but)
    return [c for c in config_columns(results) if c not in skip and results[c].nunique(dropna=False) > 1]


def done(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of finished trials, with infinite values replaced by missing ones."""
    rows = results[results["status"] == DONE] if "status" in results else results
    metrics = [name for name in METRICS if name in rows]
    rows = rows.copy()
    rows[metrics] = rows[metrics].astype(float).where(np.isfinite(rows[metrics].astype(float)))
    return rows


def recorded_metrics(results: pd.DataFrame) -> list[str]:
    """The metrics with at least one finite value among finished trials, in the report's order."""
    rows = done(results)
    return [name for name in METRICS if name in rows and rows[name].notna().any()]


def gaps(results: pd.DataFrame) -> list[str]:
    """Sentences about values that finished trials lack: metrics with none, metrics with gaps, infinite values."""
    rows = results[results["status"] == DONE]
    if rows.empty:
        return []
    found = []
    none = [name for name in METRICS if name in rows and rows[name].isna().all()]
    if none:
        found.append(f"Not recorded in this study: {', '.join(none)}.")
    for name in METRICS:
        if name not in rows or name in none:
            continue
        lacking, endless = int(rows[name].isna().sum()), int(np.isinf(rows[name].astype(float)).sum())
        if lacking:
            found.append(
                f"{name} has no value in {lacking} of {len(rows)} finished trials; its statistics exclude them."
            )
        if endless:
            found.append(
                f"{name} is infinite in {endless} of {len(rows)} finished trials; its statistics exclude them."
            )
    return found


def order(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Rows sorted by these columns, with activations in the study's order, not alphabetically."""

    if not columns:
        return rows
    rank = {name: f"{place:02d}" for place, name in enumerate(ACTIVATIONS)}

    def key(column: pd.Series) -> pd.Series:
        if column.name != "activation":
            return column
        return column.map(lambda name: rank.get(str(name), f"99{name}"))

    return rows.sort_values(list(columns), key=key, kind="stable", ignore_index=True)


def infomax_rows(results: pd.DataFrame) -> pd.DataFrame:
    """The trials of the InfoMax objective if the table also has baselines; otherwise the whole table."""
    if "objective" not in results or results["objective"].nunique() < 2:
        return results
    rows = results[results["objective"] == "infomax"]
    return rows if len(rows) else results


def at_each_level(results: pd.DataFrame) -> pd.DataFrame:
    """The table with the baselines at every level of a setting that they ignore.

    A baseline that ignores a setting is trained once, and its rows have one of the setting's levels. Here they have each level
    that the InfoMax trials have, so a trial may have several rows.
    """
    if "objective" not in results:
        return results
    infomax = infomax_rows(results)
    never_ignored = ("dataset", "hidden_dim", "activation", "head", *BASELINE_COLUMNS)
    settings = varying(infomax, but=never_ignored)
    parts = []
    for name, rows in results.groupby("objective", sort=False):
        ignored = [column for column in settings if rows[column].nunique(dropna=False) == 1]
        if ignored and name not in set(infomax["objective"]):
            rows = rows.drop(columns=ignored).merge(infomax[ignored].drop_duplicates(), how="cross")[results.columns]
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def counts(results: pd.DataFrame, by: Sequence[str] | None = None) -> pd.DataFrame:
    """Planned trials and how many have each status, by activation, width and any other setting that varies.

    Columns: the `by` columns, planned, done, diverged, failed, missing.
    """
    by = list(by) if by is not None else cell_columns(results)
    table = results.groupby(by, dropna=False, sort=False)["status"].value_counts().unstack(fill_value=0)
    table = table.reindex(columns=list(STATUSES), fill_value=0)
    table.insert(0, "planned", table.sum(axis=1))
    table.columns.name = None
    return order(table.reset_index(), by)


def cell_columns(results: pd.DataFrame) -> list[str]:
    """The columns that identify a cell: activation, hidden_dim, and every other setting that varies."""
    return ["activation", "hidden_dim", *varying(results, but=("activation", "hidden_dim"))]


def per_size(results: pd.DataFrame) -> pd.DataFrame:
    """The table with each metric divided by what it grows with: K, or K (K - 1); see `Metric.grows`.

    Effective rank / K, weight redundancy / (K (K - 1)), and so on: otherwise the widest network would dominate a mean over
    widths. Metrics that do not grow with the width are unchanged.
    """
    there = [name for name in METRICS if name in results and METRICS[name].grows]
    return results.assign(**{name: results[name] / divisor(name, results["hidden_dim"]) for name in there})


def summary(results: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """Mean, sd, n and t interval of every metric, by activation and by activation x width.

    One row per group and metric. Columns: group ("activation", "activation x width", and, if there are several widths,
    "activation, per size", whose metrics are those of `per_size`), activation, hidden_dim (empty if widths are pooled),
    any other setting that varies, metric, planned (trials), n (trials used), left_out (finished trials with a value that are
    not used), mean and sd over those n (n - 1 in the denominator), n_seeds, ci_low, ci_high. For a ratio
    (`metrics.is_log`), the mean is geometric and the sd is of the natural logarithms. Intervals are cut off at the limits
    of the metric's range, which loses nothing.

    The interval is for the mean over seeds. If widths are pooled, only seeds that have every width are used (a seed
    without its wide network would bias the mean), and the interval is taken over the seeds' means across widths: the
    trials of one seed share their batches, so they are one block, and the differences between widths are part of the
    design, not of the error. It is missing for n_seeds < 2.
    """
    others = varying(results, but=("activation", "hidden_dim"))
    parts = [_over_widths(results, others, confidence).assign(group="activation")]
    if results["hidden_dim"].nunique() > 1:
        sized = _over_widths(per_size(results), others, confidence, sized=True)
        parts.append(sized.assign(group="activation, per size"))
    metrics = [name for name in METRICS if name in results]
    finished = _scaled(done(results), metrics)
    within = _summed_up(results, metrics, cell_columns(results), finished, finished, confidence)
    parts.append(within.assign(group="activation x width"))
    table = pd.concat(parts, ignore_index=True)
    front = ["group", "activation", "hidden_dim", *others, "metric", "planned", "n", "left_out"]
    return table[[*front, "mean", "sd", "n_seeds", "ci_low", "ci_high"]]


def _scaled(rows: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """The rows with their metrics on the averaging scale: logarithms for ratios."""
    return rows.assign(**{name: to_scale(name, rows[name]) for name in metrics})


def _over_widths(results: pd.DataFrame, others: list[str], confidence: float, *, sized: bool = False) -> pd.DataFrame:
    """The summary's rows of the means over the widths. sized: the values are those of `per_size`."""
    metrics = [name for name in METRICS if name in results]
    keys = ["activation", *others]
    finished = _scaled(done(results), metrics)
    seed_means = _scaled(mean_over_width(results), metrics)
    used = finished
    if len(finished):
        by_seed = [*keys, "seed"]
        whole = finished[by_seed].merge(seed_means, on=by_seed, how="left")[metrics].notna()
        used = finished.assign(**{metric: finished[metric].where(whole[metric].to_numpy()) for metric in metrics})
    return _summed_up(results, metrics, keys, used, seed_means, confidence, widest=1 if sized else None)


def _summed_up(
    results: pd.DataFrame,
    metrics: Sequence[str],
    keys: list[str],
    used: pd.DataFrame,
    blocks: pd.DataFrame,
    confidence: float,
    widest: int | None = None,
) -> pd.DataFrame:
    """One grouping of the summary. used: the trials used, one row each; blocks: one row per seed, for the interval.

    Both have metrics on the averaging scale. widest: the units of the widest layer in a group, if it is not in the keys.
    """

    def grouped(rows: pd.DataFrame) -> Any:
        return rows.groupby(keys, dropna=False)[list(metrics)]

    trials, seeds, there = grouped(used), grouped(blocks), grouped(done(results)).count()
    planned = results.groupby(keys, dropna=False).size()
    low, high = t_interval(seeds.mean(), seeds.std(), seeds.count(), confidence)
    numbers = {
        "n": trials.count(),
        "left_out": there - trials.count(),
        "mean": trials.mean(),
        "sd": trials.std(),
        "n_seeds": seeds.count(),
        "ci_low": pd.DataFrame(low, index=there.index, columns=there.columns),
        "ci_high": pd.DataFrame(high, index=there.index, columns=there.columns),
    }
    # Groups without a finished trial stay in the table, with n = 0.
    table = pd.DataFrame({name: _flat(frame.reindex(planned.index)) for name, frame in numbers.items()})
    table = table.fillna({"n": 0, "left_out": 0, "n_seeds": 0}).astype({"n": int, "left_out": int, "n_seeds": int})
    table = table.reset_index().assign(planned=planned.to_numpy().repeat(len(metrics)))
    if "hidden_dim" not in keys:
        table["hidden_dim"] = pd.NA
    table["hidden_dim"] = table["hidden_dim"].astype("Int64")
    units = table["hidden_dim"].fillna(widest or int(results["hidden_dim"].max())).to_numpy(float)
    for metric, rows in table.groupby("metric").groups.items():
        numbers_of = ["mean", "ci_low", "ci_high"]
        values = from_scale(str(metric), table.loc[rows, numbers_of])
        bottom, top = bounds(str(metric), units[rows])
        values["ci_low"] = np.maximum(values["ci_low"], bottom)
        values["ci_high"] = np.minimum(values["ci_high"], top)
        table.loc[rows, numbers_of] = values
    return order(table, keys)


def mean_over_width(results: pd.DataFrame) -> pd.DataFrame:
    """One row per seed, activation and other setting: each metric's mean over the widths (geometric for a ratio).

    Missing if any planned width of that seed lacks the value; otherwise a seed would be judged by its easy widths alone.
    With several widths, give it `per_size` values; otherwise the widest network dominates.
    """
    metrics = [name for name in METRICS if name in results]
    keys = ["activation", *varying(results, but=("activation", "hidden_dim"))]
    widths = results.groupby(keys, dropna=False)["hidden_dim"].nunique().rename("widths")
    groups = _scaled(done(results), metrics).groupby([*keys, "seed"], dropna=False)[metrics]
    table, n = groups.mean(), groups.count()
    needed = n.reset_index()[keys].merge(widths.reset_index(), on=keys, how="left")["widths"].to_numpy()
    table = table.where(n.ge(needed[:, None]))
    table = table.assign(**{name: from_scale(name, table[name]) for name in metrics})
    return order(table.reset_index(), [*keys, "seed"])


def points(results: pd.DataFrame, metric: str, x: str, *, sized: bool = False) -> pd.DataFrame:
    """The points of a metric's line against a setting: one row per activation and level of x, from complete seeds only.

    A seed is complete if it has a value for every planned combination of the other settings (including widths) at that
    level; a point from the remaining trials of a seed would mislead. Columns: activation, x, planned (seeds), n (complete
    seeds), mean, ci_low, ci_high (95% t interval over seeds, within the metric's range), complete (whether n equals
    planned). mean is missing if no seed is complete. sized: of the values of `per_size`.
    """
    if sized:
        results = per_size(results)
    keys = ["activation", x]
    planned = results.groupby([*keys, "seed"], dropna=False).size().rename("planned")
    rows = done(results)
    values = rows.assign(value=to_scale(metric, rows[metric])).groupby([*keys, "seed"], dropna=False)["value"]
    table = planned.to_frame().join(pd.DataFrame({"n": values.count(), "mean": values.mean()}))
    table["mean"] = table["mean"].where(table["n"] == table["planned"])
    seeds = table.groupby(level=keys, dropna=False)["mean"]
    n, mean = seeds.count(), seeds.mean()
    low, high = t_interval(mean, seeds.std(), n)
    units = 1 if sized else mean.reset_index()[x] if x == "hidden_dim" else results["hidden_dim"].max()
    bottom, top = bounds(metric, units)
    found = pd.DataFrame(
        {
            "planned": seeds.size(),
            "n": n,
            "mean": from_scale(metric, mean),
            "ci_low": np.maximum(from_scale(metric, low), bottom),
            "ci_high": np.minimum(from_scale(metric, high), top),
        }
    )
    return order(found.assign(complete=found["n"] == found["planned"]).reset_index(), keys)


def with_untrained(results: pd.DataFrame, history: pd.DataFrame | None) -> pd.DataFrame:
    """Each finished trial twice: at the end (stage "trained") and at epoch 0 (stage "untrained").

    Empty if the history has no epoch 0. Trials with zero epochs are excluded: they are their own epoch 0.
    """
    rows = done(results)
    if "epochs" in rows:
        rows = rows[rows["epochs"] != 0]
    metrics = [name for name in REDUNDANCY_METRICS if name in rows and history is not None and name in history]
    if history is None or not metrics:
        return rows.iloc[:0].assign(stage="")
    start = history.loc[history["epoch"] == 0, ["trial_id", *metrics]].drop_duplicates("trial_id")
    config = [column for column in rows if column not in METRICS]
    before = rows[config].merge(start, on="trial_id", how="inner")
    after = rows.loc[rows["trial_id"].isin(before["trial_id"]), [*config, *metrics]]
    return pd.concat([after.assign(stage="trained"), before.assign(stage="untrained")], ignore_index=True)


def with_setting(results: pd.DataFrame, columns: Sequence[str], name: str = "setting") -> pd.DataFrame:
    """The table with one more column that names each row's values of these columns."""
    differing = [column for column in columns if column in results and results[column].nunique(dropna=False) > 1]
    if not differing:
        return results.assign(**{name: "all"})
    first, *rest = differing
    # "random" alone is enough; "infomax (lambda_tc=10)" is needed only if infomax was run with several lambdas.
    alone = results[differing].drop_duplicates()[first].value_counts(dropna=False) == 1
    texts = {column: labels(results[column].dropna().unique().tolist()) for column in differing}
    names = []
    for row in results[differing].to_dict("records"):
        shown = {column: texts[column].get(row[column], show(row[column])) for column in differing}
        text = shown[first]
        if rest and not alone[row[first]]:
            text += f" ({', '.join(f'{column}={shown[column]}' for column in rest)})"
        names.append(text)
    return results.assign(**{name: names})


def as_tuple(key: object) -> tuple:
    """The key of a group, which pandas gives as a tuple or, for a single column, as a single value."""
    return key if isinstance(key, tuple) else (key,)


def _flat(frame: pd.DataFrame) -> pd.Series:
    """One number per group and metric, metrics in the report's order within each group."""
    groups = [as_tuple(key) for key in frame.index]
    places = [(*group, metric) for group in groups for metric in frame.columns]
    index = pd.MultiIndex.from_tuples(places, names=[*frame.index.names, "metric"])
    return pd.Series(frame.to_numpy().ravel(), index=index)
