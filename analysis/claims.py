"""A study's claims as sentences with numbers: which setting leads and whether significantly, the effect of training and lambda.

From the tables of `evidence` to text; imports neither figures nor the page. A lead is claimed only if the corrected test
finds that the leader differs significantly from every other ranked level.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.dynamics import convergence, last_epochs
from analysis.equivalence import MARGIN, equivalence
from analysis.evidence import Evidence, level_means
from analysis.metrics import METRICS, REDUNDANCY_METRICS, is_log, label, sign
from analysis.power import ALPHA, power_of, seeds_needed, smallest_p
from analysis.reshape import as_tuple, cell_columns, done, infomax_rows, order
from analysis.schema import DONE, NEVER_COMPARED, UNFINISHED
from analysis.stats import levels_of, percent
from analysis.widths import reversals
from analysis.wording import (
    capital,
    counted,
    format_p,
    measured,
    number,
    p_words,
    per_cent,
    rounded,
    share,
    show,
    words,
)

IN_SHORT = sorted((name for name in REDUNDANCY_METRICS if not is_log(name)), key=lambda name: METRICS[name].integer)
"""The metrics that answer the study's questions first: counts last, and no ratios."""

CANNOT_RANK = "the activations cannot be ranked"
NO_VALUE = "No value for"
TOO_FEW = "Not ranked, with fewer than half as many seeds as the most complete activation:"
LACKING = "seeds, losses, or evaluations near the end are missing"
TOO_FEW_OF_LEVEL = TOO_FEW.replace("activation", "level")
LEVELS_CANNOT_RANK = "the levels cannot be ranked"
UNSURE = "no level is significantly best"

MAX_WIDTHS = 4
"""If there are more widths than this, they are listed by leader."""


@dataclass(frozen=True)
class Lead:
    """Which level of a factor is best on a metric, at one width or over all.

    text: the clause that says so. leaders: the best on average (several if tied, none if the levels cannot be ranked). seeds:
    how many were compared. sure: there is one leader, and by the corrected test it differs significantly from every other
    ranked level. equal: all levels are. ahead: by how much it is better than the next best, in words. effect: the same in
    percent; NaN if there is no such number. lost, few: unranked levels, with no seeds and with too few.
    """

    text: str
    leaders: tuple[str, ...]
    seeds: int = 0
    sure: bool = False
    equal: bool = False
    ahead: str = ""
    effect: float = math.nan
    lost: tuple[str, ...] = ()
    few: tuple[str, ...] = ()


def warnings(e: Evidence) -> list[str]:
    """What a reader must know before reading any number: lost trials, too few seeds."""
    texts = []
    planned, finished = len(e.results), int((e.results["status"] == DONE).sum())
    if finished == 0:
        texts.append("No trial has finished, so there is nothing to compare yet. Run the sweep again to resume it.")
    elif finished < planned:
        texts.append(
            f"{planned - finished} of {planned} planned trials have no result ({words(unfinished(e.results))}). Every "
            "statistic excludes them. If they are missing for a reason, such as divergence, the remaining trials make "
            "their settings look better than they are."
        )
    seeds = e.results["seed"].nunique()
    if finished and seeds < 2:
        texts.append("This study has one seed. Its numbers have no intervals or tests, which need several seeds.")
    return texts


def unfinished(results: pd.DataFrame) -> list[str]:
    """How many trials without a result have each status: 2 diverged, 1 failed."""
    found = results["status"].value_counts()
    return [f"{found[status]} {status}" for status in UNFINISHED if status in found]


# ---- who leads


def leader(
    metric: str, means: pd.DataFrame, pairs: pd.DataFrame, factor: str = "activation", planned: Iterable[object] = ()
) -> Lead | None:
    """Which level of a factor is best on a metric, against all others.

    means: from evidence.level_means. pairs: from stats.compare on complete blocks, one stratum. planned: the levels that
    were to be compared; those without a seed are lost. None if the metric has no better direction or fewer than two
    levels can be ranked.
    """
    if not sign(metric):
        return None
    found = _lead_or_none(metric, means, pairs, factor, planned)
    return found if found.leaders else None


