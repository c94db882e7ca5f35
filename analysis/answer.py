"""The answer of a study in one table: the mean and spread of its metrics over the seeds. DataFrame in and out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.metrics import METRICS, REDUNDANCY_METRICS, from_scale, is_log, label, to_scale
from analysis.reshape import at_each_level, cell_columns, done, infomax_rows, order
from analysis.wording import show

IN_ANSWER = sorted(REDUNDANCY_METRICS, key=lambda name: METRICS[name].place)[:5]
"""The metrics that the study is about, in the order of the tables: as many as fit into a terminal."""

HEADINGS = {"hidden_dim": "units"}


def answer_table(results: pd.DataFrame, metrics: Sequence[str] = IN_ANSWER) -> pd.DataFrame:
    """One row per cell, one column per metric: "55.4 ± 0.37", the standard deviation over the seeds.

    InfoMax first, then the baselines, each at every level of a setting that it ignores. Columns of settings with a single
    value are omitted, except the activation. Text only; "n/a" if a cell has no finished trial.
    """
    rows = at_each_level(results)
    infomax = infomax_rows(rows)
    keys = [name for name in cell_columns(infomax) if name == "activation" or infomax[name].nunique(dropna=False) > 1]
    if len(infomax) < len(rows):
        keys = ["objective", *keys]
    cells = order(rows[keys].drop_duplicates(), keys)
    if "objective" in keys:
        cells = cells.sort_values("objective", key=lambda names: ~names.isin(infomax["objective"]), kind="stable")
    finished = done(rows)
    values = dict(iter(finished.groupby(keys, dropna=False)))
    table = pd.DataFrame({HEADINGS.get(key, key): cells[key].map(show) for key in keys})
    for metric in metrics:
        if metric in finished:
            table[label(metric)] = [
                mean_and_spread(metric, values[key][metric]) if key in values else "n/a"
                for key in cells[keys].itertuples(index=False, name=None)
            ]
    return table


def mean_and_spread(metric: str, values: pd.Series) -> str:
    """55.4 ± 0.37, the mean and standard deviation; 55.4 of a single value; n/a of none.

    Of a ratio 152 ×÷ 1.16, the geometric mean and geometric standard deviation, as the report averages it.
    """
    known = to_scale(metric, values.dropna().to_numpy(dtype=float))
    if not len(known):
        return "n/a"
    mean = _digits(float(from_scale(metric, known.mean())), 3)
    if len(known) == 1:
        return mean
    spread = float(from_scale(metric, np.std(known, ddof=1)))
    return f"{mean} ×÷ {_digits(spread, 3)}" if is_log(metric) else f"{mean} ± {_digits(spread, 2)}"


def _digits(value: float, digits: int) -> str:
    """This many significant digits, including trailing zeros; whole numbers in full up to 99,999."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5:
        return f"{value:.2g}"
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:#.{digits}g}".removesuffix(".")
