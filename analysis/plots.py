"""Figures of final results: a metric over seeds, against width or another setting, two metrics together.

Each function takes DataFrames and returns a matplotlib Figure; none reads a file or touches pyplot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.metrics import label
from analysis.panels import (
    arrow,
    axis_label,
    grid_of,
    grows_in_factors,
    main_factor,
    matrix_of,
    panels_of,
    positions,
    scale,
    ticks_apart,
)
from analysis.reshape import done, points
from analysis.schema import activation_order
from analysis.stats import levels_of
from analysis.style import (
    INK,
    MUTED,
    PAPER,
    color,
    empty_figure,
    hover,
    legend_of,
    marker,
    round_ticks,
    styled,
)
from analysis.wording import number, show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY_SEEDS = 60
"""If there are more points than this, they are drawn small and pale behind the box; otherwise they would hide it."""

MAX_POINTS = 400
"""If a panel has more points than this, they are drawn as pixels; otherwise the file would be large."""


@styled
def metric_box(results: pd.DataFrame, metric: str = "effective_rank", factor: str | None = None) -> Figure:
    """Box plot of a metric with every seed as a point, one panel per width (and other setting).

    factor: what is drawn side by side, by default the activation (or another varying setting if there is only one
    activation). Box: quartiles and median; whiskers: the last point within 1.5 interquartile ranges. Finished trials only.
    """
    rows = done(results).dropna(subset=[metric])
    if rows.empty:
        return empty_figure(f"no finished trial has a value for {label(metric)}")
    factor = factor or main_factor(results)
    panels = panels_of(rows, factor)
    levels = levels_of(rows, factor)[::-1]
    figure, grid = grid_of(len(panels), 0.75 + 0.3 * len(levels), sharey=True, extra=0.35)
    for axes, (title, panel) in zip(grid.flat, panels, strict=False):
        for y, level in enumerate(levels):
            _box(axes, panel[panel[factor] == level], metric, y, color(level, factor), marker(level, factor))
        axes.set_yticks(range(len(levels)), [show(level) for level in levels])
        axes.set_ylim(-0.6, len(levels) - 0.4)
        axes.grid(axis="y", visible=False)
        axes.set_title(fill(title, 30))
        scale(axes, "x", metric, rows[metric])
    figure.supxlabel(axis_label(metric), fontsize=9)
    return figure


@styled
def redundancy_vs_dead(results: pd.DataFrame) -> Figure:
    """Scatter plot of weight redundancy against dead units, one point per finished trial, one panel per width.

    For each number of dead units, the activations are drawn side by side, which keeps all points visible even if no unit
    is dead.
    """
    rows = done(results).dropna(subset=["weight_redundancy", "dead_units"])
    if rows.empty:
        return empty_figure("no finished trial has both weight redundancy and dead units")
    factor = main_factor(results)
    panels = panels_of(rows, factor)
    figure, grid = grid_of(len(panels), 2.9)
    levels = levels_of(rows, factor)
    offset = {level: 0.76 * (i + 0.5) / len(levels) - 0.38 for i, level in enumerate(levels)}
    for axes, (title, panel) in zip(grid.flat, panels, strict=False):
        for level in levels:
            trials = panel[panel[factor] == level]
            drawn = axes.scatter(
                trials["dead_units"] + offset[level],
                trials["weight_redundancy"],
                s=26,
                color=color(level, factor),
                marker=marker(level, factor),
                edgecolors=PAPER,
                linewidths=0.5,
                label=show(level),
                rasterized=len(panel) > MAX_POINTS,
            )
            if len(panel) <= MAX_POINTS:
                hover(drawn, trial_words(trials, "weight_redundancy"))
        axes.set_title(fill(title, 30))
        axes.set_xlabel(axis_label("dead_units"))
        axes.set_xlim(-0.5, float(panel["dead_units"].max()) + 0.5)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        scale(axes, "y", "weight_redundancy", panel["weight_redundancy"], log=True)
    for row in grid:
        # In two lines: the panels are low, and a label longer than its axis would be cut off.
        row[0].set_ylabel(axis_label("weight_redundancy").replace(" (", "\n("))
    legend_of(figure, grid.flat[0])
    return figure


@styled
def metric_against(
    results: pd.DataFrame, metrics: Sequence[str], x: str = "hidden_dim", *, per_size: bool = False
) -> Figure:
    """Mean of each metric against a numeric setting, with the 95% t interval over seeds as a band, by activation.

    x: the column of that setting. If other settings vary too, the lines average over them, within each seed first. A seed
    that lacks any of them (because a trial diverged, for example) is excluded at that value of x: its remaining trials are
    a different mixture. A point that lacks seeds is open; if no seed is complete, there is a cross at the bottom and a gap
    in the line. per_size: draw each metric divided by what it grows with, which a mean over widths needs.
    """
    values = sorted(results[x].dropna().unique())
    if len(values) < 2 or done(results).empty:
        return empty_figure(f"{x} has only one value" if len(values) < 2 else "no trial has finished")
    places, log = positions(values, x)
    ticks = ticks_apart(list(places.values()), values, log)
    figure, grid = grid_of(len(metrics), 2.6)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        found = points(results, metric, x, sized=per_size)
        # An activation without the metric everywhere does not have that metric, and has lost nothing.
        there = found[found["n"] > 0]["activation"].unique()
        for name in activation_order(there):
            _line(axes, found[found["activation"] == name], places, x, name)
        if log:
            axes.set_xscale("log", base=2 if x == "hidden_dim" else 10)
        axes.minorticks_off()
        axes.set_xticks([places[value] for value in ticks], [show(value) for value in ticks])
        axes.set_title(label(metric, per_size=per_size) + arrow(metric))
        axes.set_xlabel("units (K)" if x == "hidden_dim" else x)
        scale(axes, "y", metric, found["mean"], log=grows_in_factors(metric))
    legend_of(figure, grid.flat[0])
    return figure


def _line(axes: Axes, found: pd.DataFrame, places: Mapping[Any, float], x: str, name: str) -> None:
    """One activation's line, band and marks. found: its rows of `reshape.points`."""
    at = found[x].map(places).to_numpy(float)
    mean, whole = found["mean"].to_numpy(), found["complete"].to_numpy(bool)
    tint = color(name)
    axes.plot(at, mean, color=tint, marker=marker(name), ms=4.5, mec=PAPER, mew=0.5, label=name)
    axes.fill_between(at, found["ci_low"], found["ci_high"], color=tint, alpha=0.22, linewidth=0)
    lacking, gone = ~whole & ~np.isnan(mean), np.isnan(mean)
    # Without any, not even an empty line: the layout could not find its box.
    if lacking.any():
        axes.plot(at[lacking], mean[lacking], linestyle="none", marker=marker(name), ms=6, mfc=PAPER, mec=tint, mew=1.4)
    if gone.any():
        foot = axes.get_xaxis_transform()
        axes.plot(at[gone], [0.03] * gone.sum(), linestyle="none", marker="x", ms=6, mec=tint, mew=1.6, transform=foot)


