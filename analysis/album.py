"""Which figures a study gets, under which file names, with the words that say what each shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis import plots, plots_overview, plots_weights
from analysis.evidence import Evidence, level_means
from analysis.findings import number, words
from analysis.schema import LOSS_TERMS, METRICS, activation_order, label
from analysis.stats import average_ranks, seed_blocks
from analysis.study import Study
from analysis.tables import done, varying

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH_METRICS = ("effective_rank", "weight_redundancy", "dead_units", "output_correlation", "gaussian_total_correlation",
                 "variance_ratio")  # fmt: skip
ARROWS = "An arrow after a metric points to its better side."


@dataclass(frozen=True)
class Drawing:
    """A figure to be made: file name without ending, title, alt text, how to read it, and how to draw it."""

    name: str
    title: str
    alt: str
    caption: str
    draw: Callable[[], Figure]


def album(study: Study, e: Evidence) -> Iterator[Drawing]:
    """The figures this study allows; what it lacks makes a shorter album, never an error."""
    rows = done(e.infomax)
    if rows.empty:
        return
    has = set(e.metrics)
    if "effective_rank" in has:
        yield Drawing(
            "effective_rank", "Effective rank over seeds",
            f"Box plots of effective rank with every seed as a point. {_means(e, 'effective_rank')}",
            "Each point is a finished trial. Box: quartiles and median; whiskers: the last point within 1.5 box lengths.",
            lambda: plots.metric_box(e.infomax, "effective_rank"),
        )  # fmt: skip
    if {"weight_redundancy", "dead_units"} <= has:
        yield Drawing(
            "redundancy_vs_dead", "Weight redundancy against dead units",
            "Scatter plot of weight redundancy against dead units, a point a trial. "
            f"{_means(e, 'weight_redundancy')} {_means(e, 'dead_units')}",
            "Best is the lower left corner. Dead units are whole numbers: activations are set side by side within each.",
            lambda: plots.redundancy_vs_dead(e.infomax),
        )  # fmt: skip
    yield from _before_and_after(e)
    if len(e.baselines):
        yield Drawing(
            "baselines", "InfoMax and the baselines", "Box plots of effective rank by objective, with every seed as a point.",
            "Each point is a finished trial; all activations together.",
            lambda: plots.metric_box(e.baseline_rows.assign(activation="all", objective=e.baseline_rows["setting"]),
                                     "effective_rank"),
        )  # fmt: skip
    if e.infomax["hidden_dim"].nunique() > 1 and (shown := [m for m in WIDTH_METRICS if m in has]):
        yield Drawing(
            "by_width", "Metrics against width",
            f"Line charts of {words([label(m) for m in shown])} against the number of units, a line an activation.",
            f"Mean over seeds; the band is its 95% interval. {ARROWS}",
            lambda: plots.metric_against(e.infomax, shown, "hidden_dim"),
        )  # fmt: skip
    if heat := [m for m in ("effective_rank", "output_correlation") if m in has]:
        yield Drawing(
            "heatmaps", "Effective rank and output correlation by activation and width",
            f"Heatmaps of {words([label(m) for m in heat])}. {_means(e, heat[0])}",
            "Mean over seeds. Brighter is larger, whichever direction is better.",
            lambda: plots_overview.heatmaps(e.infomax, heat),
        )  # fmt: skip
    yield from _ranks(e)
    yield from _settings(e, has)
    trade = plots_overview.trade_off_metrics(e.infomax)
    if len(trade) > 1:
        yield Drawing(
            "trade_offs", "Trade-offs between metrics",
            f"Matrix of scatter plots of {words([label(m) for m in trade])}, with their rank correlations.",
            "Below the diagonal: a point is a cell's mean over seeds, larger for wider networks. Above: correlation of the "
            "trials' ranks within their width; red: both rise together, blue: one rises as the other falls.",
            lambda: plots_overview.trade_off_matrix(e.infomax, trade),
        )  # fmt: skip
    for metric, name, title in (("convergence_epoch", "convergence", "Speed of convergence"),
                                ("loss", "loss_spread", "Final loss over seeds")):  # fmt: skip
        if metric in has:
            yield Drawing(
                name, title, f"Box plots of {label(metric)} with every seed as a point. {_means(e, metric)}",
                "Each point is a finished trial. Compare losses within a panel only: they grow with the number of units.",
                lambda metric=metric: plots.metric_box(e.infomax, metric),
            )  # fmt: skip
    yield from _curves(study, e)
    yield from _weights(study, rows)


def _before_and_after(e: Evidence) -> Iterator[Drawing]:
    shown = [m for m in ("effective_rank", "weight_redundancy", "output_correlation") if m in e.stages]
    if len(e.stages) and shown:
        yield Drawing(
            "trained_vs_untrained", "Before and after training",
            f"Mean {words([label(m) for m in shown])} before training (open marker) and after (filled), by activation.",
            f"The line joins an activation's mean at epoch 0 to its mean at the end. {ARROWS}",
            lambda: plots.before_and_after(e.stages, shown),
        )  # fmt: skip


def _ranks(e: Evidence) -> Iterator[Drawing]:
    # With other settings varying there is no one ranking of the activations.
    if e.others or e.infomax["activation"].nunique() < 3:
        return
    for metric, name in (("effective_rank", "ranks"), ("output_correlation", "ranks_output_correlation")):
        if metric not in e.metrics:
            continue
        ranks, p = average_ranks(e.averaged, metric)
        if ranks.empty:
            continue
        n = int(seed_blocks(e.averaged, metric, "activation", []).dropna(axis=1, how="all").dropna().shape[0])
        told = ", ".join(f"{level} {rank:.2g}" for level, rank in ranks.items())
        yield Drawing(
            name, f"Average ranks by {label(metric)}",
            f"Critical-difference diagram of {label(metric)}. Average ranks: {told}.",
            f"Rank 1 is best ({METRICS[metric].better} {label(metric)}), over {n} seeds, mean over widths. A bar joins "
            "activations that Nemenyi's test (5%) does not tell apart.",
            lambda ranks=ranks, p=p, metric=metric, n=n: plots_overview.critical_difference(ranks, p, label(metric), n),
        )  # fmt: skip


def _settings(e: Evidence, has: set[str]) -> Iterator[Drawing]:
    shown = [m for m in WIDTH_METRICS if m in has]
    for factor in e.settings:
        numeric = pd.api.types.is_numeric_dtype(e.infomax[factor])
        if numeric and shown:
            yield Drawing(
                f"by_{factor}", f"Metrics against {factor}",
                f"Line charts of {words([label(m) for m in shown])} against {factor}, a line an activation.",
                f"Mean over seeds (each seed first averaged over all other settings); the band is its 95% interval. {ARROWS}",
                lambda factor=factor: plots.metric_against(e.infomax, shown, factor),
            )  # fmt: skip
        elif "effective_rank" in has:
            yield Drawing(
                f"by_{factor}", f"Effective rank by {factor}",
                f"Box plots of effective rank by {factor}, with every seed as a point.",
                "Each point is a finished trial.",
                lambda factor=factor: plots.metric_box(e.infomax, "effective_rank", factor),
            )  # fmt: skip


def _curves(study: Study, e: Evidence) -> Iterator[Drawing]:
    history = study.history
    if history is None or not any(term in history for term in LOSS_TERMS[:3]):
        return
    # Finished trials only: a median over seeds that stop one by one would jump.
    trained = done(e.infomax)
    trained = trained[trained["trial_id"].isin(history.loc[history["epoch"] > 0, "trial_id"])]
    for name in activation_order(trained["activation"]):
        last = trained.loc[trained["activation"] == name, "loss"] if "loss" in trained else pd.Series(dtype=float)
        ends = f" Median final loss {number(last.median())}." if last.notna().any() else ""
        yield Drawing(
            f"training_curves_{name}", f"Training curves: {name}",
            f"Loss, entropy and tc over the epochs for {name}, seeds as thin lines, their median bold.{ends}",
            "Thin: one finished trial; bold: their median. Over 60 seeds in a panel, the band holds the middle 90% instead.",
            lambda name=name: plots.training_curves(trained, history, name),
        )  # fmt: skip


def _weights(study: Study, rows: pd.DataFrame) -> Iterator[Drawing]:
    """The first seed of the narrowest network of each activation, at the first value of every other setting."""
    first = rows[rows["hidden_dim"] == rows["hidden_dim"].min()]
    for column in varying(first, but=("activation", "hidden_dim")):
        first = first[first[column] == first[column].min()]
    found = {}
    for name, trials in first.sort_values("seed").groupby("activation"):
        # The first that left a file: weights are optional.
        for trial in trials["trial_id"].head(3):
            if (weights := study.load_weights(trial)) is not None:
                found[str(name)] = weights
                break
    kinds = {name: plots_weights.drawable(weight) for name, (weight, _) in found.items()}
    k = int(rows["hidden_dim"].min())
    for kind, name, title, caption, draw in (
        ("tiles", "weights", "Learned weights", "Red is positive, blue negative; the scale is written at each row.",
         plots_weights.weight_gallery),
        ("lines", "weight_lines", "Learned weights as lines over the clusters",
         "Each line is where a unit's pre-activation is 0, its arrow points to the positive side; the discs are one and two "
         "standard deviations of the clusters.", plots_weights.weight_lines),
    ):  # fmt: skip
        names = activation_order(name for name, found_kind in kinds.items() if found_kind == kind)
        if names:
            yield Drawing(
                name, title, f"{title} of one network with K = {k} for {words(names)}.",
                f"The narrowest network (K = {k}) of the first seed that kept its weights, up to 16 units. {caption}"
                if kind == "tiles" else f"The narrowest network (K = {k}) of the first seed that kept its weights. {caption}",
                lambda names=names, draw=draw: draw({name: found[name] for name in names}),
            )  # fmt: skip


def _means(e: Evidence, metric: str) -> str:
    if metric not in e.averaged or e.others:
        return ""
    means = level_means(e.averaged, metric)
    told = [f"{a} {number(m)}" for a, m in zip(means["activation"], means["mean"], strict=True) if np.isfinite(m)]
    return f"Mean {label(metric)} over widths and seeds: {', '.join(told)}." if told else ""
