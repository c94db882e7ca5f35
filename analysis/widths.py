"""Does the order of the activations depend on the width? The interaction of a factor with the number of units.

DataFrame in, DataFrame out. Imports statistics, nothing that draws or writes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.metrics import sign, to_scale
from analysis.power import ALPHA
from analysis.reshape import as_tuple, per_size
from analysis.sign_flips import flip_family
from analysis.stats import complete_blocks, seed_blocks


def interaction(
    rows: pd.DataFrame, metric: str, factor: str = "activation", within: Sequence[str] = (), by: str = "hidden_dim"
) -> pd.DataFrame:
    """Does the difference between two levels of a factor depend on the width (or another setting `by`)?

    rows: one row per finished trial, with metrics as recorded: they are compared per size (`reshape.per_size`).
    One row per stratum of `within`. Columns: the stratum, metric, n_seeds (those that have every level at every width),
    contrasts (pairs of levels times pairs of widths), largest_t, p: for "no difference between two levels depends on the
    width", by the max-T of sign_flips over all contrasts; it is the corrected p of the contrast with the strongest evidence.
    NaN with fewer than 2 levels, widths or seeds.
    """
    within = [column for column in within if column in rows]
    sized = per_size(rows) if by == "hidden_dim" else rows
    blocks = to_scale(metric, seed_blocks(sized, metric, factor, [*within, by]))
    records = []
    for key, stratum in blocks.groupby(level=within, dropna=False) if within else [((), blocks)]:
        # One row per seed, one column per width and level.
        wide = stratum.reset_index(within, drop=True).unstack(by)
        wide = complete_blocks(wide.dropna(axis="columns", how="all"))
        contrasts = _contrasts(wide)
        p = largest = np.nan
        if len(contrasts) and len(wide) >= 2:
            found = flip_family(contrasts)
            p = float(np.nanmin(found.p_max_t))
            sd = contrasts.std(axis=1, ddof=1)
            t = np.abs(contrasts.mean(axis=1)) / np.where(sd > 0, sd, np.nan) * np.sqrt(len(wide))
            largest = float(np.nanmax(t)) if np.isfinite(t).any() else np.nan
        names = dict(zip(within, as_tuple(key), strict=True))
        records.append(
            {**names, "metric": metric, "n_seeds": len(wide), "contrasts": len(contrasts), "largest_t": largest, "p": p}
        )
    return pd.DataFrame(records)


def _contrasts(wide: pd.DataFrame) -> np.ndarray:
    """(a - b at one width) - (a - b at another), one row per contrast and one column per seed."""
    rows = []
    levels = list(dict.fromkeys(level for level, _ in wide.columns))
    widths = sorted({width for _, width in wide.columns})
    for a, b in itertools.combinations(levels, 2):
        for one, other in itertools.combinations(widths, 2):
            needed = [(a, one), (b, one), (a, other), (b, other)]
            if all(column in wide.columns for column in needed):
                v = [wide[column].to_numpy() for column in needed]
                contrast = (v[0] - v[1]) - (v[2] - v[3])
                # Values that differ only by the rounding of a division are equal.
                size = np.max(np.abs(v), axis=0)
                rows.append(np.where(np.abs(contrast) <= 1e-12 * size, 0.0, contrast))
    return np.array(rows).reshape(len(rows), len(wide))


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