def _lead_or_none(
    metric: str, means: pd.DataFrame, pairs: pd.DataFrame, factor: str, planned: Iterable[object]
) -> Lead:
    """Like `leader`; if fewer than two levels can be ranked, a lead without leaders that says so."""
    there = means[means["ranked"]].dropna(subset=["mean"])
    known = set(means.loc[means["n"] > 0, factor])
    lost = tuple(str(show(level)) for level in planned if level not in known)
    few = tuple(str(show(level)) for level in means.loc[(means["n"] > 0) & ~means["ranked"], factor])
    if len(there) < 2:
        return Lead(CANNOT_RANK, (), lost=lost, few=few)
    others = f"every other {'ranked ' if lost or few else ''}{factor}"
    return replace(_lead(metric, there, pairs, factor, others), seeds=int(there["n"].min()), lost=lost, few=few)


def _lead(metric: str, means: pd.DataFrame, pairs: pd.DataFrame, factor: str, others: str) -> Lead:
    """Like `leader`, for at least two levels that are all ranked. others: the levels other than the top, in words."""
    ranked = means.assign(score=sign(metric) * means["mean"]).sort_values("score", ascending=False, kind="stable")
    best = ranked.iloc[0]
    equal = np.isclose(ranked["mean"], best["mean"], rtol=1e-12, atol=0)
    tied: tuple[str, ...] = tuple(str(show(level)) for level in ranked.loc[equal, factor])
    if len(tied) == len(ranked):
        return Lead(f"the same for all ({number(best['mean'])})", tied, equal=True)
    top = tied[0]
    value = measured(best["mean"], best["ci_low"], best["ci_high"])
    rest = ranked.iloc[len(tied) :]
    second = rest.iloc[0]
    if best["n"] < 2:
        return Lead(
            f"with only one seed to compare, {words(tied)} {'have' if len(tied) > 1 else 'has'} the best value, "
            f"{number(best['mean'])}, followed by {show(second[factor])} with {number(second['mean'])}; one seed cannot "
            "show a lead",
            tied,
        )
    if len(tied) > 1:
        return Lead(f"{words(tied)} share the best value, {value}", tied)
    apart, same = _told_apart(pairs, best[factor], rest[factor])
    pair = _pair(pairs, best[factor], second[factor])
    if pair is None or same or _turned(pair, best[factor])[0] * sign(metric) <= 0:
        text = f"{top} is best on average with {value}, but its lead is not significant: "
        if best["n"] < seeds_needed():
            text += f"{counted(int(best['n']), 'seed')} cannot show a significant difference; at least {seeds_needed()} are needed"
        elif apart and same:
            text += (
                f"it is significantly better than {words(apart)}, but does not differ significantly from {words(same)}"
            )
        elif same:
            text += f"it does not differ significantly from {words(same)}"
        else:
            text += "it could not be tested"
        return Lead(text, tied)
    behind = str(show(second[factor]))
    ahead, effect = _ahead(metric, pair, best[factor], second)
    text = f"{top} leads with {value}, {ahead} {behind} ({p_words(pair['p_max_t'])}); it differs significantly from {others}"
    return Lead(text, tied, sure=True, ahead=f"{ahead} {behind}", effect=effect)


def _told_apart(pairs: pd.DataFrame, top: object, others: Iterable[object]) -> tuple[list[str], list[str]]:
    """Which of the others differ significantly from the top by the corrected test, and which do not."""
    apart, same = [], []
    for level in others:
        pair = _pair(pairs, top, level)
        (apart if pair is not None and pair["significant"] else same).append(str(show(level)))
    return apart, same