@styled
def pareto(
    results: pd.DataFrame, factor: str, x: str = "tc", y: Sequence[str] = ("entropy", "effective_rank")
) -> Figure:
    """What one term of the loss costs the other: x against each y as a lambda grows, by activation, one column per width.

    A point is the mean over the seeds that have every trial; its lines are the 95% t intervals. The points of an activation
    are joined in the order of lambda and labeled with its value. A point that lacks seeds is open.
    """
    rows = done(results)
    every = sorted(rows["hidden_dim"].unique())
    widths = [every[i] for i in np.linspace(0, len(every) - 1, min(len(every), 4)).round().astype(int)]
    size = (9.5 if len(widths) > 1 else 6.5, 2.9)
    figure, grid, fit = matrix_of(len(y), len(widths), size, sharex="col")
    for column, width in zip(grid.T, widths, strict=True):
        part = results[results["hidden_dim"] == width]
        across = points(part, x, factor)
        for axes, metric in zip(column, y, strict=True):
            both = across.merge(points(part, metric, factor), on=["activation", factor], suffixes=("_x", "_y"))
            for name in activation_order(both["activation"]):
                _pareto_line(axes, both[both["activation"] == name], name, factor)
            scale(axes, "x", x, across["mean"], log=True)
            round_ticks(axes.yaxis, 5)
            axes.margins(0.12)
        stacked = fit < len(widths)
        for axes in column if stacked else column[:1]:
            axes.set_title(f"K = {width}")
        for axes in column if stacked else column[-1:]:
            axes.set_xlabel(axis_label(x))
    for row, metric in zip(grid, y, strict=True):
        for axes in row[::fit]:
            axes.set_ylabel(axis_label(metric).replace(" (", "\n("))
    if len(widths) < len(every):
        figure.supxlabel(f"{len(widths)} of {len(every)} widths", fontsize=8.5)
    legend_of(figure, grid.flat[0])
    return figure


