"""The figures of a study: the file name of each, its place on the page, and the text that says what it shows.

A new figure is one function here, in addition to the one that draws it in `plots*`. Imports plots, statistics and words;
`run` makes the files, `sections` lays out the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis import plots, plots_comparison, plots_training, plots_weights
from analysis.equivalence import MARGIN
from analysis.evidence import Evidence, level_means
from analysis.load import Weights
from analysis.metrics import METRICS, REDUNDANCY_METRICS, label, sign
from analysis.report import SectionId, section_of_setting
from analysis.reshape import as_tuple, cell_columns, done, varying
from analysis.schema import OTHER_OUTPUTS, activation_order
from analysis.wording import capital, counted, number, show, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARROWS = "The arrow after a metric shows which direction is better."
BOXES = "Each point is a finished trial. Boxes: quartiles and median; whiskers: the last point within 1.5 box lengths."
INCOMPLETE = (
    "Open marker: some seeds are excluded because they lost a trial; cross at the bottom: all seeds are excluded."
)


@dataclass(frozen=True)
class Drawing:
    """A figure to draw.

    name: of its file, without extension. section: of the page. title, alt text, caption (how to read it). draw: draws it.
    folded: shown only when opened, after the section's tables. metric: the figure's metric, if every metric has such a
    figure: the page shows the one that the reader picks.
    """

    name: str
    section: SectionId
    title: str
    alt: str
    caption: str
    draw: Callable[[], Figure]
    folded: bool = False
    metric: str | None = None


def album(e: Evidence) -> Iterator[Drawing]:
    """The figures this study allows, in page order; missing data makes a shorter album, never an error."""
    if done(e.infomax).empty:
        return
    for figures in ALBUM:
        yield from figures(e)


def _baselines(e: Evidence) -> Iterator[Drawing]:
    if len(e.baselines):
        rows = e.baseline_rows.assign(activation="all", objective=e.baseline_rows["setting"])
        yield Drawing(
            "baselines",
            "redundancy",
            "InfoMax and the baselines",
            "Box plots of effective rank by objective, with every seed as a point.",
            f"{BOXES} All activations are pooled.",
            lambda: plots.metric_box(rows, "effective_rank", "objective"),
        )


@dataclass(frozen=True)
class _Apart:
    """The trials that a figure may average. rows: of InfoMax. suffix: of the figure's name. where: ends its title."""

    rows: pd.DataFrame
    suffix: str = ""
    where: str = ""


def _apart(e: Evidence, factor: str = "") -> list[_Apart]:
    """One for each data set, head and the like that varies: their numbers have nothing in common. factor: not by this one."""
    columns = [column for column in OTHER_OUTPUTS if column in e.others and column != factor]
    if not columns:
        return [_Apart(e.infomax)]
    made = []
    for key, rows in e.infomax.groupby(columns, dropna=False):
        told = [f"{column} = {show(value)}" for column, value in zip(columns, as_tuple(key), strict=True)]
        made.append(_Apart(rows, "".join(f"_{show(value)}" for value in as_tuple(key)), f" ({', '.join(told)})"))
    return [one for one in made if len(done(one.rows))]


def _weights(e: Evidence) -> Iterator[Drawing]:
    for one in _apart(e):
        yield from _weights_of(e, one)