def _ahead(metric: str, pair: pd.Series, top: object, second: pd.Series) -> tuple[str, float]:
    """How far the top is ahead of the second: in percent of the second's mean if possible, else in the metric's units."""
    ends = np.array(_turned(pair, top))
    side = "above" if sign(metric) > 0 else "below"
    scaled = percent(metric, ends, np.full(3, second["mean"]))
    if np.isfinite(scaled[0]):
        effect, low, high = (sign(metric) * scaled).tolist()
        low, high = min(low, high), max(low, high)
        return f"{per_cent(effect, low, high)} {side}", effect
    difference, low, high = (sign(metric) * ends).tolist()
    low, high = min(low, high), max(low, high)
    interval = f" ({rounded(low, high - low)} to {rounded(high, high - low)})" if np.isfinite(high - low) else ""
    return f"{rounded(difference, high - low)}{interval} {side}", math.nan


def planned_levels(e: Evidence, metric: str, rows: pd.DataFrame, factor: str = "activation") -> list:
    """The levels of these planned trials; without those that finished in this study but never record the metric."""
    finished = done(infomax_rows(e.study.results))
    recorded = set(finished.loc[finished[metric].notna(), factor])
    never = set(finished[factor]) - recorded
    return [level for level in levels_of(rows, factor) if level not in never]


def leads_by_width(e: Evidence, metric: str) -> dict[int, Lead]:
    """The leader at each planned width; none (no `leaders`) where the activations cannot be ranked.

    For a study without other settings. Empty if fewer than two activations record the metric.
    """
    if not sign(metric) or len(planned_levels(e, metric, e.infomax)) < 2:
        return {}
    rows = done(e.infomax)
    pairs = e.by_width if e.sized else e.pooled
    pairs = pairs[pairs["metric"] == metric] if len(pairs) else pairs
    found = {}
    for width, planned in e.infomax.groupby("hidden_dim"):
        units = int(str(width))
        means = level_means(rows[rows["hidden_dim"] == width], metric, units=units)
        here = pairs[pairs["hidden_dim"] == width] if e.sized and len(pairs) else pairs
        found[units] = _lead_or_none(metric, means, here, "activation", planned_levels(e, metric, planned))
    return found


def turned(e: Evidence, metric: str) -> pd.DataFrame:
    """The pairs of activations whose order changes significantly with the width; see `widths.reversals`."""
    return reversals(e.by_width[e.by_width["metric"] == metric] if len(e.by_width) else e.by_width)


def leader_changes(e: Evidence, metric: str, leads: Mapping[int, Lead]) -> bool:
    """Whether the order of two activations changes significantly with the width that both lead at some width."""
    sure = {lead.leaders[0] for lead in leads.values() if lead.sure}
    return any({str(a), str(b)} <= sure for a, b in turned(e, metric)[["a", "b"]].itertuples(index=False))


def is_ranked(e: Evidence, metric: str) -> bool:
    """Whether this study can ask which activation is best on a metric."""
    several = e.infomax["activation"].nunique() > 1
    return metric in e.metrics and several and bool(sign(metric)) and METRICS[metric].ranked


def leader_sentence(e: Evidence, metric: str, leads: Mapping[int, Lead] | None = None) -> str | None:
    """Which activation leads at each width; if other settings vary, in how many of them each activation leads.

    leads: from `leads_by_width`, if already computed.
    """
    if not is_ranked(e, metric):
        return None
    if e.others:
        return _leaders_by_setting(e, metric)
    leads = leads_by_width(e, metric) if leads is None else leads
    if not leads:
        return None
    if len(leads) == 1:
        text = f"{_with_direction(metric)}: {next(iter(leads.values())).text}."
    else:
        text = _leaders_by_width(e, metric, leads)
    return text + not_ranked(leads)


