"""Figures that compare metrics or activations with each other: heatmaps, trade-offs.

Each function takes tables or weights and returns a matplotlib Figure; none reads a file or touches pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.metrics import METRICS, label, sign
from analysis.panels import matrix_of
from analysis.reshape import cell_columns, done, recorded_metrics
from analysis.schema import activation_order
from analysis.stats import by_activation_and_width, rank_correlations
from analysis.style import (
    INK,
    MUTED,
    NARROWEST,
    PAPER,
    color,
    empty_figure,
    hover,
    legend_of,
    marker,
    new_figure,
    paper_width,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ANNOTATED = 12

MAX_VECTOR = 100
"""If there are more points than this in each of some thirty panels, they are drawn as pixels; otherwise the page would be
many megabytes."""


@styled
def heatmaps(results: pd.DataFrame, metrics: Sequence[str] = ("effective_rank", "output_correlation")) -> Figure:
    """Mean over seeds of each metric as a heatmap, activations down and widths across, the mean written in each cell.

    Colors compare activations within a width, because a scale over all widths would show only the width: in each column the
    best is brightest and the worst darkest (the largest and the smallest, for a metric without a better direction). Means and
    colors are those of `stats.cell_means`; a dagger marks a cell that lacks seeds, and one that is not compared has no color.
    """
    metrics = [metric for metric in metrics if metric in recorded_metrics(results)]
    if not metrics:
        return empty_figure("none of these metrics was recorded")
    tables = [by_activation_and_width(results, metric) for metric in metrics]
    size = (4.7 * len(metrics), 0.36 * len(tables[0]) + 1.1)
    needed = 0.9 + 0.32 * len(tables[0].columns)  # inches: the names, and a number in each cell
    figure, grid, fit = matrix_of(1, len(metrics), size, extra=0, narrowest=max(NARROWEST, needed))
    room = needed <= (paper_width() or math.inf) / fit
    for axes, metric, table in zip(grid[0], metrics, tables, strict=True):
        values = np.ma.masked_invalid(table.to_numpy(float))
        ranked, complete = (
            by_activation_and_width(results, metric, column).isin([True]).to_numpy()  # unplanned cells are neither
            for column in ("ranked", "complete")
        )
        places = _within_columns(np.ma.masked_where(~ranked, values), sign(metric) or 1)
        mesh = axes.pcolormesh(places, cmap="cividis", vmin=0, vmax=1, edgecolors=PAPER, linewidth=1.5)
        widths = table.columns.tolist()
        step = math.ceil(len(widths) / 10)
        axes.set_xticks(np.arange(0.5, len(widths), step), [str(width) for width in widths[::step]])
        axes.set_yticks(np.arange(len(table)) + 0.5, table.index.tolist())
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if len(widths) <= MAX_ANNOTATED and room:
            _write_values(axes, values, mesh.to_rgba(places), complete)
        axes.set_xlabel("units (K)")
        better = METRICS[metric].better
        axes.set_title(label(metric) + (f" ({better} is better)" if better else ""))
    return figure


def _within_columns(values: np.ma.MaskedArray, direction: int) -> np.ma.MaskedArray:
    """Each column scaled from 0, its worst value, to 1, its best; 0.5 if all are equal."""
    better = direction * values
    low, high = better.min(axis=0), better.max(axis=0)
    span = np.ma.where(high > low, high - low, 1)
    return np.ma.where(high > low, (better - low) / span, np.ma.where(np.ma.getmaskarray(better), np.ma.masked, 0.5))


@styled
def trade_off_matrix(results: pd.DataFrame, metrics: Sequence[str] | None = None) -> Figure:
    """Every metric against every other: cells below the diagonal, rank correlations over seeds above it.

    Each point is a cell: the mean rank of its trials among those of its width, from 0 (lowest) to 1 (highest). Raw values
    grow with the width, so each width would be one cluster. The number above the diagonal is the correlation of the trials'
    ranks within their cell (`stats.rank_correlations`): red if two metrics rise together, blue if one rises as the other
    falls.
    """
    rows = done(results)
    metrics = list(metrics) if metrics is not None else trade_off_metrics(results)
    if len(metrics) < 2:
        return empty_figure("fewer than two metrics vary")
    cell = cell_columns(results)
    within = [column for column in cell if column != "activation"]
    ranks = rows.groupby(within, dropna=False)[metrics].rank(pct=True)
    cells = pd.concat([rows[cell], ranks], axis=1).groupby(cell, dropna=False)[metrics].mean().reset_index()
    correlations = rank_correlations(rows, metrics, cell)
    m = len(metrics)
    figure = new_figure(9.5, 9.3)
    grid = figure.subplots(m, m, squeeze=False)
    widths = sorted(cells["hidden_dim"].unique())
    areas = np.linspace(12, 36, len(widths)) if len(widths) > 1 else [24]
    sizes = dict(zip(widths, areas, strict=True))
    for i, below in enumerate(metrics):
        for j, across in enumerate(metrics):
            axes = grid[i, j]
            axes.grid(visible=False)
            if i == j:
                _name(axes, below)
            elif j > i:
                _correlation(axes, float(correlations.to_numpy()[i, j]))
            else:
                _cells(axes, cells, across, below, sizes)
                axes.tick_params(labelbottom=i == m - 1, labelleft=j == 0, labelsize=7)
    legend_of(figure, grid[1, 0])
    return figure


def _name(axes: Axes, metric: str) -> None:
    _blank(axes)
    text = label(metric).replace(" ", "\n")
    turn = 0 if paper_width() is None else 90  # a tile of a paper is higher than wide
    axes.text(
        0.5, 0.5, text, ha="center", va="center", fontsize=8, weight="bold", transform=axes.transAxes, rotation=turn
    )
    axes.patch.set(facecolor=MUTED, alpha=0.1)


def _correlation(axes: Axes, rho: float) -> None:
    """A correlation as a number on a colored tile."""
    from matplotlib import colormaps

    _blank(axes)
    tile, text, ink = "none", "n/a", INK
    if np.isfinite(rho):
        # Half the map's range keeps the tiles pale enough for black text in both themes.
        tile, text, ink = colormaps["RdBu_r"](0.5 + 0.3 * rho), f"{rho:+.2f}", "#000000"
    axes.patch.set(facecolor=tile, alpha=1)
    size = 9 if paper_width() is None else 7
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=size, color=ink, transform=axes.transAxes)


def _cells(axes: Axes, cells: pd.DataFrame, across: str, below: str, sizes: Mapping[int, float]) -> None:
    for name in activation_order(cells["activation"]):
        part = cells[cells["activation"] == name].dropna(subset=[across, below])
        points = axes.scatter(
            part[across],
            part[below],
            s=part["hidden_dim"].map(sizes),
            color=color(name),
            marker=marker(name),
            edgecolors=PAPER,
            linewidths=0.4,
            alpha=0.85,
            label=name,
            rasterized=len(cells) > MAX_VECTOR,
        )
        if 0 < len(cells) <= MAX_VECTOR:
            hover(points, [f"{name}, K = {width}" for width in part["hidden_dim"]])
    ticks = (0, 0.5, 1) if paper_width() is None else (0, 1)
    axes.set(xlim=(-0.05, 1.08), ylim=(-0.05, 1.08), xticks=ticks, yticks=ticks)


def trade_off_metrics(results: pd.DataFrame) -> list[str]:
    """The metrics worth comparing with each other: activations are ranked by them, they vary, and most trials have them."""
    rows = done(results)
    chosen = [name for name in recorded_metrics(results) if sign(name) and METRICS[name].ranked]
    chosen = [name for name in chosen if name != "convergence_epoch"]  # how long it took, not what was learned
    return [name for name in chosen if rows[name].notna().mean() > 0.5 and rows[name].nunique() > 1]


def _write_values(axes: Axes, values: np.ma.MaskedArray, colors: np.ndarray, complete: np.ndarray) -> None:
    """colors: (rows, columns, 4), of the cells: dark ones get white text. complete: which ones have no dagger."""
    for (i, j), value in np.ndenumerate(values.filled(np.nan)):
        text, ink = "n/a", MUTED
        if np.isfinite(value):
            text, ink = (
                f"{value:.3g}" + ("" if complete[i, j] else "\u2020"),
                "#ffffff" if colors[i, j, 3] and np.dot(colors[i, j, :3], (0.299, 0.587, 0.114)) < 0.5 else "#000000",
            )
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8, color=ink)


def _blank(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
