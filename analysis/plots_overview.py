"""Figures that set metrics or activations against each other: heatmaps, trade-offs, the critical-difference diagram.

Each function takes tables or weights and returns a matplotlib Figure; none reads a file or touches pyplot.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.metrics import METRICS, label, sign
from analysis.reshape import by_activation_and_width, cell_columns, done, recorded_metrics
from analysis.schema import LOSS_TERMS, activation_order
from analysis.style import (
    INK,
    MUTED,
    PAPER,
    color,
    empty_figure,
    legend_of,
    log_ticks,
    marker,
    new_figure,
    round_ticks,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_ANNOTATED = 12

MAX_VECTOR = 100
"""More points than this in each of some thirty panels are drawn as pixels, or the page would be many megabytes."""


@styled
def heatmaps(results: pd.DataFrame, metrics: Sequence[str] = ("effective_rank", "output_correlation")) -> Figure:
    """Mean over seeds of each metric as a heatmap, activations down and widths across, the mean written in each cell.

    The brighter, the larger, whichever direction is better.
    """
    metrics = [metric for metric in metrics if metric in recorded_metrics(results)]
    if not metrics:
        return empty_figure("none of these metrics was recorded")
    tables = [by_activation_and_width(results, metric) for metric in metrics]
    height = 0.36 * len(tables[0]) + 1.3
    figure = new_figure(4.7 * len(metrics), height)
    grid = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric, table in zip(grid, metrics, tables, strict=True):
        values = np.ma.masked_invalid(table.to_numpy())
        mesh = axes.pcolormesh(values, cmap="cividis", edgecolors=PAPER, linewidth=1.5)
        widths = table.columns.tolist()
        step = math.ceil(len(widths) / 10)
        axes.set_xticks(np.arange(0.5, len(widths), step), [str(width) for width in widths[::step]])
        axes.set_yticks(np.arange(len(table)) + 0.5, table.index.tolist())
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if len(widths) <= MAX_ANNOTATED:
            _write_values(axes, values, mesh)
        axes.set_xlabel("units (K)")
        better = METRICS[metric].better
        axes.set_title(label(metric) + (f" ({better} is better)" if better else ""))
        bar = figure.colorbar(mesh, ax=axes, pad=0.02)
        bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


@styled
def trade_off_matrix(results: pd.DataFrame, metrics: Sequence[str] | None = None) -> Figure:
    """Every metric against every other: below the diagonal the cells' means, above it the rank correlation.

    A point is the mean of one cell over its seeds, its size grows with the width. The number above the diagonal is the
    correlation of ranks taken within each width (nearly all metrics grow with it, which would hide the rest), over all
    finished trials: red where the two metrics rise together, blue where one falls.
    """
    rows = done(results)
    metrics = list(metrics) if metrics is not None else trade_off_metrics(results)
    if len(metrics) < 2:
        return empty_figure("fewer than two metrics vary")
    cells = rows.groupby(cell_columns(results), dropna=False)[metrics].mean().reset_index()
    within = [column for column in cell_columns(results) if column != "activation"]
    ranks = rows.groupby(within, dropna=False)[metrics].rank(pct=True)
    m = len(metrics)
    figure = new_figure(9.5, 9.3)
    grid = figure.subplots(m, m, squeeze=False)
    widths = sorted(cells["hidden_dim"].unique())
    areas = np.linspace(14, 46, len(widths)) if len(widths) > 1 else [26]
    sizes = dict(zip(widths, areas, strict=True))
    for i, below in enumerate(metrics):
        for j, across in enumerate(metrics):
            axes = grid[i, j]
            axes.grid(visible=False)
            if i == j:
                _name(axes, below)
            elif j > i:
                _correlation(axes, ranks[[below, across]].dropna())
            else:
                _cells(axes, cells, across, below, sizes)
                axes.tick_params(labelbottom=i == m - 1, labelleft=j == 0, labelsize=7)
                axes.tick_params(axis="x", rotation=40)
    legend_of(figure, grid[1, 0])
    return figure


def _name(axes: Axes, metric: str) -> None:
    _blank(axes)
    text = label(metric).replace(" ", "\n")
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, weight="bold", transform=axes.transAxes)
    axes.patch.set(facecolor=MUTED, alpha=0.1)


def _correlation(axes: Axes, pair: pd.DataFrame) -> None:
    """The correlation of two columns of ranks, as a number on a tile of its color."""
    from matplotlib import colormaps

    _blank(axes)
    tile, text, ink = "none", "n/a", INK
    if len(pair) > 2 and (pair.nunique() > 1).all():
        rho = float(pair.corr().to_numpy()[0, 1])
        # Half the map's range keeps the tiles pale enough for black writing in both themes.
        tile, text, ink = colormaps["RdBu_r"](0.5 + 0.3 * rho), f"{rho:+.2f}", "#000000"
    axes.patch.set(facecolor=tile, alpha=1)
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, color=ink, transform=axes.transAxes)


def _cells(axes: Axes, cells: pd.DataFrame, across: str, below: str, sizes: Mapping[int, float]) -> None:
    for name in activation_order(cells["activation"]):
        part = cells[cells["activation"] == name]
        axes.scatter(
            part[across],
            part[below],
            s=part["hidden_dim"].map(sizes),
            color=color(name),
            marker=marker(name),
            edgecolors=PAPER,
            linewidths=0.4,
            label=name,
            rasterized=len(cells) > MAX_VECTOR,
        )
    for metric, axis, scale in ((across, axes.xaxis, axes.set_xscale), (below, axes.yaxis, axes.set_yscale)):
        if METRICS[metric].log and (cells[metric].dropna() > 0).all():
            scale("log")
            log_ticks(axis, cells[metric])
        else:
            round_ticks(axis, 3)
    axes.margins(0.15)


def trade_off_metrics(results: pd.DataFrame) -> list[str]:
    """The metrics worth setting against each other: with a direction, varying, and recorded for most trials."""
    rows = done(results)
    chosen = [name for name in recorded_metrics(results) if sign(name) and name not in LOSS_TERMS[1:]]
    return [name for name in chosen if rows[name].notna().mean() > 0.5 and rows[name].nunique() > 1]


@styled
def critical_difference(ranks: pd.Series, p: pd.DataFrame, title: str, n_seeds: int) -> Figure:
    """Critical-difference diagram: average rank of each activation over seeds (1 = best), bars join those not told apart.

    ranks, p: from stats.average_ranks. Source: Demsar (2006); scikit_posthocs.critical_difference_diagram.
    """
    import scikit_posthocs

    if ranks.empty:
        return empty_figure("a critical-difference diagram needs three activations and two complete seeds")
    figure = new_figure(8.5, 0.22 * len(ranks) + 1.7)
    axes = figure.subplots()
    axes.grid(visible=False)
    palette = {name: color(name) for name in ranks.index}
    drawn = scikit_posthocs.critical_difference_diagram(
        ranks,
        p,
        ax=axes,
        color_palette=palette,
        label_fmt_left="{label} ({rank:.2g})  ",
        label_fmt_right="  ({rank:.2g}) {label}",
        label_props={"fontsize": 9},
        crossbar_props={"color": INK, "linewidth": 3},
        text_h_margin=0.03,
    )
    # It takes a bar's points from a set, whose order is another one in every process, and so would be the file's bytes.
    for bar in itertools.chain.from_iterable(drawn["crossbars"]):
        bar.set_xdata(sorted(bar.get_xdata()))
    axes.set_title(f"{title}: average rank over {n_seeds} seeds, 1 = best", pad=10)
    return figure


def _write_values(axes: Axes, values: np.ma.MaskedArray, mesh) -> None:
    for (i, j), value in np.ndenumerate(values.filled(np.nan)):
        text, ink = "n/a", MUTED
        if np.isfinite(value):
            brightness = np.dot(mesh.cmap(mesh.norm(value))[:3], (0.299, 0.587, 0.114))
            text, ink = f"{value:.3g}", "#ffffff" if brightness < 0.5 else "#000000"
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=8, color=ink)


def _blank(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
