"""Comparisons between settings, paired by seed: pairs, rank tests, average ranks. Tests are SciPy's and statsmodels'.

DataFrame in, DataFrame out. Imports intervals and names, nothing that draws or writes.
"""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from analysis.intervals import t_interval
from analysis.metrics import sign
from analysis.power import ALPHA, smallest_p
from analysis.reshape import as_tuple, varying
from analysis.schema import activation_order

MAX_EXACT_SEEDS = 12
"""Up to here all 2^n sign patterns are counted; above, Wilcoxon's signed-rank test, whose cost does not double a seed."""

Test = Literal["auto", "sign-flip", "wilcoxon"]


def levels_of(rows: pd.DataFrame, factor: str) -> list:
    """The values of a factor in the order of the report."""
    values = rows[factor].dropna().unique().tolist()
    return activation_order(values) if factor == "activation" else sorted(values)


def seed_blocks(rows: pd.DataFrame, metric: str, factor: str, within: Sequence[str]) -> pd.DataFrame:
    """The metric as a matrix of blocks: one row a stratum and seed, one column a level of the factor; gaps are NaN."""
    table = rows.pivot(index=[*within, "seed"], columns=factor, values=metric)
    table = table.reindex(columns=levels_of(rows, factor)).astype(float)
    return table.where(np.isfinite(table)).sort_index()


