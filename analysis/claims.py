"""What a study says, as sentences with their numbers: who leads and how surely, what training, lambda and seeds did.

From the tables of `evidence` to text; imports neither figures nor the page.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.evidence import Evidence, level_means
from analysis.metrics import METRICS, label, sign
from analysis.power import ALPHA, detectable_effect, power_of, smallest_p
from analysis.schema import DONE, UNFINISHED
from analysis.wording import capital, format_p, interval, number, p_words, share, show, words

IN_SHORT = ("effective_rank", "weight_redundancy", "output_correlation", "gaussian_total_correlation", "dead_units")
"""The metrics of the report's first lines."""


@dataclass(frozen=True)
class Lead:
    """Who leads on a metric: the sentences that say so, and the names (several that are equal share the lead)."""

    text: str
    leaders: tuple[str, ...]


def headlines(e: Evidence) -> list[str]:
    """The study in a few sentences: what training did, which activation leads, what lambda does."""
    recorded = [metric for metric in IN_SHORT[:3] if metric in e.metrics]
    sentences = [change_sentence(e, metric) for metric in recorded]
    sentences += [leader_sentence(e, metric) for metric in IN_SHORT]
    for factor in e.settings:
        sentences += [setting_sentence(e, factor, metric) for metric in recorded[:1]]
    if e.metrics and not any(factor.startswith("lambda") for factor in e.settings):
        lambdas = [column for column in ("lambda_tc", "lambda_wr") if column in e.infomax]
        held = [f"{column} = {show(e.infomax[column].iloc[0])}" for column in lambdas]
        if held:
            sentences.append(f"How lambda matters cannot be said from this study: it holds {words(held)}.")
    return [sentence for sentence in sentences if sentence]


def warnings(e: Evidence) -> list[str]:
    """What a reader must know before any number: lost trials, too few seeds."""
    texts = []
    planned, finished = len(e.results), int((e.results["status"] == DONE).sum())
    if finished == 0:
        texts.append("No trial has finished, so there is nothing to compare yet. Run the sweep again to go on with it.")
    elif finished < planned:
        texts.append(
            f"{planned - finished} of {planned} planned trials have no result ({words(unfinished(e.results))}). They are "
            "left out of every statistic; where they lack for a reason, such as divergence, the rest flatter their settings."
        )
    seeds = e.results["seed"].nunique()
    if finished and seeds < 2:
        texts.append("This study has one seed: its numbers are shown without intervals or tests, which need several.")
    return texts


def unfinished(results: pd.DataFrame) -> list[str]:
    """What became of the trials without a result, counted: 2 diverged, 1 failed."""
    found = results["status"].value_counts()
    return [f"{found[status]} {status}" for status in UNFINISHED if status in found]


def leader_sentence(e: Evidence, metric: str) -> str | None:
    """Which activation leads. Where other settings vary, in how many of them each one leads."""
    if metric not in e.metrics or e.infomax["activation"].nunique() < 2 or not sign(metric):
        return None
    pairs = e.pooled[e.pooled["metric"] == metric] if len(e.pooled) else e.pooled
    if e.others:
        return _leaders_by_setting(e, metric, pairs)
    means = level_means(e.averaged, metric)
    found = leader(metric, means, pairs)
    if found is None:
        return None
    lacking = [str(name) for name in means.loc[means["n"] == 0, "activation"]]
    return found.text + (f" No complete value for {words(lacking)}." if lacking else "")


def _leaders_by_setting(e: Evidence, metric: str, pairs: pd.DataFrame) -> str | None:
    leads: dict[str, int] = {}
    strata = 0
    for _, rows in e.averaged.groupby(e.others, dropna=False):
        found = leader(metric, level_means(rows, metric), pd.DataFrame())
        if found is not None:
            strata += 1
            for name in found.leaders:
                leads[name] = leads.get(name, 0) + 1
    if not leads:
        return None
    told = [f"{name} in {n}" for name, n in sorted(leads.items(), key=lambda item: -item[1])]
    text = f"{_with_direction(metric)}: of {strata} settings of {words(e.others)}, best is {words(told)}"
    return text + (f"; {_significant_pairs(pairs)}." if len(pairs) else ".")


