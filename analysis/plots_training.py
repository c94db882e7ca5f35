"""Figures of training: loss curves, and metrics over the epochs.

Each function takes DataFrames and returns a matplotlib Figure; none reads a file or touches pyplot.
"""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.metrics import label
from analysis.panels import (
    axis_label,
    grid_of,
    grows_in_factors,
    matrix_of,
    panels_of,
    scale,
    seed_mean,
)
from analysis.reshape import cell_columns, done
from analysis.schema import activation_order
from analysis.style import (
    INK,
    PAPER,
    color,
    empty_figure,
    hover,
    legend_of,
    marker,
    round_ticks,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVES = ("loss", "tc")
"""The curves of training: without the other terms, which make up the rest of the loss."""

MAX_MARKS = 25
"""Up to this many epochs, each evaluation has a marker."""

MAX_LINES = 60
"""If a panel has more seeds than this, they are drawn as a band: lines would blur together, and the file would be large."""


@styled
def metric_over_epochs(results: pd.DataFrame, history: pd.DataFrame, metric: str) -> Figure:
    """A metric over the epochs, all activations together: mean over seeds, its 95% t interval as a band.

    One panel per width (and other setting). history: one row per trial and epoch; epoch 0 is before training.
    """
    rows = done(results)
    found = history.loc[history[metric].notna(), ["trial_id", "epoch", metric]]
    settings = ["trial_id", "seed", *cell_columns(results)]
    found = found.merge(rows[settings], on="trial_id")
    if found.empty:
        return empty_figure(f"the history has no {label(metric)}")
    panels = panels_of(found, "activation")
    figure, grid = grid_of(len(panels), 2.6)
    for axes, (title, panel) in zip(grid.flat, panels, strict=False):
        for name in activation_order(panel["activation"]):
            part = panel[panel["activation"] == name]
            seeds = _thinned(part.groupby(["epoch", "seed"])[metric].mean().unstack("seed")).T
            line = seed_mean(seeds, metric)
            # A marker at each evaluation, if there are few enough to see each; a single one has no line.
            mark = marker(name) if len(line) <= MAX_MARKS else None
            axes.plot(line.index, line["mean"], color=color(name), marker=mark, ms=3.5, mec=PAPER, mew=0.4, label=name)
            axes.fill_between(line.index, line["low"], line["high"], color=color(name), alpha=0.2, linewidth=0)
        axes.set_title(fill(title, 30))
        axes.set_xlabel("epoch")
        round_ticks(axes.xaxis, 5, integer=True)
        scale(axes, "y", metric, panel[metric], log=grows_in_factors(metric))
    for row in grid:
        row[0].set_ylabel(axis_label(metric).replace(" (", "\n("))
    legend_of(figure, grid.flat[0])
    return figure


@styled
def training_curves(results: pd.DataFrame, history: pd.DataFrame, activation: str) -> Figure:
    """Loss and tc over the epochs for one activation: seeds as thin lines, their median in bold.

    One row of panels per width (and other setting). The activation must match exactly: "relu" never matches "leaky_relu".
    """
    rows = results[results["activation"] == activation]
    terms = [term for term in CURVES if term in history]
    panels = panels_of(rows, "activation")
    panels = [(title, panel) for title, panel in panels if history["trial_id"].isin(panel["trial_id"]).any()]
    if not panels or not terms:
        return empty_figure(f"the history has no training of {activation}")
    figure, grid, fit = matrix_of(len(panels), len(terms), (9.5, 1.75), sharex=True)
    for (title, panel), row in zip(panels, grid, strict=True):
        part = history[history["trial_id"].isin(panel["trial_id"]) & (history["epoch"] > 0)]
        for axes, term in zip(row, terms, strict=True):
            _curves(axes, part.pivot(index="epoch", columns="trial_id", values=term), activation)
            round_ticks(axes.xaxis, 5, integer=True)
            if term == "tc":
                scale(axes, "y", "tc", part[term], log=True)
        for axes in row[::fit]:
            axes.set_ylabel(title.replace(", ", "\n"))
    for row in grid if fit < len(terms) else grid[:1]:
        for axes, term in zip(row, terms, strict=True):
            axes.set_title(label(term))
    for axes in grid.flat if fit < len(terms) else grid[-1]:
        axes.set_xlabel("epoch")
    return figure


def _curves(axes: Axes, curves: pd.DataFrame, activation: str) -> None:
    from matplotlib.collections import LineCollection

    tint, curves = color(activation), _thinned(curves)
    epochs, values = curves.index.to_numpy(float), curves.to_numpy(float)
    # A curve of one epoch is a point.
    mark = marker(activation) if len(epochs) == 1 else None
    if values.shape[1] > MAX_LINES:
        low, high = np.nanquantile(values, [0.05, 0.95], axis=1)
        axes.fill_between(epochs, low, high, color=tint, alpha=0.25, linewidth=0)
        if mark:
            axes.vlines(epochs, low, high, color=tint, alpha=0.4, linewidth=3)
    elif mark:
        points = axes.scatter(np.repeat(epochs, values.shape[1]), values[0], s=9, color=tint, marker=mark, alpha=0.5)
        hover(points, [str(trial) for trial in curves.columns])
    else:
        lines = LineCollection(
            [np.column_stack([epochs, column]) for column in values.T], colors=tint, linewidths=0.8, alpha=0.7
        )
        hover(lines, [str(trial) for trial in curves.columns])
        axes.add_collection(lines)
    axes.plot(epochs, curves.median(axis=1), color=INK, linewidth=1.4, marker=mark, mec=PAPER, mew=0.5)
    axes.autoscale()
    axes.margins(x=0.02)
    if mark:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)


def _thinned(curves: pd.DataFrame) -> pd.DataFrame:
    """At most about 200 of the epochs (rows); more would only make the file larger. The last epoch always stays."""
    keep = np.unique(np.r_[0 : len(curves) : max(1, len(curves) // 200), len(curves) - 1])
    return curves.iloc[keep]
