"""Figures of trials as they ended: a metric over seeds, against width or another setting, two metrics together.

Each function takes DataFrames and returns a matplotlib Figure; none reads a file or touches pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.intervals import t_interval
from analysis.metrics import label
from analysis.panels import arrow, axis_label, hide_rest, main_factor, panels_of, scale, ticks_apart
from analysis.reshape import done
from analysis.schema import activation_order
from analysis.stats import levels_of
from analysis.style import (
    INK,
    MUTED,
    PAPER,
    color,
    empty_figure,
    legend_of,
    marker,
    new_figure,
    styled,
)
from analysis.wording import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY_SEEDS = 60
"""More points than this lie behind their box, small and pale, or they would hide it."""

MAX_POINTS = 400
"""More points than this in one panel are drawn as pixels, or the file would be large."""


@styled
def metric_box(results: pd.DataFrame, metric: str = "effective_rank", factor: str | None = None) -> Figure:
    """Box plot of a metric with every seed as a point, one panel a width (and other setting).

    factor: what is put side by side, by default the activation (or what varies, where there is only one). Box: quartiles
    and median; whiskers: the last point within 1.5 interquartile ranges. Only finished trials.
    """
    rows = done(results).dropna(subset=[metric])
    if rows.empty:
        return empty_figure(f"no finished trial has a value of {label(metric)}")
    factor = factor or main_factor(results)
    panels = panels_of(rows, factor)
    levels = levels_of(rows, factor)[::-1]
    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(9.5 if columns > 1 else 6.5, lines * (0.75 + 0.3 * len(levels)) + 0.35)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for axes, (title, panel) in zip(grid.flat, panels, strict=False):
        for y, level in enumerate(levels):
            values = panel.loc[panel[factor] == level, metric].to_numpy(float)
            _box(axes, values, y, color(level), marker(level))
        axes.set_yticks(range(len(levels)), [show(level) for level in levels])
        axes.set_ylim(-0.6, len(levels) - 0.4)
        axes.grid(axis="y", visible=False)
        axes.set_title(fill(title, 30))
        scale(axes, "x", metric, rows[metric])
    hide_rest(grid, len(panels))
    figure.supxlabel(axis_label(metric), fontsize=9)
    return figure


@styled
def redundancy_vs_dead(results: pd.DataFrame) -> Figure:
    """Scatter of weight redundancy against dead units, one point a finished trial, one panel a width.

    Points that share a number of dead units are set side by side, by at most 0.3 units, so that all are seen.
    """
    rows = done(results).dropna(subset=["weight_redundancy", "dead_units"])
    if rows.empty:
        return empty_figure("no finished trial has both weight redundancy and dead units")
    factor = main_factor(results)
    panels = panels_of(rows, factor)
    columns = min(len(panels), 3)
    lines = math.ceil(len(panels) / columns)
    figure = new_figure(9.5 if columns > 1 else 6.5, 2.9 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False)
    levels = levels_of(rows, factor)
    offset = {level: 0.6 * (i + 0.5) / len(levels) - 0.3 for i, level in enumerate(levels)}
    for axes, (title, panel) in zip(grid.flat, panels, strict=False):
        for level in levels:
            points = panel[panel[factor] == level]
            axes.scatter(
                points["dead_units"] + offset[level],
                points["weight_redundancy"],
                s=26,
                color=color(level),
                marker=marker(level),
                edgecolors=PAPER,
                linewidths=0.5,
                label=show(level),
                rasterized=len(panel) > MAX_POINTS,
            )
        axes.set_title(fill(title, 30))
        axes.set_xlabel(axis_label("dead_units"))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlim(-0.5, max(1.0, float(panel["dead_units"].max())) + 0.5)
    for row in grid:
        row[0].set_ylabel(axis_label("weight_redundancy"))
    hide_rest(grid, len(panels))
    legend_of(figure, grid.flat[0])
    return figure


@styled
def metric_against(results: pd.DataFrame, metrics: Sequence[str], x: str = "hidden_dim") -> Figure:
    """Mean of each metric against a numeric setting, with the 95% t interval over seeds as a band, by activation.

    x: the column of that setting. Where other settings vary too, the lines average over them.
    """
    rows = done(results)
    values = sorted(rows[x].dropna().unique())
    if len(values) < 2:
        return empty_figure(f"{x} takes one value only")
    # Zero has no logarithm: lambdas that include it are drawn at equal steps.
    log = values[0] > 0 and values[-1] / values[0] > 3
    to_scale = log or (values[0] >= 0 and x == "hidden_dim")
    places = {value: value if to_scale else step for step, value in enumerate(values)}
    ticks = ticks_apart(list(places.values()), values, log)
    columns = min(len(metrics), 3)
    lines = math.ceil(len(metrics) / columns)
    figure = new_figure(9.5 if columns > 1 else 6.5, 2.6 * lines + 0.5)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, metric in zip(grid.flat, metrics, strict=False):
        for name in activation_order(rows["activation"]):
            # Per seed first: trials of one seed are one block, whatever else is averaged over.
            seeds = rows[rows["activation"] == name].groupby([x, "seed"])[metric].mean().unstack(x)
            n, mean, sd = seeds.count(), seeds.mean(), seeds.std()
            low, high = t_interval(mean, sd, n)
            at = [places[value] for value in seeds.columns]
            axes.plot(at, mean, color=color(name), marker=marker(name), ms=4.5, mec=PAPER, mew=0.5, label=name)
            axes.fill_between(at, low, high, color=color(name), alpha=0.22, linewidth=0)
        if log:
            axes.set_xscale("log", base=2 if x == "hidden_dim" else 10)
        axes.minorticks_off()
        axes.set_xticks([places[value] for value in ticks], [show(value) for value in ticks])
        axes.set_title(label(metric) + arrow(metric))
        axes.set_xlabel("units (K)" if x == "hidden_dim" else x)
        scale(axes, "y", metric, rows[metric])
    hide_rest(grid, len(metrics))
    legend_of(figure, grid.flat[0])
    return figure


def _box(axes: Axes, values: np.ndarray, y: float, tint: str, mark: str) -> None:
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
    # Spread in a fixed zigzag, not at random: the same table gives the same picture.
    jitter = 0.2 * np.sin(2.4 * np.arange(len(values)))
    many = len(values) > MANY_SEEDS
    axes.scatter(
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