def _leaders_by_width(e: Evidence, metric: str, leads: Mapping[int, Lead]) -> str:
    start = _with_direction(metric)
    sure = {lead.leaders[0] for lead in leads.values() if lead.sure}
    all_sure = all(lead.sure for lead in leads.values())
    reversed_pairs = turned(e, metric)
    if len(reversed_pairs):
        each = _each_width(leads)
        text = f"{start}: the order of the activations changes with the width. {each if sure else capital(each)}."
        one = reversed_pairs.iloc[0]
        text += (
            f" {one['a']} is better than {one['b']} at K = {words([show(k) for k in one['a_better']])} and worse at "
            f"K = {words([show(k) for k in one['b_better']])}."
        )
        if len(reversed_pairs) > 1:
            text += f" The order also reverses for {counted(len(reversed_pairs) - 1, 'more pair')}."
        return text
    if all_sure and len(sure) == 1:
        text = f"{start}: {next(iter(sure))} leads at every width."
        if len(leads) <= MAX_WIDTHS:
            text += f" {_each_width(leads)}."
        pairs = e.pooled[e.pooled["metric"] == metric] if len(e.pooled) else e.pooled
        pooled = leader(metric, level_means(e.averaged, metric), pairs)
        if pooled is not None and pooled.sure and pooled.leaders[0] in sure:
            text += f" Averaged over widths, {pooled.leaders[0]}'s {label(metric, per_size=True)} is {pooled.ahead}."
        return text
    if len({lead.text for lead in leads.values()}) == 1:
        return f"{start} at every width: {next(iter(leads.values())).text}."
    if not sure and len(leads) > MAX_WIDTHS:
        return f"{start}: no activation leads significantly at any width."
    return f"{start}: no activation leads significantly at every width. {_each_width(leads)}."


def _each_width(leads: Mapping[int, Lead]) -> str:
    """K = 16: tanh leads, 3% above relu. For many widths: the widths of each leader."""
    if len(leads) > MAX_WIDTHS:
        return "; ".join(by_leader(leads, "{} leads", "no activation leads significantly", CANNOT_RANK))
    told = []
    for width, lead in leads.items():
        if lead.sure:
            what = f"{lead.leaders[0]} leads, {lead.ahead}"
        elif len(lead.leaders) > 1:
            what = f"{words(lead.leaders)} share the best value"
        elif lead.leaders:
            what = f"{lead.leaders[0]} is best on average, but its lead is not significant"
        else:
            what = CANNOT_RANK
        told.append(f"K = {width}: {what}")
    return ". ".join(told)


def by_leader(leads: Mapping[int, Lead], leads_there: str, unsure: str, unranked: str) -> list[str]:
    """The widths of each leader: tanh leads at K = 4, 8 and 16. leads_there: how to say it, with {} for the leader."""
    widths: dict[str, list[str]] = {}
    for width, lead in leads.items():
        told = leads_there.format(lead.leaders[0]) if lead.sure else unsure if lead.leaders else unranked
        widths.setdefault(told, []).append(str(width))
    # Leaders come first.
    order = sorted(widths, key=lambda told: (told == unranked, told == unsure))
    return [f"{told} at K = {words(widths[told])}" for told in order]


def not_ranked(leads: Mapping[int, Lead]) -> str:
    """The activations that lost all their seeds at some width, or too many seeds to be ranked."""

    def where(field: str) -> list[str]:
        widths: dict[str, list[str]] = {}
        for width, lead in leads.items():
            for name in getattr(lead, field):
                widths.setdefault(name, []).append(str(width))
        names: dict[str, list[str]] = {}
        for name, lacking in widths.items():
            place = f" at K = {words(lacking)}" if len(lacking) < len(leads) else " at any width"
            names.setdefault(place if len(leads) > 1 else "", []).append(name)
        return [f"{words(several)}{place}" for place, several in names.items()]

    lost, few = where("lost"), where("few")
    told = [f" {start} {'; '.join(names)}." for start, names in ((NO_VALUE, lost), (TOO_FEW, few)) if names]
    return "".join(told)


