"""Does the order of the activations depend on the width?

DataFrame in, DataFrame out. Imports statistics, nothing that draws or writes.
"""

from __future__ import annotations

import pandas as pd

from analysis.metrics import sign
from analysis.power import ALPHA
from analysis.reshape import as_tuple


def reversals(pairs: pd.DataFrame, by: str = "hidden_dim", alpha: float = ALPHA) -> pd.DataFrame:
    """The pairs whose order changes significantly with the width: significant at two widths, with a different one better.

    pairs: from stats.compare, within each width. One row per metric and pair (and any other stratum): a, b, a_better
    and b_better (the widths at which each is better, as tuples).
    """
    if not len(pairs) or by not in pairs:
        return pd.DataFrame(columns=["metric", "a", "b", "a_better", "b_better"])
    first = list(pairs.columns[: pairs.columns.get_loc("metric")])  # type: ignore[arg-type]
    keys = [*(column for column in first if column != by), "metric", "a", "b"]
    told = pairs[pairs["p_max_t"] <= alpha]
    records = []
    for key, group in told.groupby(keys, dropna=False, sort=False):
        direction = group["difference"] * (sign(str(group["metric"].iloc[0])) or 1)
        a_better, b_better = tuple(group.loc[direction > 0, by]), tuple(group.loc[direction < 0, by])
        if a_better and b_better:
            records.append((*as_tuple(key), a_better, b_better))
    return pd.DataFrame(records, columns=[*keys, "a_better", "b_better"])
