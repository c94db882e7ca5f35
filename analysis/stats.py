"""Comparisons between settings, paired by seed.

DataFrame in, DataFrame out. Imports intervals and names, nothing that draws or writes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.intervals import t_interval
from analysis.metrics import bounds, from_scale, is_log, sign, to_scale
from analysis.power import ALPHA, smallest_p
from analysis.reshape import as_tuple, varying
from analysis.schema import activation_order
from analysis.sign_flips import DRAWS, MAX_EXACT_SEEDS, flip_family


def levels_of(rows: pd.DataFrame, factor: str) -> list:
    """The values of a factor in the report's order."""
    values = rows[factor].dropna().unique().tolist()
    return activation_order(values) if factor == "activation" else sorted(values)


def seed_blocks(rows: pd.DataFrame, metric: str, factor: str, within: Sequence[str]) -> pd.DataFrame:
    """The metric as a matrix of blocks: one row per stratum and seed, one column per level of the factor; gaps are NaN."""
    table = rows.pivot(index=[*within, "seed"], columns=factor, values=metric)
    table = table.reindex(columns=levels_of(rows, factor)).astype(float)
    return table.where(np.isfinite(table)).sort_index()


def complete_blocks(blocks: pd.DataFrame) -> pd.DataFrame:
    """The seeds (rows) that have every level (column): all levels are then averaged over the same seeds.

    A level with fewer than half as many seeds as the most complete level is dropped: it would remove too many of the other
    levels' seeds, and its remaining seeds may be its easy ones.
    """
    there = blocks.notna().sum()
    most = int(there.max()) if len(there) else 0
    kept = blocks.columns[(there > 0) & (2 * there >= most)]
    return blocks[kept].dropna()


def compare(
    rows: pd.DataFrame,
    metric: str,
    factor: str = "activation",
    within: Sequence[str] | None = None,
    *,
    against: object = None,
    complete: bool = False,
    family: Literal["all", "stratum"] = "all",
    alpha: float = ALPHA,
    draws: int = DRAWS,
) -> pd.DataFrame:
    """Every pair of levels of a factor, paired by seed, with all other settings equal.

    rows: one row per trial (finished ones). within: the columns that define a stratum; by default every other setting that
    varies. against: only pairs with this level, which is then always `a`; of a list, pairs of each of them with all
    other levels. complete: whether all pairs of a stratum use the
    seeds that have every level (see `complete_blocks`), which makes their differences agree with one ranking. family:
    whether the corrections cover all pairs of all strata of this metric ("all"), or each stratum alone ("stratum"). draws:
    number of sign patterns if there are too many seeds to count them all.

    One row per stratum and pair. Columns: the stratum, metric, factor, a, b; n (seeds used), left_out (seeds with a value
    of a or b that are not used); mean_a, mean_b, difference (mean of a - b), ci_low, ci_high (its 95% t interval, for this
    pair alone), sim_low, sim_high (95% simultaneous interval over the family's differences), median_difference; cohens_d
    (mean / sd of the differences); superiority (share of seeds in which a is better, or larger if the metric has no better
    direction; ties count half); percent, percent_low, percent_high (the difference and its simultaneous interval in
    percent of b's mean, if values cannot be negative); p, p_max_t, method (see `sign_flips`); family_size;
    smallest_p (the smallest p and p_max_t that this many seeds allow), significant (p_max_t <= alpha).
    A ratio (`metrics.is_log`) is compared by its logarithm: its means are geometric, and its differences and intervals are
    of natural logarithms.
    A pair with fewer than 2 seeds has no p and no interval, and does not count in its family.
    """
    if within is None:
        within = varying(rows, but=(factor,))
    within = [column for column in within if column in rows]
    blocks = to_scale(metric, seed_blocks(rows, metric, factor, within))
    if against is None:
        pairs = list(itertools.combinations(blocks.columns, 2))
    else:
        chosen = against if isinstance(against, list) else [against]
        pairs = [(one, level) for one in chosen if one in blocks for level in blocks.columns if level not in chosen]
    strata = blocks.groupby(level=within, dropna=False, sort=True) if within else [((), blocks)]
    seeds = sorted(set(blocks.index.get_level_values("seed")))
    place = {seed: i for i, seed in enumerate(seeds)}
    records, differences, groups = [], [], []
    for stratum, (key, block) in enumerate(strata):
        names = as_tuple(key)
        at = [place[seed] for seed in block.index.get_level_values("seed")]
        full = complete_blocks(block) if complete else block
        whole = block.index.isin(full.index)
        values = {level: block[level].to_numpy() for level in block}
        for a, b in pairs:
            x, y = values[a], values[b]
            either = np.isfinite(x) | np.isfinite(y)
            if not either.any():
                continue
            both = np.isfinite(x) & np.isfinite(y)
            if complete and a in full and b in full:
                both &= whole
            difference = _difference(x[both], y[both])
            of_seeds = np.full(len(seeds), np.nan)
            of_seeds[np.asarray(at)[both]] = difference
            differences.append(of_seeds)
            groups.append(stratum if family == "stratum" else 0)
            described = _describe(x[both], y[both], difference, sign(metric) or 1)
            records.append((*names, a, b, both.sum(), (either & ~both).sum(), *described))
    if not records:
        return pd.DataFrame()
    table = pd.DataFrame(records, columns=[*within, "a", "b", "n", "left_out", *DESCRIBED, "sd"])
    table.insert(len(within), "metric", metric)
    table.insert(len(within) + 1, "factor", factor)
    tests = _tests(np.stack(differences), np.asarray(groups), draws)
    low, high = t_interval(table["difference"], table["sd"], table["n"])
    intervals = {"ci_low": low, "ci_high": high, "sim_low": tests["sim_low"], "sim_high": tests["sim_high"]}
    for name, bound in intervals.items():
        table.insert(table.columns.get_loc("median_difference"), name, bound)  # type: ignore[arg-type]
    table = table.drop(columns="sd")
    for name, of in (("percent", "difference"), ("percent_low", "sim_low"), ("percent_high", "sim_high")):
        table[name] = percent(metric, table[of], table["mean_b"])
    # Readers expect means of ratios, not of logarithms.
    table["mean_a"], table["mean_b"] = from_scale(metric, table["mean_a"]), from_scale(metric, table["mean_b"])
    for name in ("p", "p_max_t", "method", "family_size"):
        table[name] = tests[name].to_numpy()
    table["smallest_p"] = table["n"].map(smallest_p).where(table["p"].notna())
    table["significant"] = (table["p_max_t"] <= alpha).fillna(False)
    return table