def _leaders_by_setting(e: Evidence, metric: str) -> str | None:
    """In how many settings (of lambda, ...) each activation leads significantly, on the mean over widths, on each data set."""
    pairs = e.pooled[e.pooled["metric"] == metric] if len(e.pooled) else e.pooled
    leads: list[Lead] = []
    on: dict[str, list[Lead]] = {name: [] for name in datasets(e)}
    for key, planned in e.infomax.groupby(e.others, dropna=False):
        means = level_means(_stratum(e.averaged, e.others, key), metric)
        here = _stratum(pairs, e.others, key)
        leads.append(_lead_or_none(metric, means, here, "activation", planned_levels(e, metric, planned)))
        on["" if "" in on else planned[NEVER_COMPARED].iloc[0]].append(leads[-1])
    if not any(lead.leaders for lead in leads):
        return None
    rest = e.others if "" in on else [other for other in e.others if other != NEVER_COMPARED]
    told = {name: _leads_in(found, rest) for name, found in on.items()}
    of = {name: f"of {counted(len(found), 'setting')} of {words(rest)}, " if rest else "" for name, found in on.items()}
    text = f"{capital(label(metric, per_size=e.sized))} ({METRICS[metric].better} is better): "
    reversed_pairs = turned(e, metric)
    if len(reversed_pairs):
        changed = len(reversed_pairs[e.others].drop_duplicates())
        text += (
            f"in {changed} of {counted(len(leads), 'setting')} of {words(e.others)} the order of the activations changes with "
            "the width, so the means below hide it. On the mean over widths, "
        )
        of = of | {"": ""}
    text += "; ".join(f"{f'on {name}, ' if name else ''}{of[name]}{told[name]}" for name in on) + "."
    for start, names in ((NO_VALUE, [lead.lost for lead in leads]), (TOO_FEW, [lead.few for lead in leads])):
        counts = Counter(itertools.chain.from_iterable(names))
        if counts:
            text += f" {start} {words([f'{name} in {n}' for name, n in counts.items()])}."
    return text


def _leads_in(leads: Sequence[Lead], settings: Sequence[str]) -> str:
    """In how many of these settings each activation leads; without any settings, which activation leads."""
    sure = Counter(lead.leaders[0] for lead in leads if lead.sure)
    counts = {f"{name} leads": n for name, n in sure.most_common()}
    counts["no activation leads significantly"] = sum(bool(lead.leaders) and not lead.sure for lead in leads)
    counts["activations cannot be ranked"] = sum(not lead.leaders for lead in leads)
    return words([f"{text} in {n}" if settings else text for text, n in counts.items() if n])


def leader_sentences(e: Evidence) -> list[str]:
    """One sentence per metric: changes of order with the width first, then the largest leads in percent of the next best."""
    found = []
    for place, metric in enumerate(e.metrics):
        leads = {} if e.others or not is_ranked(e, metric) else leads_by_width(e, metric)
        text = leader_sentence(e, metric, leads)
        if text is None:
            continue
        effects = [lead.effect for lead in leads.values() if lead.sure and np.isfinite(lead.effect)]
        changes = len(turned(e, metric)) > 0
        found.append((not changes, -max(effects, default=0.0), place, text))
    return [text for *_, text in sorted(found)]


def equivalent_sentences(e: Evidence) -> list[str]:
    """Activations that are the same within MARGIN percent at every width, by their simultaneous intervals."""
    pairs = e.by_width if e.sized else e.pooled
    if e.others or not len(pairs):
        return []
    pairs = pairs[pairs["p"].notna()]
    near = equivalence(pairs)
    widths = e.infomax["hidden_dim"].nunique()
    same = near[near["same"]].groupby(["a", "b", "metric"], sort=False).size()
    found: dict[tuple[str, str], list[str]] = {}
    for (a, b, metric), n in same.items():  # type: ignore[misc]
        if n == widths:
            found.setdefault((str(a), str(b)), []).append(label(str(metric)))
    where = " at every width" if e.sized else ""
    return [
        f"{a} and {b} are the same within {MARGIN:g}% in {words(names)}{where} (95% simultaneous intervals)."
        for (a, b), names in found.items()
    ]


