"""Figures of training: the curves of its loss, and the networks before and after it.

Each function takes DataFrames and returns a matplotlib Figure; none reads a file or touches pyplot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.metrics import label
from analysis.panels import arrow, panels_of, scale
from analysis.schema import LOSS_TERMS, activation_order
from analysis.style import PAPER, color, empty_figure, marker, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_LINES = 60
"""More seeds than this in one panel are drawn as a band: lines would be one blot, and the file large."""


@styled
def before_and_after(stages: pd.DataFrame, metrics: Sequence[str]) -> Figure:
    """Untrained (open marker) and trained (filled) mean of each metric, by activation; one row of panels a width.

    stages: from reshape.with_untrained.
    """
    every = panels_of(stages, "activation", but=("stage",))
    panels = every[:4]
    levels = activation_order(stages["activation"])[::-1]
    figure = new_figure(9.5, len(panels) * (0.6 + 0.27 * len(levels)) + 0.7)
    grid = figure.subplots(len(panels), len(metrics), sharey=True, squeeze=False)
    for (title, panel), row in zip(panels, grid, strict=True):
        means = panel.groupby(["activation", "stage"])[list(metrics)].mean()
        for axes, metric in zip(row, metrics, strict=True):
            for y, name in enumerate(levels):
                if (name, "trained") not in means.index:
                    continue
                start, end = means.loc[(name, "untrained"), metric], means.loc[(name, "trained"), metric]
                axes.plot([start, end], [y, y], color=color(name), lw=1.6)
                axes.plot(start, y, marker(name), mfc=PAPER, mec=color(name), mew=1.4, ms=6)
                axes.plot(end, y, marker(name), color=color(name), ms=6)
            axes.set_yticks(range(len(levels)), levels)
            axes.set_ylim(-0.6, len(levels) - 0.4)
            axes.grid(axis="y", visible=False)
            scale(axes, "x", metric, stages[metric])
        row[0].set_ylabel(title.replace(", ", "\n"))
    for axes, metric in zip(grid[0], metrics, strict=True):
        axes.set_title(label(metric) + arrow(metric))
    shown = f"; the first {len(panels)} of {len(every)} settings" if len(panels) < len(every) else ""
    figure.supxlabel(
        f"open marker: before training (epoch 0); filled marker: after training; mean over seeds{shown}", fontsize=8.5
    )
    return figure


@styled
def training_curves(results: pd.DataFrame, history: pd.DataFrame, activation: str) -> Figure:
    """Loss, entropy and tc over the epochs for one activation: seeds as thin lines, their median bold.

    One row of panels a width (and other setting). The activation is matched whole: "relu" never takes "leaky_relu".
    """
    rows = results[results["activation"] == activation]
    terms = [term for term in LOSS_TERMS[:3] if term in history]
    panels = panels_of(rows, "activation")
    panels = [(title, panel) for title, panel in panels if history["trial_id"].isin(panel["trial_id"]).any()]
    if not panels or not terms:
        return empty_figure(f"the history holds no training of {activation}")
    figure = new_figure(9.5, 1.75 * len(panels) + 0.5)
    grid = figure.subplots(len(panels), len(terms), sharex=True, squeeze=False)
    for (title, panel), row in zip(panels, grid, strict=True):
        part = history[history["trial_id"].isin(panel["trial_id"]) & (history["epoch"] > 0)]
        for axes, term in zip(row, terms, strict=True):
            _curves(axes, part.pivot(index="epoch", columns="trial_id", values=term), color(activation))
            if term == "tc":
                scale(axes, "y", "tc", part[term], log=True)
        row[0].set_ylabel(title.replace(", ", "\n"))
    for axes, term in zip(grid[0], terms, strict=True):
        axes.set_title(label(term))
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    return figure


def _curves(axes: Axes, curves: pd.DataFrame, tint: str) -> None:
    from matplotlib.collections import LineCollection

    # More points than a panel has pixels only make the file large; the last epoch always stays.
    keep = np.unique(np.r_[0 : len(curves) : max(1, len(curves) // 200), len(curves) - 1])
    curves = curves.iloc[keep]
    epochs, values = curves.index.to_numpy(float), curves.to_numpy(float)
    if values.shape[1] > MAX_LINES:
        low, high = np.nanquantile(values, [0.05, 0.95], axis=1)
        axes.fill_between(epochs, low, high, color=tint, alpha=0.25, linewidth=0)
    else:
        lines = [np.column_stack([epochs, column]) for column in values.T]
        axes.add_collection(LineCollection(lines, colors=tint, linewidths=0.6, alpha=0.5))
    axes.plot(epochs, curves.median(axis=1), color=tint, linewidth=2.2)
    axes.autoscale()
    axes.margins(x=0.02)
