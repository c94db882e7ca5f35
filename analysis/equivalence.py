"""Which activations are equivalent: pairs whose whole interval lies within a stated margin.

DataFrame in, DataFrame out. "Not significantly different" is no evidence of equivalence; this is. Imports nothing of ours.
"""

from __future__ import annotations

import pandas as pd

MARGIN = 1.0
"""In percent: two settings are called the same if the interval of their difference lies within this."""


def equivalence(pairs: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """How similar the two settings of each pair are, by the simultaneous 95% interval.

    pairs: from stats.compare. Columns: those of the strata, metric, a, b, n, percent, percent_low, percent_high (the difference
    and its simultaneous interval in percent of b's mean), within (in percent: the smallest margin that contains the whole
    interval), same (whether that is at most `margin`). Excludes pairs without such an interval: metrics that can be negative,
    fewer than 6 seeds, or a mean of 0.
    The intervals of a family contain all its differences at once: if no pair is truly the same, at least one is called the same
    in at most 5 of 100 studies. Source: Schuirmann (1987), with the simultaneous interval in place of the 90% one.
    """
    numbers = ["percent", "percent_low", "percent_high"]
    if not len(pairs):
        return pd.DataFrame(columns=["metric", "a", "b", "n", *numbers, "within", "same"]).astype({"same": bool})
    strata = list(pairs.columns[: list(pairs.columns).index("metric")])
    table = pairs[[*strata, "metric", "a", "b", "n", *numbers]].dropna(subset=numbers)
    within = table[["percent_low", "percent_high"]].abs().max(axis=1)
    return table.assign(within=within, same=within <= margin).reset_index(drop=True)