# ---- what training did


def change_sentence(e: Evidence, metric: str) -> str | None:
    """What training did to a metric, over all cells."""
    if not len(e.change):
        return None
    return change(metric, e.change[e.change["metric"] == metric], "cells", planned=trained_cells(e))


def datasets(e: Evidence) -> list[str]:
    """The data sets, if there are several: each has statements of its own. Otherwise "", which stands for the only one."""
    return sorted(e.infomax[NEVER_COMPARED].unique()) if NEVER_COMPARED in e.others else [""]


def trained_cells(e: Evidence, dataset: str = "") -> int:
    """How many cells of InfoMax were to be trained; on one of several data sets, if it is given."""
    rows = e.infomax[e.infomax["epochs"] != 0] if "epochs" in e.infomax else e.infomax
    if dataset:
        rows = rows[rows[NEVER_COMPARED] == dataset]
    return len(rows[cell_columns(e.infomax)].drop_duplicates())


def change(metric: str, pairs: pd.DataFrame, unit: str, trained: str = "trained", planned: int = 0) -> str | None:
    """What training did to a metric, over groups. pairs: from stats.compare, one row per group, with `a` as trained.

    planned: the number of groups, if some of them may have no row.
    """
    rows = pairs.dropna(subset=["difference"])
    if rows.empty or not sign(metric):
        return None
    gain = rows["difference"] * sign(metric) * np.where(rows["a"] == trained, 1, -1)
    total, better, worse = max(planned, len(rows)), int((gain > 0).sum()), int((gain < 0).sum())
    unchanged = len(rows) - better - worse
    parts = []
    if better:
        parts.append(f"better in {share(better, total, unit)}{_surely(rows, gain > 0)}")
    if worse:
        parts.append(f"worse in {share(worse, total, unit)}{_surely(rows, gain < 0)}")
    if unchanged:
        parts.append(f"unchanged in {share(unchanged, total, unit)}")
    if len(rows) < total:
        parts.append(f"no result in {total - len(rows)}")
    percents = rows["percent"] if (rows["a"] == trained).all() else rows["percent"].iloc[:0]
    if len(percents) and percents.notna().all():
        low, high = f"{number(percents.min())}%", f"{number(percents.max())}%"
    else:
        low, high = number(rows["difference"].min()), number(rows["difference"].max())
    # Widths change by different amounts, and so do activations: a mean over cells would hide it.
    span = f"the mean change per {unit.removesuffix('s')} ranges from {low} to {high}"
    if len(rows) == 1:
        span = f"the mean change is {low}"
    return f"{_with_direction(metric)} after training: {', '.join(parts)}{too_few(rows)}; {span}."


def _surely(rows: pd.DataFrame, which: pd.Series) -> str:
    """How many of these rows are significant, in parentheses; or that none of the rows was tested."""
    if rows["p"].isna().all():
        return " (not tested)"
    return f" ({int((which & rows['significant']).sum())} significant)"


def too_few(rows: pd.DataFrame) -> str:
    """How many of these comparisons have too few seeds to be significant, in parentheses. Nothing if none was tested."""
    n = int((rows["n"] < seeds_needed()).sum())
    if not n or rows["p"].isna().all():
        return ""
    return f" ({n} {'has' if n == 1 else 'have'} too few seeds to tell)"


def baseline_sentences(e: Evidence) -> list[str]:
    """In how many cells InfoMax is better than each baseline, one sentence per metric and baseline."""
    texts = []
    for (metric, infomax, baseline), pairs in e.baselines.groupby(["metric", "a", "b"], sort=False):
        rows = pairs.dropna(subset=["difference"])
        gain = rows["difference"] * sign(str(metric))
        if not len(gain):
            continue
        better, worse, total = gain > 0, gain < 0, len(gain)
        same = total - int(better.sum()) - int(worse.sum())
        name = "InfoMax" if infomax == "infomax" else str(infomax).replace("infomax", "InfoMax")
        texts.append(
            f"{capital(label(str(metric)))}: against {baseline}, {name} is better in {int(better.sum())} of {total} cells"
            f"{_surely(rows, better)}, worse in {int(worse.sum())}{_surely(rows, worse)}"
            f"{f' and the same in {same}' if same else ''}{too_few(rows)}."
        )
    return texts