def _pareto_line(axes: Axes, both: pd.DataFrame, name: str, factor: str) -> None:
    """both: one activation's rows of `reshape.points` of the metric across (_x) and the metric up (_y)."""
    tint, mark = color(name), marker(name)
    both = both[both["mean_x"].notna() & both["mean_y"].notna()]
    x, y = both["mean_x"], both["mean_y"]
    axes.plot(x, y, color=tint, marker=mark, ms=5, mec=PAPER, mew=0.5, label=name)
    axes.hlines(y, both["ci_low_x"], both["ci_high_x"], color=tint, linewidth=0.9)
    axes.vlines(x, both["ci_low_y"], both["ci_high_y"], color=tint, linewidth=0.9)
    lacking = ~(both["complete_x"] & both["complete_y"])
    if lacking.any():
        axes.plot(x[lacking], y[lacking], linestyle="none", marker=mark, ms=6.5, mfc=PAPER, mec=tint, mew=1.4)
    for place in zip(both[factor], x, y, strict=True):
        axes.annotate(show(place[0]), place[1:], xytext=(4, 4), textcoords="offset points", fontsize=6.5, color=MUTED)


def trial_words(rows: pd.DataFrame, metric: str) -> list[str]:
    """The hover text of each trial's point: its id and its value."""
    pairs = zip(rows["trial_id"], rows[metric], strict=True)
    return [f"{trial}: {label(metric)} {number(value)}" for trial, value in pairs]


def _box(axes: Axes, rows: pd.DataFrame, metric: str, y: float, tint: str, mark: str) -> None:
    rows = rows.drop_duplicates("trial_id")  # a baseline has a row for every level of a setting that it ignores
    values = rows[metric].to_numpy(float)
    if len(values) == 0:
        axes.text(0.02, y, "no value", transform=axes.get_yaxis_transform(), va="center", fontsize=7.5, color=MUTED)
        return
    line = {"color": tint, "linewidth": 1.1}
    axes.boxplot(
        values,
        positions=[y],
        orientation="horizontal",
        widths=0.62,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": f"{tint}26", "edgecolor": tint, "linewidth": 1.1},
        whiskerprops=line,
        capprops=line,
        medianprops={"color": INK, "linewidth": 1.6},
    )
    # A fixed zigzag, not random jitter: the same table gives the same picture.
    jitter = 0.2 * np.sin(2.4 * np.arange(len(values)))
    many = len(values) > MANY_SEEDS
    drawn = axes.scatter(
        values,
        y + jitter,
        s=5 if many else 13,
        color=tint,
        marker=mark,
        edgecolors="none" if many else PAPER,
        linewidths=0.4,
        zorder=1 if many else 3,
        alpha=0.35 if many else 1,
        rasterized=len(values) > MAX_POINTS,
    )
    if len(values) <= MAX_POINTS:
        hover(drawn, trial_words(rows, metric))
