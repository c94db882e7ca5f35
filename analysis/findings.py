"""Sentences made from numbers: which activation leads, by how much, how sure that is, and what cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.power import ALPHA, format_p, smallest_p
from analysis.schema import METRICS, label


@dataclass(frozen=True)
class Finding:
    """One sentence group about a metric; the numbers behind it for the table of leaders."""

    metric: str
    text: str
    leaders: tuple[str, ...] = ()
    mean: float = np.nan
    ci_low: float = np.nan
    ci_high: float = np.nan
    runner_up: str = ""
    lead: float = np.nan
    lead_low: float = np.nan
    lead_high: float = np.nan
    p_holm: float = np.nan
    not_told_apart: tuple[str, ...] = ()


def number(value: float) -> str:
    """Three significant digits, thousands without an exponent; n/a where there is no value."""
    if value is None or not np.isfinite(value):
        return "n/a"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def words(names: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    names = list(names)
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"


def interval(low: float, high: float) -> str:
    """An interval in words, or that there is none."""
    if not (np.isfinite(low) and np.isfinite(high)):
        return "no interval: too few seeds"
    return f"95% interval {number(low)} to {number(high)}"


def leader(metric: str, means: pd.DataFrame, pairs: pd.DataFrame, factor: str = "activation") -> Finding | None:
    """Which level of a factor is best on a metric, against the next best and all others.

    means: one row a level with columns factor, mean, ci_low, ci_high. pairs: from stats.compare, one stratum.
    None for a metric without a better direction, or with fewer than two levels that have a value.
    """
    sign = METRICS[metric].sign
    means = means.dropna(subset=["mean"])
    if not sign or len(means) < 2:
        return None
    name = label(metric)
    ranked = means.assign(score=sign * means["mean"]).sort_values("score", ascending=False, kind="stable")
    best = ranked.iloc[0]
    tied = [str(level) for level in ranked.loc[np.isclose(ranked["mean"], best["mean"], rtol=1e-12, atol=0), factor]]
    where = {"leaders": tuple(tied), "mean": best["mean"], "ci_low": best["ci_low"], "ci_high": best["ci_high"]}
    if len(tied) == len(ranked):
        return Finding(metric, f"{capital(name)}: the same for all, {number(best['mean'])}.", **where)
    top, second = tied[0], ranked.iloc[len(tied)]
    pair = _pair(pairs, top, str(second[factor]))
    better = METRICS[metric].better
    verb = "share the lead" if len(tied) > 1 else "leads"
    text = (
        f"{capital(name)} ({better} is better): {words(tied)} {verb} with {number(best['mean'])} "
        f"({interval(best['ci_low'], best['ci_high'])})"
    )
    if pair is None:
        return Finding(metric, f"{text}; {second[factor]} follows with {number(second['mean'])}.", **where)
    # A difference over complete pairs; where trials are missing it may differ from the difference of the means.
    lead, low, high = _turned(pair, top, sign)
    text += f", ahead of {second[factor]} by {number(lead)} ({interval(low, high)}; {p_words(pair['p_holm'])})."
    apart, few, same, untested = [], [], [], []
    for level in ranked[factor].astype(str)[len(tied) :]:
        other = _pair(pairs, top, level)
        if other is None or not np.isfinite(other["p_holm"]):
            untested.append(level)
        elif other["significant"]:
            apart.append(level)
        else:
            # A p at its floor means that all seeds agree: no data could have said more.
            (few if np.isclose(other["p"], smallest_p(int(other["n"]))) else same).append(level)
    if apart and not (same or few or untested):
        text += " It is told apart from every other." if len(tied) == 1 else f" {top} is told apart from every other."
    elif apart:
        text += f" Told apart from {words(apart)}."
    if same:
        text += f" Not distinguishable from {words(same)}."
    if few:
        text += f" Every seed agrees against {words(few)}, but the seeds are too few for the corrected test."
    if untested:
        text += f" Not testable against {words(untested)}."
    return Finding(metric, text, **where, runner_up=str(second[factor]), lead=lead, lead_low=low, lead_high=high,
                   p_holm=pair["p_holm"], not_told_apart=tuple(same + few + untested))  # fmt: skip


def change(metric: str, pairs: pd.DataFrame, unit: str, trained: str = "trained") -> str | None:
    """What training did to a metric, over groups: pairs from stats.compare with one row a group, `a` being trained."""
    sign = METRICS[metric].sign
    rows = pairs.dropna(subset=["difference"])
    if rows.empty or not sign:
        return None
    gain = rows["difference"] * sign * np.where(rows["a"] == trained, 1, -1)
    better, sure = rows[gain > 0], int(((gain > 0) & rows["significant"]).sum())
    worse, sure_worse = rows[gain < 0], int(((gain < 0) & rows["significant"]).sum())
    total = len(rows)
    parts = []
    if len(better):
        parts.append(f"better after training for {_share(len(better), total, unit)}{_surely(rows, sure)}")
    if len(worse):
        parts.append(f"worse for {_share(len(worse), total, unit)}{_surely(rows, sure_worse)}")
    if len(better) + len(worse) < total:
        parts.append(f"unchanged for {_share(total - len(better) - len(worse), total, unit)}")
    least, most = rows["difference"].min(), rows["difference"].max()
    span = f"mean change {number(least)} to {number(most)}" if total > 1 else f"mean change {number(least)}"
    return f"{capital(label(metric))} ({METRICS[metric].better} is better) is {', '.join(parts)}; {span}."


def p_words(p: float) -> str:
    """p = 0.012 after Holm's correction, or that there is no test."""
    if not np.isfinite(p):
        return "no test"
    text = format_p(p)
    return f"Holm-corrected p {text}" if text.startswith("<") else f"Holm-corrected p = {text}"


def significant_pairs(pairs: pd.DataFrame) -> str:
    """How many of the tested pairs reach the level."""
    tested = int(pairs["p"].notna().sum())
    return f"{int(pairs['significant'].sum())} of {tested} pairs reach {ALPHA:g}"


def _pair(pairs: pd.DataFrame, one: str, other: str) -> pd.Series | None:
    if pairs.empty:
        return None
    a, b = pairs["a"].astype(str), pairs["b"].astype(str)
    found = pairs[((a == one) & (b == other)) | ((a == other) & (b == one))]
    return found.iloc[0] if len(found) else None


def _turned(pair: pd.Series, top: str, sign: int) -> tuple[float, float, float]:
    """The pair's difference and interval as a lead of `top`: positive when it is better."""
    turn = sign * (1 if str(pair["a"]) == top else -1)
    low, high = sorted((turn * pair["ci_low"], turn * pair["ci_high"]))
    return turn * pair["difference"], low, high


def _surely(pairs: pd.DataFrame, sure: int) -> str:
    return f" ({sure} significantly)" if pairs["p"].notna().any() else " (not tested)"


def _share(part: int, total: int, unit: str) -> str:
    if total == 1:
        return f"its only {unit.removesuffix('s')}"
    return f"{'both' if total == 2 else f'all {total}'} {unit}" if part == total > 1 else f"{part} of {total} {unit}"


def capital(text: str) -> str:
    """The text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]