def moving_sentence(e: Evidence) -> str | None:
    """In how many planned cells training had converged when it ended, what still moved, and where it is unknown."""
    known = e.moving.dropna(subset=["moving"]) if len(e.moving) else e.moving
    if not len(known):
        return None
    states = convergence(e.results, e.moving)["state"]
    total, n = len(states), Counter(states)
    when = last_epochs(e.results)
    unknown = f" In {counted(n['unknown'], 'cell')}, this is unknown: {LACKING}." if n["unknown"] else ""
    if n["moving"]:
        counts = known[known["moving"].astype(bool)].groupby("metric", sort=False).size().sort_values(ascending=False)
        told = [f"{label(str(metric))} in {counted(int(n), 'cell')}" for metric, n in counts.items()]
        return (
            f"Training has not converged in {share(n['moving'], total, 'cells')}: {when}, {words(told)} still moved by more "
            f"than the standard deviation over seeds, so more epochs would change these numbers.{unknown}"
        )
    if not n["settled"]:
        return f"Whether training has converged is unknown in {share(total, total, 'cells')}: {LACKING}."
    return (
        f"Training has converged in {share(n['settled'], total, 'cells')}: {when}, nothing moved by more than the standard "
        f"deviation over seeds.{unknown}"
    )


# ---- settings and seeds


def setting_sentence(e: Evidence, factor: str, metric: str) -> str | None:
    """Which level of a setting is best for each activation (and each value of any other setting that varies)."""
    pairs = e.settings[factor]
    pairs = pairs[pairs["metric"] == metric] if len(pairs) else pairs
    if not len(pairs) or not sign(metric):
        return None
    rest = [other for other in e.others if other != factor]
    strata = [*rest, "activation"]
    best: dict[tuple[bool, str], list[str]] = {}
    lacking: dict[str, dict[str, list[str]]] = {NO_VALUE: {}, TOO_FEW_OF_LEVEL: {}}
    recording = planned_levels(e, metric, e.infomax)
    for key, planned in order(e.infomax, strata).groupby(strata, dropna=False, sort=False):
        if as_tuple(key)[-1] not in recording:
            continue
        name = _who_in(strata, key)
        means = level_means(_stratum(e.averaged, strata, key), metric, factor)
        levels = planned_levels(e, metric, planned, factor)
        lead = _lead_or_none(metric, means, _stratum(pairs, strata, key), factor, levels)
        best.setdefault((not lead.sure, _best_level(lead, factor)), []).append(name)
        for start, names in ((NO_VALUE, lead.lost), (TOO_FEW_OF_LEVEL, lead.few)):
            for level in names:
                lacking[start].setdefault(f"{factor} = {level}", []).append(name)
    if all(text == LEVELS_CANNOT_RANK for _, text in best):
        return None
    rest = [other for other in rest if other != NEVER_COMPARED]
    ordered = sorted(best.items(), key=lambda item: (item[0][0], -len(item[1])))
    text = "; ".join(f"{text} for {_who(names, rest)}" for (_, text), names in ordered)
    by_width = e.settings_by_width.get(factor, pd.DataFrame())
    reversed_pairs = reversals(by_width[by_width["metric"] == metric] if len(by_width) else by_width)
    if len(reversed_pairs):
        names = [
            _who_in(strata, key) for key in reversed_pairs[strata].drop_duplicates().itertuples(index=False, name=None)
        ]
        text = (
            f"for {_who(names, rest)} the order of the levels changes with the width, so the means below hide it. On the mean "
            f"over widths, {text}"
        )
    what = label(metric, per_size=e.sized)
    text = f"{capital(what)} ({METRICS[metric].better} is better): {text}. {_significant_pairs(pairs)}."
    for start, levels in lacking.items():
        if levels:
            text += f" {start} {'; '.join(f'{level} for {_who(names, rest)}' for level, names in levels.items())}."
    return text


