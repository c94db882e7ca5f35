"""Sentences that no single ranking says: what a leader pays for its lead, and which network uses its width least.

From the tables of `evidence` to text; imports neither figures nor the page.
"""

from __future__ import annotations

import pandas as pd

from analysis.claims import is_ranked, leads_by_width
from analysis.evidence import Evidence, level_means
from analysis.metrics import METRICS, label, sign
from analysis.reshape import done
from analysis.schema import activation_order
from analysis.wording import capital, number, words

USE = "ridge_accuracy"
"""How useful the outputs are for something that they were not trained for."""

COLLAPSED = 0.8
"""An effective rank under this share of the next lowest one is worth a sentence."""


def price_sentence(e: Evidence) -> str | None:
    """Which activations are more useful than the one that leads on a main metric, at every width where it leads.

    Only where the corrected tests find both. None for a study with other settings, or if no leader pays for its lead.
    """
    if e.others or not is_ranked(e, USE):
        return None
    led: dict[str, dict[str, list[int]]] = {}
    for metric in (name for name in e.metrics if METRICS[name].headline and is_ranked(e, name)):
        for width, lead in leads_by_width(e, metric).items():
            if lead.sure:
                led.setdefault(lead.leaders[0], {}).setdefault(metric, []).append(width)
    every = set(e.infomax["hidden_dim"])
    told = []
    for name, by_metric in led.items():
        widths = sorted({width for found in by_metric.values() for width in found})
        better = set.intersection(*(_better(e, USE, name, width) for width in widths))
        if better:
            at = "at every width" if set(widths) == every else f"at K = {words([str(width) for width in widths])}"
            told.append(
                f"where {name} leads on {' or '.join(label(metric) for metric in by_metric)}{f' ({at})' if e.sized else ''}, its "
                f"{label(USE)} is significantly lower than that of {words(activation_order(better))}"
            )
    return capital("; ".join(told)) + "." if told else None


def collapse_sentence(e: Evidence) -> str | None:
    """The network that uses the least of its width, if its effective rank is far and significantly below all others'."""
    metric = "effective_rank"
    if e.others or not is_ranked(e, metric):
        return None
    rows = done(e.infomax)
    lowest: tuple[float, str] | None = None
    for width in sorted(rows["hidden_dim"].unique()):
        means = level_means(rows[rows["hidden_dim"] == width], metric, units=int(width)).query("ranked")
        means = means.dropna(subset=["mean"]).sort_values("mean")
        if len(means) < 3:
            continue
        name, mean = str(means["activation"].iloc[0]), float(means["mean"].iloc[0])
        rest = means.iloc[1:]
        share = mean / float(rest["mean"].iloc[0])
        if share < COLLAPSED and set(rest["activation"]) <= _better(e, metric, name, int(width)):
            low, high = number(rest["mean"].min()), number(rest["mean"].max())
            text = (
                f"{capital(name)} collapses at K = {width}: its {label(metric)} is {number(mean)}, that of the other "
                f"activations {low} to {high}."
            )
            lowest = min(lowest or (share, text), (share, text))
    return lowest[1] if lowest else None


def _better(e: Evidence, metric: str, name: str, width: int) -> set[str]:
    """The activations that are significantly better than this one at a width."""
    pairs = e.by_width[e.by_width["hidden_dim"] == width] if e.sized and len(e.by_width) else e.pooled
    if not len(pairs):
        return set()
    pairs = pairs[(pairs["metric"] == metric) & pairs["significant"]]
    gain = sign(metric) * pairs["difference"]
    found = pd.concat([pairs["a"][(pairs["b"] == name) & (gain > 0)], pairs["b"][(pairs["a"] == name) & (gain < 0)]])
    return set(found.astype(str))
