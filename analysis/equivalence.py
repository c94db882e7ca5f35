"""Which activations are the same for any purpose: pairs whose whole interval lies within a stated margin.

DataFrame in, DataFrame out. "Not told apart" is no evidence of sameness; this is. Imports nothing of ours.
"""

from __future__ import annotations

import pandas as pd

MARGIN = 1.0
"""Per cent: two settings whose difference surely lies within this are called the same."""


def equivalence(pairs: pd.DataFrame, margin: float = MARGIN) -> pd.DataFrame:
    """How near to each other the two of each pair are, as surely as the simultaneous 95% interval says.

    pairs: from stats.compare. Columns: those of the strata, metric, a, b, n, percent, percent_low, percent_high (the difference
    and its simultaneous interval in per cent of b's mean), within (per cent: the least margin that holds the whole interval),
    same (whether that is at most `margin`). Pairs without such an interval are left out: of metrics that can be negative, of
    fewer than 6 seeds, where the mean is 0.
    An interval holds all differences of its family at once, so where no pair is truly the same, one is called so in at most
    5 of 100 studies. Source: Schuirmann (1987), with the simultaneous interval in place of the 90% one.
    """
    numbers = ["percent", "percent_low", "percent_high"]
    if not len(pairs):
        return pd.DataFrame(columns=["metric", "a", "b", "n", *numbers, "within", "same"]).astype({"same": bool})
    strata = list(pairs.columns[: list(pairs.columns).index("metric")])
    table = pairs[[*strata, "metric", "a", "b", "n", *numbers]].dropna(subset=numbers)
    within = table[["percent_low", "percent_high"]].abs().max(axis=1)
    return table.assign(within=within, same=within <= margin).reset_index(drop=True)
