"""The answers at the top of the page, at most five, one per question; and the methods paragraph.

From evidence and claims to text; imports neither figures nor the page.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis import claims
from analysis.contrasts import collapse_sentence, price_sentence
from analysis.dynamics import last_epochs
from analysis.evidence import Evidence
from analysis.metrics import label, sign
from analysis.power import seeds_needed
from analysis.schema import DONE, NEVER_COMPARED
from analysis.sign_flips import DRAWS, MAX_EXACT_SEEDS
from analysis.wording import capital, counted, number, share, show, words

MOST = 5
UNSURE, UNRANKED = "no significant leader", "no ranking"


@dataclass(frozen=True)
class Finding:
    """One answer: its text, and the ids of the table and the figure on the page that show it ("" for none)."""

    text: str
    table: str = ""
    figure: str = ""

    def __str__(self) -> str:
        """The text."""
        return self.text

    def linked(self, tables: Collection[str], figures: Collection[str]) -> Finding:
        """Without links to tables and figures that this page does not have; with several data sets, to the first's figure."""
        return replace(
            self,
            table=self.table if self.table in tables else "",
            figure=next((name for name in figures if name == self.figure or name.startswith(f"{self.figure}_")), ""),
        )


def findings(e: Evidence) -> list[Finding]:
    """The study's questions in their order, each answered in a sentence or two with the number that matters."""
    found = [_redundancy(e), _activation(e), _contrasts(e), *_settings(e), _baselines(e), _ended(e)]
    return [finding for finding in found if finding is not None][:MOST]


def answer(e: Evidence) -> str:
    """The one for a person in a hurry: which activation leads, and by how much; in a study of one activation, the first. "" if
    there is none."""
    found = _activation(e) or next(iter(findings(e)), None)
    return found.text if found else ""


def _redundancy(e: Evidence) -> Finding | None:
    """Does InfoMax produce non-redundant features? Outputs and weights are answered separately."""
    told = []
    for metric, who in (("output_correlation", "outputs"), ("weight_redundancy", "weights")):
        pairs = e.change[e.change["metric"] == metric] if len(e.change) else e.change
        for dataset in claims.datasets(e):
            here = pairs[pairs[NEVER_COMPARED] == dataset] if dataset and len(pairs) else pairs
            on = f" on {dataset}" if dataset else ""
            answer = redundancy_answer(f"{who}{on}", metric, here, claims.trained_cells(e, dataset))
            if answer:
                told.append(answer)
    return Finding(" ".join(told), "change", "epochs_output_correlation") if told else None


def redundancy_answer(who: str, metric: str, pairs: pd.DataFrame, planned: int = 0) -> str | None:
    """Outputs become less redundant with training in 18 of 18 cells. pairs: trained (a) against untrained (b), one row per cell.

    planned: the number of cells, if some of them may have no row.
    Counts only differences that the corrected test finds significant; without a test (too few seeds) it counts none.
    """
    rows = pairs.dropna(subset=["difference"]) if len(pairs) else pairs
    if not len(rows):
        return None
    total = max(planned, len(rows))
    less = rows["significant"] & (rows["difference"] * sign(metric) > 0)
    more = rows["significant"] & (rows["difference"] * sign(metric) < 0)

    def middle(which: pd.Series) -> str:
        percents = rows.loc[which, "percent"]
        if percents.notna().all():
            return f"with a median change in {label(metric)} of {percents.median():+.0f}%"
        return f"with a median change in {label(metric)} of {number(rows.loc[which, 'difference'].median())}"

    n_less, n_more = int(less.sum()), int(more.sum())
    rest = len(rows) - n_less - n_more
    few = int((~rows["significant"] & (rows["n"] < seeds_needed())).sum())
    told = [f"no significant change in {rest - few}"] if rest > few else []
    if few:
        told.append(f"{few} {'has' if few == 1 else 'have'} too few seeds to tell")
    if len(rows) < total:
        told.append(f"no result in {total - len(rows)}")
    unsure = f" ({'; '.join(told)})" if told else ""
    start = f"{capital(who)} become"
    if n_less and not n_more:
        return f"{start} less redundant with training in {share(n_less, total, 'cells')}, {middle(less)}{unsure}."
    if n_more and not n_less:
        return f"{start} more redundant with training in {share(n_more, total, 'cells')}, {middle(more)}{unsure}."
    if n_less:
        return (
            f"{start} less redundant with training in {n_less} of {total} cells and more redundant in {n_more}{unsure}."
        )
    where = "the only cell" if total == 1 else f"any of the {total} cells"
    return f"These seeds cannot show whether {who} become less redundant with training in {where}."


def _activation(e: Evidence) -> Finding | None:
    """Which activation leads, by the main metric of the weights and that of the outputs."""
    told = [verdict(e, metric) for metric in ("effective_rank", "output_correlation") if claims.is_ranked(e, metric)]
    table = "pairs-by-width" if e.sized and not e.others else "pairs"
    figure = "by_width" if e.sized else "effective_rank"
    sentences = [text for text in told if text]
    return Finding(" ".join(sentences), table, figure) if sentences else None


def _contrasts(e: Evidence) -> Finding | None:
    """What the leader pays for its lead, and which network collapses."""
    sentences = [text for text in (price_sentence(e), collapse_sentence(e)) if text]
    return Finding(" ".join(sentences), "first-0", "weights") if sentences else None