def compare(
    rows: pd.DataFrame,
    metric: str,
    factor: str = "activation",
    within: Sequence[str] | None = None,
    *,
    against: object = None,
    family: Literal["all", "stratum"] = "all",
    test: Test = "auto",
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """Every pair of levels of a factor, paired by seed, all other settings equal.

    rows: one row a trial (finished ones). within: the columns that make a stratum; by default every other setting that
    varies. against: only pairs with this level, which is then always `a`. family: Holm's correction covers all pairs of
    all strata of this metric ("all"), or each stratum's alone.

    One row a stratum and pair. Columns: the stratum, metric, factor, a, b; n (seeds with both values), left_out (seeds
    with only one); mean_a, mean_b, difference (mean of a - b), ci_low, ci_high (95% t interval of it, not corrected),
    median_difference; cohens_d (mean / sd of the differences); superiority (share of seeds where a is better, or larger
    where the metric has no better direction; ties count half); p, p_holm, method; family_size, smallest_p_holm (the
    least p_holm that anything in the family could have had), significant.
    A pair with fewer than 2 seeds has no p and no interval, and is not counted in its family.
    """
    if within is None:
        within = varying(rows, but=(factor,))
    within = [column for column in within if column in rows]
    blocks = seed_blocks(rows, metric, factor, within)
    if against is None:
        pairs = list(itertools.combinations(blocks.columns, 2))
    else:
        pairs = [(against, level) for level in blocks.columns if level != against]
    strata = blocks.groupby(level=within, dropna=False, sort=True) if within else [((), blocks)]
    records, differences = [], []
    for key, block in strata:
        names = as_tuple(key)
        for a, b in pairs:
            x, y = block[a].to_numpy(), block[b].to_numpy()
            either = np.isfinite(x) | np.isfinite(y)
            if not either.any():
                continue
            both = np.isfinite(x) & np.isfinite(y)
            differences.append((x - y)[both])
            records.append(
                (*names, a, b, both.sum(), (either & ~both).sum(), *_describe(x[both], y[both], sign(metric) or 1))
            )
    if not records:
        return pd.DataFrame()
    table = pd.DataFrame(records, columns=[*within, "a", "b", "n", "left_out", *DESCRIBED, "sd"])
    table.insert(len(within), "metric", metric)
    table.insert(len(within) + 1, "factor", factor)
    low, high = t_interval(table["difference"], table["sd"], table["n"])
    table.insert(table.columns.get_loc("median_difference"), "ci_low", low)  # type: ignore[arg-type]
    table.insert(table.columns.get_loc("median_difference"), "ci_high", high)  # type: ignore[arg-type]
    table = table.drop(columns="sd")
    table["p"], table["method"] = paired_p(differences, test)
    groups = table.groupby(within, dropna=False).ngroup() if family == "stratum" and within else 0
    table["p_holm"], table["family_size"] = _holm(table["p"], pd.Series(groups, index=table.index))
    # Holm's first step multiplies the family's least p by its size, and no later step goes below the first.
    seeds = table["n"].where(table["p"].notna(), 0).groupby(pd.Series(groups, index=table.index)).transform("max")
    floor = seeds.map(smallest_p) * table["family_size"]
    table["smallest_p_holm"] = floor.clip(upper=1.0).where(table["p"].notna())
    table["significant"] = (table["p_holm"] <= alpha).fillna(False)
    return table


def paired_p(differences: Sequence[np.ndarray], test: Test = "auto") -> tuple[np.ndarray, list[str]]:
    """Two-sided p of "the differences are symmetric about 0", one for each array of differences, and how it was found.

    sign-flip: exact permutation of signs of the mean difference, 2^n patterns (scipy.stats.permutation_test).
    wilcoxon: signed-rank test, exact where there are at most 50 untied differences (scipy.stats.wilcoxon).
    auto: sign-flip up to 12 seeds, wilcoxon above. NaN below 2 seeds; 1 where all differences are 0.
    """
    from scipy import stats

    p = np.full(len(differences), np.nan)
    sizes = np.array([len(d) for d in differences])
    zero = np.array([len(d) > 1 and not np.any(d) for d in differences], dtype=bool)
    p[zero] = 1.0
    use_flip = np.full(len(p), test == "sign-flip") | ((test == "auto") & (sizes <= MAX_EXACT_SEEDS))
    for n in np.unique(sizes[use_flip & (sizes > 1) & ~zero]):
        rows = np.flatnonzero(use_flip & (sizes == n) & ~zero)
        for block in np.array_split(rows, math.ceil(len(rows) / 256)):
            stacked = np.stack([differences[i] for i in block])
            # 2^n sign patterns are all counted (n_resamples is only an upper bound), so no random draw is made.
            result = stats.permutation_test(
                (stacked,), _mean, permutation_type="samples", n_resamples=2 ** int(n) + 1, axis=-1, batch=64
            )
            p[block] = result.pvalue
    for i in np.flatnonzero(~use_flip & (sizes > 1) & ~zero):
        p[i] = float(stats.wilcoxon(differences[int(i)]).pvalue)  # type: ignore[attr-defined]  # scipy says "_"
    method = np.where(sizes < 2, "none", np.where(use_flip, "sign-flip", "wilcoxon"))
    return p, method.tolist()


def friedman(
    rows: pd.DataFrame, metric: str, factor: str = "activation", within: Sequence[str] | None = None
) -> pd.DataFrame:
    """Friedman's rank test: does any level of the factor differ, seeds being blocks?

    One row a stratum. Columns: the stratum, metric, n_seeds (complete blocks), left_out (incomplete ones), levels,
    statistic, p, kendalls_w (agreement of the seeds on the ranking, 0 to 1). p is missing for fewer than 3 levels or 2
    seeds, or where all values are equal. Source: Friedman (1937); scipy.stats.friedmanchisquare (chi-squared limit).
    """
    from scipy import stats

    if within is None:
        within = varying(rows, but=(factor,))
    within = [column for column in within if column in rows]
    blocks = seed_blocks(rows, metric, factor, within)
    records = []
    for key, block in blocks.groupby(level=within, dropna=False) if within else [((), blocks)]:
        block = block.dropna(axis="columns", how="all")
        full = block.dropna()
        n, k = full.shape
        statistic = p = np.nan
        # A block of equal values has no ranking; if none has one, the statistic is 0 / 0.
        if k >= 3 and n >= 2 and (np.ptp(full.to_numpy(), axis=1) > 0).any():
            statistic, p = stats.friedmanchisquare(*full.to_numpy().T)
        names = dict(zip(within, as_tuple(key), strict=True))
        records.append(
            {
                **names,
                "metric": metric,
                "n_seeds": n,
                "left_out": len(block) - n,
                "levels": k,
                "statistic": statistic,
                "p": p,
                "kendalls_w": statistic / (n * (k - 1)) if n and k > 1 else np.nan,
            }
        )
    return pd.DataFrame(records)


def average_ranks(rows: pd.DataFrame, metric: str, factor: str = "activation") -> tuple[pd.Series, pd.DataFrame]:
    """Average rank of each level over the seeds (1 = best), and Nemenyi's p between levels, for the diagram.

    rows: one row a seed and level (see reshape.mean_over_width). Only seeds with every level count. A metric without a
    better direction ranks the largest first. Both are empty where there are fewer than 3 levels or 2 complete seeds.
    Source: Demsar (2006); scikit_posthocs.posthoc_nemenyi_friedman.
    """
    import scikit_posthocs

    full = seed_blocks(rows, metric, factor, []).dropna(axis="columns", how="all").dropna()
    if full.shape[1] < 3 or len(full) < 2:
        return pd.Series(dtype=float), pd.DataFrame()
    ranks = full.rank(axis=1, ascending=sign(metric) < 0).mean().sort_values(kind="stable")
    p = scikit_posthocs.posthoc_nemenyi_friedman(full.reset_index(drop=True))
    return ranks, p


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(values, axis=axis)


DESCRIBED = ("mean_a", "mean_b", "difference", "median_difference", "cohens_d", "superiority")


def _describe(x: np.ndarray, y: np.ndarray, direction: int) -> tuple[float, ...]:
    """The DESCRIBED columns and the sd of the differences."""
    d = x - y
    if len(d) == 0:
        return (np.nan,) * (len(DESCRIBED) + 1)
    sd = d.std(ddof=1) if len(d) > 1 else np.nan
    # Without spread the ratio is not a size of anything.
    effect = d.mean() / sd if sd > 0 else np.nan
    superiority = np.mean((d * direction > 0) + 0.5 * (d == 0))
    return x.mean(), y.mean(), d.mean(), float(np.median(d)), effect, float(superiority), sd


def _holm(p: pd.Series, groups: pd.Series) -> tuple[pd.Series, pd.Series]:
    from statsmodels.stats.multitest import multipletests

    adjusted, size = pd.Series(np.nan, index=p.index), pd.Series(0, index=p.index)
    # multipletests ends with gc.collect(), which walks over every object of every imported library: a third of an
    # analysis. Frozen objects are not walked over.
    freeze = gc.get_freeze_count() == 0
    if freeze:
        gc.freeze()
    try:
        for _, family in p.groupby(groups):
            tested = family.dropna()
            size[family.index] = len(tested)
            if len(tested):
                adjusted[tested.index] = multipletests(tested, method="holm")[1]
    finally:
        if freeze:
            gc.unfreeze()
    return adjusted, size
