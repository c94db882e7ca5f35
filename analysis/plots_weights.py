"""Figures of learned weights: image tiles for square inputs, lines over the clusters for two-dimensional inputs.

Each function takes tables or weights and returns a matplotlib Figure; none reads a file or touches pyplot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from analysis.consistency import unit_rows
from analysis.schema import activation_order
from analysis.style import INK, MUTED, color, columns_that_fit, empty_figure, new_figure, paper_width, styled
from infomax_tune.parts.catalogue import ours
from infomax_tune.parts.datasets import NO_CLUSTERS, Clusters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.load import Weights


def clusters_of(dataset: str) -> Clusters:
    """The clusters to draw behind the weights; none if the dataset is a user's own."""
    source = ours("datasets").get(dataset)
    return source.clusters if source else NO_CLUSTERS


def drawable(weight: np.ndarray) -> str | None:
    """How a weight matrix (k, d) can be drawn: "lines" for d = 2, "tiles" for a square d, else None."""
    d = weight.shape[1]
    if d == 2:
        return "lines"
    return "tiles" if d >= 16 and math.isqrt(d) ** 2 == d else None


@styled
def weight_gallery(weights: Mapping[str, Mapping[int, Weights]]) -> Figure:
    """Units' weights as square tiles (784 -> 28 x 28, 64 -> 8 x 8): a row per activation, a column per width.

    weights: activation -> width -> (weight (k, d), bias (k,)). Shown are the units that are most like another one
    (`most_alike`): near-duplicates stand side by side. Red is positive, blue is negative, pale is zero. The scale is the
    largest absolute weight shown in that cell: compare tiles only within a cell.
    """
    names = activation_order(weights)
    widths = sorted({width for cell in weights.values() for width in cell})
    if not names:
        return empty_figure("no weights with square images as input")
    units = min(16, 24 // len(widths), max(widths))
    figure = new_figure(9.5, 0.35 + len(names) * 1.2 * (paper_width() or 9.5) / (len(widths) * units + 2))
    grid = figure.subplots(len(names), len(widths), squeeze=False)
    for name, line in zip(names, grid, strict=True):
        for width, axes in zip(widths, line, strict=True):
            axes.set_axis_off()
            if width in weights[name]:
                tiles = _side_by_side(most_alike(weights[name][width][0].astype(float))[:units], units)
                top = np.nanmax(np.abs(tiles)) or 1.0
                axes.imshow(tiles, cmap="RdBu_r", vmin=-top, vmax=top, interpolation="none")
        line[0].text(-0.02, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=8)
    for width, axes in zip(widths, grid[0], strict=True):
        axes.set_title(f"K = {width}" + (f", {units} units" if units < width else ""))
    return figure


def most_alike(weight: np.ndarray) -> np.ndarray:
    """The rows of (k, d), those first whose direction is most like another row's, by the absolute cosine; (k, d)."""
    unit = unit_rows(weight)
    cosines = np.abs(unit @ unit.T).round(12)  # the same for both of a pair
    np.fill_diagonal(cosines, 0)
    return weight[np.argsort(-cosines.max(axis=1), kind="stable")]


def _side_by_side(weight: np.ndarray, units: int) -> np.ndarray:
    """One image with a pixel between the tiles: axes for each would take seconds to lay out."""
    side = math.isqrt(weight.shape[1])
    row = np.full((side, units * (side + 1) - 1), np.nan)
    for i, tile in enumerate(weight):
        row[:, i * (side + 1) : i * (side + 1) + side] = tile.reshape(side, side)
    return row


@styled
def weight_lines(weights: Mapping[str, Weights], dataset: str = "synthetic_2d") -> Figure:
    """Each unit as the line where its pre-activation is 0, over the dataset's clusters; the arrow points to its positive side.

    weights: activation -> (weight (k, 2), bias (k,)). The rings are one and two standard deviations of each cluster,
    for a dataset that has clusters.
    """
    names = [name for name in activation_order(weights) if drawable(weights[name][0]) == "lines"]
    if not names:
        return empty_figure("no weights with two-dimensional input")
    from matplotlib.patches import Circle

    columns = columns_that_fit(len(names), 3)
    lines = math.ceil(len(names) / columns)
    side = min(3.25, (paper_width() or math.inf) / columns + 0.25)
    figure = new_figure(3.1 * columns, side * lines)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    clusters = clusters_of(dataset)
    for axes, name in zip(grid.flat, names, strict=False):
        for center in clusters.centers:
            for times in (1, 2):
                axes.add_patch(Circle(center, times * clusters.sd, facecolor=MUTED, alpha=0.16, edgecolor="none"))
        weight, bias = weights[name]
        for w, b in zip(weight, bias, strict=True):
            length = float(np.hypot(*w))
            if length < 1e-6:
                continue
            normal = np.asarray(w, float) / length
            foot, along = -float(b) / length * normal, np.array([-normal[1], normal[0]])
            ends = np.stack([foot - 10 * along, foot + 10 * along])
            axes.plot(*ends.T, color=color(name), linewidth=1.1, alpha=0.85)
            # Near the edge, where the lines are apart; nearly all of them pass close to the center.
            tail = foot + math.sqrt(max(0.0, 2.75**2 - float(foot @ foot))) * along
            axes.annotate(
                "",
                xy=tail + 0.45 * normal,
                xytext=tail,
                annotation_clip=True,
                arrowprops={"arrowstyle": "-|>", "color": color(name), "linewidth": 1.1},
            )
        axes.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal", title=name)
        axes.title.set_color(INK)
        axes.grid(visible=False)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    return figure
