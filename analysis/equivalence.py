"""Which activations are the same for any purpose: pairs whose whole interval lies within a stated margin.

DataFrame in, DataFrame out. "Not told apart" is no evidence of sameness; this is. Imports names and words only.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.metrics import METRICS, bounds, is_log, label
from analysis.wording import words

MARGIN = 0.01
"""Two activations within this share of their mean are called the same."""


def equivalence(pairs: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """How near to each other the two of each pair are, as surely as the simultaneous 95% interval says.

    pairs: from stats.compare. Columns: those of the strata, metric, a, b, n, percent (the difference in per cent of the mean
    of both), percent_low, percent_high (its simultaneous interval), within (per cent: the least margin that holds the
    whole interval), same (whether that is at most `margin`). Of a ratio the per cents are of the quotient. Metrics that
    can be negative have no per cents and are left out, and so are pairs without an interval or whose mean is 0.
    Each interval holds all differences of its family at once, so a study without any truly equal pair calls one the same
    in at most 5 of 100 repetitions. Source: Schuirmann (1987), with the simultaneous interval in place of the 90% one.
    """
    numbers = ["percent", "percent_low", "percent_high", "within", "same"]
    if not len(pairs):
        return pd.DataFrame(columns=["metric", "a", "b", "n", *numbers])
    ratio = pairs["metric"].map(is_log).to_numpy(bool)
    positive = pairs["metric"].map(lambda name: name in METRICS and bounds(name)[0] >= 0).to_numpy(bool)
    mean = (pairs["mean_a"] + pairs["mean_b"]) / 2
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        percent = {
            name: np.where(ratio, 100 * np.expm1(pairs[column]), 100 * pairs[column] / mean.where(mean > 0))
            for name, column in (("percent", "difference"), ("percent_low", "sim_low"), ("percent_high", "sim_high"))
        }
    table = pairs.assign(**percent)
    table["within"] = table[["percent_low", "percent_high"]].abs().max(axis=1, skipna=False)
    table["same"] = table["within"] <= 100 * margin
    table = table[(ratio | positive) & table["within"].notna()]
    strata = [column for column in pairs.columns[: pairs.columns.get_loc("metric")]]
    return table[[*strata, "metric", "a", "b", "n", *numbers]].reset_index(drop=True)


def same_sentences(by_width: pd.DataFrame, margin: float = MARGIN) -> list[str]:
    """Which pairs are the same within the margin, a sentence a pair: at which widths, on which metrics.

    by_width: from `equivalence`, of pairs within each width (or of one width: without the column hidden_dim).
    """
    texts = []
    for (a, b), pair in by_width.groupby(["a", "b"], sort=False):
        told = []
        for metric, rows in pair.groupby("metric", sort=False):
            same = rows[rows["same"]]
            if same.empty:
                continue
            where = ""
            if "hidden_dim" in rows and len(same) < len(rows):
                where = f" at K = {words([str(width) for width in same['hidden_dim']])}"
            elif "hidden_dim" in rows and len(rows) > 1:
                where = " at every width"
            told.append(f"{label(str(metric))}{where}")
        if told:
            texts.append(f"{a} and {b} are the same within {100 * margin:g}% in {words(told)}.")
    return texts