def leader(metric: str, means: pd.DataFrame, pairs: pd.DataFrame, factor: str = "activation") -> Lead | None:
    """Which level of a factor is best on a metric, against the next best and all others.

    means: one row a level with columns factor, mean, ci_low, ci_high. pairs: from stats.compare, one stratum.
    None for a metric without a better direction, or with fewer than two levels that have a value.
    """
    means = means.dropna(subset=["mean"])
    if not sign(metric) or len(means) < 2:
        return None
    ranked = means.assign(score=sign(metric) * means["mean"]).sort_values("score", ascending=False, kind="stable")
    best = ranked.iloc[0]
    equal = np.isclose(ranked["mean"], best["mean"], rtol=1e-12, atol=0)
    tied = tuple(str(level) for level in ranked.loc[equal, factor])
    if len(tied) == len(ranked):
        return Lead(f"{capital(label(metric))}: the same for all, {number(best['mean'])}.", tied)
    top, second = tied[0], ranked.iloc[len(tied)]
    text = (
        f"{_with_direction(metric)}: {words(tied)} {'share the lead' if len(tied) > 1 else 'leads'} with "
        f"{number(best['mean'])} ({interval(best['ci_low'], best['ci_high'])})"
    )
    pair = _pair(pairs, top, str(second[factor]))
    if pair is None:
        return Lead(f"{text}; {second[factor]} follows with {number(second['mean'])}.", tied)
    # A difference over complete pairs; where trials are missing it may differ from the difference of the means.
    ahead, low, high = _turned(pair, top, sign(metric))
    text += f", ahead of {second[factor]} by {number(ahead)} ({interval(low, high)}; {p_words(pair['p_holm'])})."
    others = [str(level) for level in ranked[factor].iloc[len(tied) :]]
    return Lead(text + _told_apart(pairs, top, others, alone=len(tied) == 1), tied)


def _told_apart(pairs: pd.DataFrame, top: str, others: list[str], *, alone: bool) -> str:
    """How surely the leader differs from each of the others. alone: nobody shares its lead."""
    apart, few, same, untested = [], [], [], []
    for level in others:
        pair = _pair(pairs, top, level)
        if pair is None or not np.isfinite(pair["p_holm"]):
            untested.append(level)
        elif pair["significant"]:
            apart.append(level)
        elif np.isclose(pair["p"], smallest_p(int(pair["n"]))):
            # A p at its floor means that all seeds agree: no data could have said more.
            few.append(level)
        else:
            same.append(level)
    text = ""
    if apart and not (same or few or untested):
        text += f" {'It' if alone else top} is told apart from every other."
    elif apart:
        text += f" Told apart from {words(apart)}."
    if same:
        text += f" Not distinguishable from {words(same)}."
    if few:
        text += f" Every seed agrees against {words(few)}, but the seeds are too few for the corrected test."
    if untested:
        text += f" Not testable against {words(untested)}."
    return text


def change_sentence(e: Evidence, metric: str) -> str | None:
    """What training did to a metric, over all cells."""
    return change(metric, e.change[e.change["metric"] == metric], "cells") if len(e.change) else None


def change(metric: str, pairs: pd.DataFrame, unit: str, trained: str = "trained") -> str | None:
    """What training did to a metric, over groups: pairs from stats.compare with one row a group, `a` being trained."""
    rows = pairs.dropna(subset=["difference"])
    if rows.empty or not sign(metric):
        return None
    gain = rows["difference"] * sign(metric) * np.where(rows["a"] == trained, 1, -1)
    total, better, worse = len(rows), int((gain > 0).sum()), int((gain < 0).sum())
    tested = rows["p"].notna().any()

    def surely(which: pd.Series) -> str:
        return f" ({int((which & rows['significant']).sum())} significantly)" if tested else " (not tested)"

    parts = []
    if better:
        parts.append(f"better after training for {share(better, total, unit)}{surely(gain > 0)}")
    if worse:
        parts.append(f"worse for {share(worse, total, unit)}{surely(gain < 0)}")
    if better + worse < total:
        parts.append(f"unchanged for {share(total - better - worse, total, unit)}")
    span = f"mean change {number(rows['difference'].min())}"
    if total > 1:
        span += f" to {number(rows['difference'].max())}"
    return f"{_with_direction(metric)} is {', '.join(parts)}; {span}."