def verdict(e: Evidence, metric: str) -> str | None:
    """The leader on a metric, in one short sentence."""
    if e.others:
        return claims.leader_sentence(e, metric)
    leads = claims.leads_by_width(e, metric)
    if not leads:
        return None
    what = capital(label(metric))
    rest = claims.not_ranked(leads)
    sure = {lead.leaders[0] for lead in leads.values() if lead.sure}
    if not any(lead.leaders for lead in leads.values()):
        return f"{what}: {claims.CANNOT_RANK}.{rest}"
    if not sure:
        return f"{what}: no activation leads significantly{' at any width' if e.sized else ''}.{rest}"
    if len(sure) == 1 and all(lead.sure for lead in leads.values()):
        name = next(iter(sure))
        effects = [lead.effect for lead in leads.values()]
        by = next(iter(leads.values())).ahead
        if len(leads) > 1:
            by = (
                f"{number(min(effects))}% to {number(max(effects))}% ahead of the next best"
                if np.isfinite(effects).all()
                else ""
            )
        return f"{what}: {name} leads{' at every width' if len(leads) > 1 else ''}{', ' + by if by else ''}.{rest}"
    start = "no activation leads at every width"
    if claims.leader_changes(e, metric, leads):
        start = "the leader depends on the width"
    elif len(claims.turned(e, metric)):
        start = f"the order of the activations changes with the width, and {start}"
    if len(leads) > claims.MAX_WIDTHS:
        told = "; ".join(claims.by_leader(leads, "{}", UNSURE, UNRANKED))
    else:
        told = words(
            [
                f"{lead.leaders[0] if lead.sure else UNSURE if lead.leaders else UNRANKED} at K = {width}"
                for width, lead in leads.items()
            ]
        )
    return f"{what}: {start} ({told}).{rest}"


def _settings(e: Evidence) -> list[Finding]:
    """The effects of lambda and other settings, one finding each, at most two; or that lambda was not varied."""
    found = []
    metric = next((metric for metric in claims.IN_SHORT if metric in e.metrics), None)
    for factor in list(e.settings)[:2]:
        text = claims.setting_sentence(e, factor, metric) if metric else None
        if text:
            found.append(Finding(text, f"pairs-{factor}", f"by_{factor}"))
    if not any(factor.startswith("lambda") for factor in e.settings) and e.metrics:
        held = [
            f"{column} = {show(e.infomax[column].iloc[0])}"
            for column in ("lambda_tc", "lambda_wr")
            if column in e.infomax
        ]
        if held:
            found.append(
                Finding(f"This study cannot show the effect of lambda, which was fixed: {words(held)}.", "settings")
            )
    return found[:2]


def _baselines(e: Evidence) -> Finding | None:
    texts = claims.baseline_sentences(e) if len(e.baselines) else []
    return Finding(texts[0], "baselines", "baselines") if texts else None


def _ended(e: Evidence) -> Finding | None:
    text = claims.moving_sentence(e)
    return Finding(text, "moving") if text else None


def methods(e: Evidence) -> str:
    """Every choice behind the numbers, as a paragraph for a paper."""
    seeds = sorted(e.infomax["seed"].unique())
    widths = [str(width) for width in sorted(e.infomax["hidden_dim"].unique())]
    finished = int((e.results["status"] == DONE).sum())
    families = e.pairs["family_size"].max() if len(e.pairs) else 0
    drawn = e.pairs["method"].str.contains("draws") if len(e.pairs) else pd.Series([len(seeds) > MAX_EXACT_SEEDS])
    patterns = f"{DRAWS:,} random sign patterns and a fixed seed"
    if not drawn.any():
        patterns = "all sign patterns counted"
    elif len(e.pairs) and (e.pairs["method"] == "sign-flip, exact").any():
        patterns = f"all sign patterns counted up to {MAX_EXACT_SEEDS} seeds, and {patterns} above"
    same = ["seed", "width", *(column for column in ("dataset", "batch_size") if column in e.others)]
    parts = [
        f"{finished} of {len(e.results)} planned trials finished ({counted(e.infomax['activation'].nunique(), 'activation')}, "
        f"K = {words(widths)}, {counted(len(seeds), 'seed')}).",
        f"With the same {words(same)}, all settings share the initial weights and the batches, so settings were compared "
        "seed by seed.",
        "Settings were ranked on the seeds that have results for all of them (complete blocks); a setting with fewer than "
        "half as many seeds as the most complete one was not ranked.",
        "Differences were tested with the two-sided sign-flip test of the studentized mean at 5%, "
        f"with {patterns}, and corrected over the family by a step-down max-T procedure that flips the signs of a seed in all "
        "comparisons at once (Westfall and Young 1993). A family is all comparisons of one kind on one metric"
        + (f" (up to {int(families)})." if families else "."),
        "Intervals of differences are simultaneous 95% intervals over the family, from the same sign patterns; intervals of "
        "means are 95% Student t intervals over seeds, cut off at the limits of the metric's range.",
        "Percent differences are relative to the mean of the setting compared against.",
    ]
    if e.sized:
        parts.append(
            "Before averaging over widths, effective rank, dead units and Gaussian total correlation were divided by K, and "
            "weight redundancy and output correlation by K (K - 1)."
        )
    parts += [
        "The variance ratio was compared by its logarithm, and its means are geometric.",
        "Activations were not ranked by the loss or its terms, because these depend on the range of the outputs.",
        f"Training counts as converged in a cell if, {last_epochs(e.results)}, neither the loss nor any redundancy metric, "
        "averaged over seeds, moved by more than the standard deviation over seeds; the convergence epoch (90% of the loss's "
        "decrease) is given only for such cells.",
    ]
    return " ".join(parts)