def _weights_of(e: Evidence, one: _Apart) -> Iterator[Drawing]:
    """One seed of each activation at up to three widths, at the first value of every other setting."""
    rows = done(one.rows)
    every = sorted(rows["hidden_dim"].unique())
    widths = [every[i] for i in sorted({0, len(every) // 2, len(every) - 1})]
    first = rows[rows["hidden_dim"].isin(widths)]
    for column in varying(first, but=("activation", "hidden_dim")):
        first = first[first[column] == first[column].min()]
    found: dict[str, dict[int, Weights]] = {}
    for (name, width), trials in first.sort_values("seed").groupby(["activation", "hidden_dim"]):
        # The first with a weight file: weights are optional.
        for trial in trials["trial_id"].head(3):
            weights = e.study.load_weights(trial)
            if weights is not None:
                found.setdefault(str(name), {})[int(str(width))] = weights
                break
    kinds = {plots_weights.drawable(weight) for cells in found.values() for weight, _ in cells.values()}
    which = "The first seed with saved weights"
    if "tiles" in kinds:
        title = f"Learned weights{one.where}"
        yield Drawing(
            f"weights{one.suffix}",
            "redundancy",
            title,
            f"{title} of one seed for {words(activation_order(found))}, at {words([f'K = {width}' for width in widths])}.",
            f"{which}: the units that are most like another unit come first. Red is positive, blue is negative, on a scale of "
            "each network's own.",
            lambda: plots_weights.weight_gallery(found),
        )
    if "lines" in kinds:
        narrowest = {name: cells[min(cells)] for name, cells in found.items()}
        k = min(widths)
        dataset = str(first["dataset"].iloc[0]) if "dataset" in first else ""
        clusters = plots_weights.clusters_of(dataset).centers
        title = "Learned weights as lines" + (" over the clusters" if clusters else "") + one.where
        yield Drawing(
            f"weight_lines{one.suffix}",
            "redundancy",
            title,
            f"{title} of one network with K = {k} for {words(activation_order(narrowest))}.",
            f"{which}, at K = {k}. Each line is where a unit's pre-activation is 0; its arrow points to the positive side."
            + (" The discs show one and two standard deviations of the clusters." if clusters else ""),
            lambda: plots_weights.weight_lines(narrowest, dataset),
        )


def _effective_rank(e: Evidence) -> Iterator[Drawing]:
    if "effective_rank" in e.metrics:
        yield Drawing(
            "effective_rank",
            "activation",
            "Effective rank over seeds",
            f"Box plots of effective rank with every seed as a point. {_means(e, 'effective_rank')}",
            f"{BOXES} {capital(_seeds(e))}.",
            lambda: plots.metric_box(e.infomax, "effective_rank"),
        )


def _forest(e: Evidence) -> Iterator[Drawing]:
    """The activations against one reference, by the main metrics."""
    pairs = e.by_width
    if not len(pairs) and len(e.pooled):
        pairs = e.pooled.assign(hidden_dim=e.infomax["hidden_dim"].iloc[0])
    shown = [metric for metric in _ranked(e) if METRICS[metric].headline]
    if not len(pairs) or not shown:
        return
    reference = plots_comparison.reference_activation(e.infomax["activation"])
    rows = plots_comparison.relative(plots_comparison.against(pairs[pairs["metric"].isin(shown)], reference))
    if rows.empty:
        return
    told = []
    for metric, of_metric in rows.groupby("metric", sort=False):
        by_level = of_metric.groupby("level", sort=False)["significant"].agg(["sum", "count"])
        counts = ", ".join(f"{level} in {row['sum']} of {row['count']}" for level, row in by_level.iterrows())
        told.append(f"{label(str(metric))}: {counts}")
    holds = f"holds for all {int(rows['family_size'].max())} pairs of a metric at once"
    if not rows["simultaneous"].all():
        holds = "holds for that pair alone, because there are too few seeds for an interval that holds for all pairs at once"
    yield Drawing(
        "forest",
        "activation",
        f"Each activation relative to {reference}",
        f"Forest plot of {_labels(shown)} relative to {reference}. Significantly different: {'; '.join(told)}.",
        f"Mean difference from {reference}, seed by seed ({_n_of(rows)}), as a multiple of {reference}'s mean, with a 95% "
        f"interval that {holds}. Filled: significantly different; open: not. The gray band is {MARGIN:g}% around {reference}: "
        f"activations whose interval lies inside it are the same for most purposes. No interval is drawn below 0.001. {ARROWS}",
        lambda: plots_comparison.forest(pairs, shown, reference),
    )


def _trajectories(e: Evidence) -> Iterator[Drawing]:
    """For each metric, its course over the epochs."""
    history = e.study.history
    if history is None:
        return
    finished = set(done(e.infomax)["trial_id"])
    found = history[history["trial_id"].isin(finished) & (history["epoch"] > 0)]
    for metric in _redundancy(e):
        drawn = METRICS[metric].headline or METRICS[metric].integer  # the course of the others is in TensorBoard
        if not drawn or metric not in found or found[metric].nunique() < 2:
            continue
        yield Drawing(
            f"epochs_{metric}",
            "activation",
            f"{capital(label(metric))} over the epochs",
            f"Line charts of {label(metric)} against the epoch, one line per activation. {_means(e, metric)}",
            f"Mean over {_seeds(e)}; the band is its 95% interval at each epoch. Epoch 0 is before training.",
            lambda metric=metric: plots_training.metric_over_epochs(e.infomax, history, metric),
            metric=metric,
        )


def _by_width(e: Evidence) -> Iterator[Drawing]:
    shown = _redundancy(e)
    for one in _apart(e) if shown and e.sized else []:
        yield Drawing(
            f"by_width{one.suffix}",
            "activation",
            f"Metrics against width{one.where}",
            f"Line charts of {_labels(shown)} against the number of units, one line per activation.",
            f"Mean over {_seeds(e)}; the band is its 95% interval. {INCOMPLETE} {ARROWS}",
            lambda rows=one.rows: plots.metric_against(rows, shown, "hidden_dim"),
        )


def _redundancy_vs_dead(e: Evidence) -> Iterator[Drawing]:
    if "weight_redundancy" in e.metrics and "dead_units" in _redundancy(e):
        yield Drawing(
            "redundancy_vs_dead",
            "activation",
            "Weight redundancy against dead units",
            "Scatter plot of weight redundancy against dead units, one point per trial. "
            f"{_means(e, 'weight_redundancy')} {_means(e, 'dead_units')}",
            f"Each point is a finished trial; {_seeds(e)}. The lower left corner is best. Dead units are whole numbers: for each "
            "number, the activations are drawn side by side.",
            lambda: plots.redundancy_vs_dead(e.infomax),
        )


def _curves(e: Evidence) -> Iterator[Drawing]:
    history = e.study.history
    if history is None or not any(term in history for term in plots_training.CURVES):
        return
    # Finished trials only: a median over seeds that stop one after another would jump.
    trained = done(e.infomax)
    trained = trained[trained["trial_id"].isin(history.loc[history["epoch"] > 0, "trial_id"])]
    for name in activation_order(trained["activation"]):
        last = trained.loc[trained["activation"] == name, "loss"] if "loss" in trained else pd.Series(dtype=float)
        one = not e.sized and not e.others  # losses of other widths or lambdas are other quantities
        ends = f" Median final loss {number(last.median())}." if one and last.notna().any() else ""
        yield Drawing(
            f"training_curves_{name}",
            "activation",
            f"Training curves: {name}",
            f"Loss and tc over the epochs for {name}, with colored lines for seeds and a dark line for their median.{ends}",
            f"Colored lines: finished trials; dark line: their median; {_seeds(e)}. With more than 60 seeds in a panel, "
            "a band shows the middle 90% instead of lines.",
            lambda name=name: plots_training.training_curves(trained, history, name),
            folded=True,
        )


def _settings(e: Evidence) -> Iterator[Drawing]:
    shown = _redundancy(e)
    for factor in e.settings:
        numeric = pd.api.types.is_numeric_dtype(e.infomax[factor])
        for one in _apart(e, factor) if shown and numeric else []:
            per = " Before averaging over widths, metrics that grow with the width are divided by K or K (K - 1)."
            yield Drawing(
                f"by_{factor}{one.suffix}",
                section_of_setting(factor),
                f"Metrics against {factor}{one.where}",
                f"Line charts of {_labels(shown)} against {factor}, one line per activation.",
                f"Mean over {_seeds(e)}, each averaged first over all other settings; the band is its 95% interval."
                f"{per if e.sized else ''} {INCOMPLETE} {ARROWS}",
                lambda rows=one.rows, factor=factor: plots.metric_against(rows, shown, factor, per_size=e.sized),
            )
        if not numeric and "effective_rank" in e.metrics:
            yield Drawing(
                f"by_{factor}",
                section_of_setting(factor),
                f"Effective rank by {factor}",
                f"Box plots of effective rank by {factor}, with every seed as a point.",
                f"{BOXES} {capital(_seeds(e))}.",
                lambda factor=factor: plots.metric_box(e.infomax, "effective_rank", factor),
            )
        costs = [metric for metric in ("entropy", "effective_rank") if metric in e.metrics]
        pareto = factor.startswith("lambda") and numeric and "tc" in e.metrics and costs
        for one in _apart(e, factor) if pareto else []:
            yield Drawing(
                f"pareto_{factor}{one.suffix}",
                section_of_setting(factor),
                f"The cost of decorrelation as {factor} grows{one.where}",
                f"Line charts of {_labels(costs)} against the decorrelation term tc, one line per activation, one point per "
                f"{factor}.",
                f"Pareto curve: each point is one {factor}, labeled with its value; mean over {_seeds(e)} with 95% intervals, "
                "tc on a logarithmic axis. Points farther left are less correlated. Compare entropy only within an activation: "
                "it depends on the range of the outputs. Open marker: some seeds are missing.",
                lambda rows=one.rows, factor=factor, costs=costs: plots.pareto(rows, factor, "tc", costs),
            )


ALBUM = (
    _baselines,
    _weights,
    _forest,
    _trajectories,
    _effective_rank,
    _by_width,
    _redundancy_vs_dead,
    _curves,
    _settings,
)
"""In their order within the sections."""


def _ranked(e: Evidence) -> list[str]:
    """The metrics that have figures of their own."""
    return [metric for metric in e.metrics if sign(metric) and METRICS[metric].ranked]


def _seeds(e: Evidence) -> str:
    """n, for the captions: the number of seeds per cell."""
    finished = done(e.infomax)
    cell = cell_columns(e.infomax)
    n = finished.groupby(cell, dropna=False)["seed"].nunique()
    lost = len(n) < len(e.infomax[cell].drop_duplicates())
    least, most = 0 if lost else int(n.min()), int(n.max())
    return f"{counted(most, 'seed')} per cell" if least == most else f"{least} to {most} seeds per cell"


def _n_of(pairs: pd.DataFrame) -> str:
    least, most = int(pairs["n"].min()), int(pairs["n"].max())
    return f"n = {most}" if least == most else f"n = {least} to {most}"


def _redundancy(e: Evidence) -> list[str]:
    """The main metrics that differ anywhere: one that is the same in every trial has nothing to draw."""
    rows = done(e.infomax)
    return [metric for metric in REDUNDANCY_METRICS if metric in e.metrics and rows[metric].nunique() > 1]


def _labels(metrics: list[str]) -> str:
    return words([label(metric) for metric in metrics])


def _means(e: Evidence, metric: str) -> str:
    if metric not in e.averaged or e.others:
        return ""
    means = level_means(e.averaged, metric).set_index("activation")["mean"]
    told = [f"{name} {number(mean)}" for name, mean in means.items() if np.isfinite(mean)]
    return f"Mean {label(metric, per_size=e.sized)} over widths and seeds: {', '.join(told)}." if told else ""