def baseline_sentences(e: Evidence) -> list[str]:
    """In how many cells InfoMax is better than each baseline, a sentence a metric and baseline."""
    texts = []
    for (metric, baseline), pairs in e.baselines.groupby(["metric", "b"], sort=False):
        gain = pairs["difference"] * sign(str(metric))
        if gain.notna().any():
            better, worse = (gain > 0), (gain < 0)
            texts.append(
                f"{capital(label(str(metric)))}: InfoMax is better than {baseline} in {int(better.sum())} of "
                f"{int(gain.notna().sum())} cells ({int((better & pairs['significant']).sum())} significantly better, "
                f"{int((worse & pairs['significant']).sum())} significantly worse)."
            )
    return texts


def setting_sentence(e: Evidence, factor: str, metric: str) -> str | None:
    """Which level of a setting is best for each activation."""
    pairs = e.settings[factor]
    pairs = pairs[pairs["metric"] == metric] if len(pairs) else pairs
    if not len(pairs) or not sign(metric):
        return None
    means = e.averaged.groupby(["activation", factor], sort=False)[metric].mean().unstack(factor).dropna(how="all")
    if means.empty:
        return None
    # Activations whose levels are all equal have no best level.
    flat = means.index[np.ptp(means.to_numpy(), axis=1) == 0].tolist()
    means = means.drop(index=flat)
    best = means.idxmax(axis=1) if sign(metric) > 0 else means.idxmin(axis=1)
    told = [f"{show(level)} for {words([str(name) for name in names.index])}" for level, names in best.groupby(best)]
    if flat:
        told.append(f"the same at every level for {words(flat)}")
    return f"{_with_direction(metric)}: the best {factor} is {words(told)}; {_significant_pairs(pairs)}."


@dataclass(frozen=True)
class PowerNote:
    """What the seeds of a family of comparisons can show. caution: that is nothing, or hardly anything."""

    text: str
    caution: bool


def power_note(pairs: pd.DataFrame, what: str) -> PowerNote | None:
    """What the largest family of these comparisons can show; None where there are none."""
    if not len(pairs):
        return None
    family, seeds = int(pairs["family_size"].max()), int(pairs["n"].max())
    if family == 0:
        return PowerNote(f"{capital(what)}: no pair has two seeds, so nothing can be tested.", caution=True)
    power = power_of(seeds, family)
    text = f"{capital(what)}: {power.sentence}"
    if not power.reachable:
        text += f" Read a p above {ALPHA:g} here as \u201cnot enough seeds\u201d, not as \u201cno difference\u201d."
        return PowerNote(text, caution=True)
    effect = detectable_effect(seeds, family)
    text += f" It finds a difference of {effect:.2g} standard deviations (Cohen's d) in about 4 studies of 5."
    fewest = int(pairs.loc[pairs["p"].notna(), "n"].min())
    if fewest < seeds:
        text += f" Pairs that lost seeds can show less: {fewest} seeds allow no p under {format_p(smallest_p(fewest))}."
    return PowerNote(text, caution=False)


def _with_direction(metric: str) -> str:
    return f"{capital(label(metric))} ({METRICS[metric].better} is better)"


def _significant_pairs(pairs: pd.DataFrame) -> str:
    return f"{int(pairs['significant'].sum())} of {int(pairs['p'].notna().sum())} pairs reach {ALPHA:g}"


def _pair(pairs: pd.DataFrame, one: str, other: str) -> pd.Series | None:
    if pairs.empty:
        return None
    a, b = pairs["a"].astype(str), pairs["b"].astype(str)
    found = pairs[((a == one) & (b == other)) | ((a == other) & (b == one))]
    return found.iloc[0] if len(found) else None


def _turned(pair: pd.Series, top: str, direction: int) -> tuple[float, float, float]:
    """The pair's difference and interval as a lead of `top`: positive when it is better."""
    turn = direction if str(pair["a"]) == top else -direction
    low, high = sorted((turn * pair["ci_low"], turn * pair["ci_high"]))
    return turn * pair["difference"], low, high