def percent(metric: str, difference: Any, mean: Any) -> Any:
    """A difference in percent of the mean, at least -100; NaN if values may be negative, or the mean is 0.

    difference: of logarithms if the metric is compared by its logarithm.
    """
    if is_log(metric):
        return 100 * np.expm1(difference)
    mean = np.asarray(mean, dtype=float)
    if bounds(metric)[0] < 0:
        return np.full_like(mean, np.nan)
    # A value that cannot be negative cannot be more than 100% below another.
    return np.maximum(-100.0, 100 * np.asarray(difference, dtype=float) / np.where(mean > 0, mean, np.nan))


def paired_p(differences: Sequence[np.ndarray], *, draws: int = DRAWS) -> tuple[np.ndarray, list[str]]:
    """Two-sided p of "the differences are symmetric about 0", one for each array of differences, and how it was found.

    The sign-flip test of the mean (Fisher 1935), at every number of seeds: exact up to 14, from 9,999 draws above. NaN below
    2 seeds; 1 where all differences are 0. Not corrected: `compare` corrects for a family.
    """
    p = np.array([flip_family(d, draws=draws).p[0] for d in differences])
    return p, [_method(len(d), len(d), draws) for d in differences]


DESCRIBED = ("mean_a", "mean_b", "difference", "median_difference", "cohens_d", "superiority")


def _difference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x - y, or 0 if they differ only by the rounding of an average, which would count as a sign in every seed."""
    d = x - y
    return np.where(np.abs(d) <= 1e-12 * np.maximum(np.abs(x), np.abs(y)), 0.0, d)


def _describe(x: np.ndarray, y: np.ndarray, d: np.ndarray, direction: int) -> tuple[float, ...]:
    """The DESCRIBED columns and the sd of the differences d."""
    if len(d) == 0:
        return (np.nan,) * (len(DESCRIBED) + 1)
    sd = d.std(ddof=1) if len(d) > 1 else np.nan
    # Without spread the ratio is meaningless.
    effect = d.mean() / sd if sd > 0 else np.nan
    superiority = np.mean((d * direction > 0) + 0.5 * (d == 0))
    return x.mean(), y.mean(), d.mean(), float(np.median(d)), effect, float(superiority), sd


def _tests(differences: np.ndarray, groups: np.ndarray, draws: int) -> pd.DataFrame:
    """The tests of each family: p, p_max_t, sim_low, sim_high, family_size, method."""
    table = pd.DataFrame(index=range(len(differences)))
    n = np.isfinite(differences).sum(axis=1)
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        found = flip_family(differences[rows], draws=draws)
        table.loc[rows, "p"], table.loc[rows, "p_max_t"] = found.p, found.p_max_t
        table.loc[rows, "sim_low"], table.loc[rows, "sim_high"] = found.low, found.high
        seeds = int(np.isfinite(differences[rows]).any(axis=0).sum())
        table.loc[rows, "method"] = [_method(size, seeds, draws) for size in n[rows]]
    table["family_size"] = table["p"].groupby(groups).transform("count")
    return table


def _method(n: int, seeds: int, draws: int) -> str:
    """n: seeds of a comparison; seeds: of its family."""
    if n < 2:
        return "none"
    return "sign-flip, exact" if seeds <= MAX_EXACT_SEEDS else f"sign-flip, {draws:,} draws"