def _best_level(lead: Lead, factor: str) -> str:
    """What a lead says about the levels of a setting."""
    if not lead.leaders:
        return LEVELS_CANNOT_RANK
    if lead.sure:
        return f"the best {factor} is {lead.leaders[0]}"
    if lead.equal:
        return "all levels are equal"
    if lead.seeds < seeds_needed():
        return f"{counted(lead.seeds, 'seed')} cannot show which level is best"
    return UNSURE


def _who_in(strata: Sequence[str], key: object) -> str:
    """The activation of a stratum; with several data sets, relu on digits."""
    found = dict(zip(strata, as_tuple(key), strict=True))
    return f"{found['activation']} on {found[NEVER_COMPARED]}" if NEVER_COMPARED in found else str(found["activation"])


def _who(names: list[str], rest: list[str]) -> str:
    """The activations by name; if other settings vary too, how often each occurs."""
    counts = {name: names.count(name) for name in names}
    return words([f"{name} ({n} settings of {words(rest)})" if rest else name for name, n in counts.items()])


@dataclass(frozen=True)
class PowerNote:
    """What the seeds of a family of comparisons can show. caution: they can show nothing."""

    text: str
    caution: bool


def power_note(pairs: pd.DataFrame, what: str) -> PowerNote | None:
    """What the largest family of these comparisons can show; None if there are no comparisons."""
    if not len(pairs):
        return None
    family, seeds = int(pairs["family_size"].max()), int(pairs["n"].max())
    if family == 0:
        return PowerNote(f"{capital(what)}: no pair has two seeds in common, so nothing can be tested.", caution=True)
    power = power_of(seeds, family)
    text = f"{capital(what)}: {power.sentence}"
    if not power.reachable:
        text += f" Here, a p above {ALPHA:g} means \u201cnot enough seeds\u201d, not \u201cno difference\u201d."
        return PowerNote(text, caution=True)
    fewest = int(pairs.loc[pairs["p"].notna(), "n"].min())
    if fewest < seeds:
        text += f" Pairs that lost seeds can show less: with {fewest} seeds, p cannot be below {format_p(smallest_p(fewest))}."
    return PowerNote(text, caution=False)


def _with_direction(metric: str) -> str:
    return f"{capital(label(metric))} ({METRICS[metric].better} is better)"


def _significant_pairs(pairs: pd.DataFrame) -> str:
    pairs = pairs[pairs["n"] > 0]
    if pairs["p"].isna().all():
        return "No pair was tested"
    return f"{int(pairs['significant'].sum())} of {len(pairs)} pairs differ significantly{too_few(pairs)}"


def _stratum(pairs: pd.DataFrame, columns: list[str], key: object) -> pd.DataFrame:
    """The pairs of one stratum."""
    if not len(pairs):
        return pairs
    keep = pd.Series(data=True, index=pairs.index)
    for column, value in zip(columns, as_tuple(key), strict=True):
        keep &= pairs[column].isna() if pd.isna(value) else pairs[column] == value  # type: ignore[arg-type]
    return pairs[keep]


def _pair(pairs: pd.DataFrame, one: object, other: object) -> pd.Series | None:
    if pairs.empty:
        return None
    a, b = pairs["a"], pairs["b"]
    found = pairs[((a == one) & (b == other)) | ((a == other) & (b == one))]
    return found.iloc[0] if len(found) else None


def _turned(pair: pd.Series, top: object) -> tuple[float, float, float]:
    """The pair's difference, top minus other, and its simultaneous interval."""
    if pair["a"] == top:
        return pair["difference"], pair["sim_low"], pair["sim_high"]
    return -pair["difference"], -pair["sim_high"], -pair["sim_low"]
