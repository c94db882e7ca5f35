"""Figures of comparisons: each activation against one reference, with intervals for the whole family.

Each function takes DataFrames and returns a matplotlib Figure; none reads a file or touches pyplot.
"""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.equivalence import MARGIN
from analysis.metrics import is_log, label, sign
from analysis.panels import grid_of, panels_of
from analysis.schema import activation_order
from analysis.style import GRID, MUTED, PAPER, color, empty_figure, hover, log_ticks, marker, round_ticks, styled
from analysis.wording import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def reference_activation(names: Any) -> str:
    """The reference of a forest plot: relu, the common choice; otherwise the study's first activation."""
    known = activation_order(names)
    return "relu" if "relu" in known else known[0]


def against(pairs: pd.DataFrame, reference: str) -> pd.DataFrame:
    """The pairs that include the reference, with the difference as "the other minus the reference".

    pairs: from stats.compare. Columns: those of the strata, level, n, mean (of the reference), difference, low, high,
    simultaneous, significant. low and high are the interval that holds for the whole family at once; if there are too few
    seeds for one (simultaneous is then false), they are the interval of the pair alone.
    """
    with_it = pairs[(pairs["a"] == reference) | (pairs["b"] == reference)]
    simultaneous = with_it["sim_low"].notna()
    first = with_it["a"] == reference
    turn = np.where(first, -1.0, 1.0)
    low = turn * with_it["sim_low"].where(simultaneous, with_it["ci_low"])
    high = turn * with_it["sim_high"].where(simultaneous, with_it["ci_high"])
    return with_it.assign(
        level=with_it["b"].where(first, with_it["a"]),
        mean=with_it["mean_a"].where(first, with_it["mean_b"]),
        difference=turn * with_it["difference"],
        low=np.fmin(low, high),
        high=np.fmax(low, high),
        simultaneous=simultaneous,
    )


@styled
def forest(pairs: pd.DataFrame, metric: str, reference: str) -> Figure:
    """Each activation's difference from a reference, paired by seed, with its simultaneous 95% interval; one panel per width.

    pairs: from stats.compare, within each width; other strata make panels too. Filled: significantly different from the
    reference (corrected for all pairs of the metric). Open: not. The gray band is the margin within which two are called the
    same, 1% of the reference's mean. A metric that is a ratio is compared by the quotient, on a logarithmic axis, with 1 for
    no difference.
    """
    rows = against(pairs[pairs["metric"] == metric], reference).dropna(subset=["difference", "low"])
    if rows.empty:
        return empty_figure(f"no pair of activations can be compared by {label(metric)}")
    ratio = is_log(metric)
    if ratio:
        # A few seeds of an unbounded ratio can have an interval that overflows.
        rows = rows.assign(**{name: np.exp(rows[name].clip(-600, 600)) for name in ("difference", "low", "high")})
    panels = panels_of(rows, "level")
    levels = activation_order(rows["level"])[::-1]
    figure, grid = grid_of(len(panels), 0.75 + 0.3 * len(levels), sharey=True, extra=0.35)
    for axes, (title, panel) in zip(grid.flat, panels, strict=False):
        none = 1.0 if ratio else 0.0
        margin = MARGIN / 100 * (1.0 if ratio else abs(panel["mean"].mean()))
        axes.axvspan(none - margin, none + margin, color=GRID, linewidth=0, zorder=0)
        axes.axvline(none, color=MUTED, linewidth=0.9)
        _intervals(axes, panel, levels)
        axes.set_yticks(range(len(levels)), levels)
        axes.set_ylim(-0.6, len(levels) - 0.4)
        axes.grid(axis="y", visible=False)
        axes.set_title(fill(title, 30))
        ends = panel[["difference", "low", "high"]].to_numpy(float)
        if ratio and ends.max() / ends.min() > 3:
            axes.set_xscale("log")
            log_ticks(axes.xaxis, ends)
        else:
            round_ticks(axes.xaxis, 5)
    what = f"{label(metric)}: {'relative to' if ratio else 'difference from'} {reference}"
    better = {1: " (right is better)", -1: " (left is better)", 0: ""}[sign(metric)]
    figure.supxlabel(what + better, fontsize=9)
    return figure


def _intervals(axes: Axes, panel: pd.DataFrame, levels: list[str]) -> None:
    """One panel's rows of `against`, at the places of their levels."""
    y = panel["level"].map(levels.index).to_numpy(float)
    tints = [color(level) for level in panel["level"]]
    axes.hlines(y, panel["low"], panel["high"], colors=tints, linewidth=1.6)
    for end in ("low", "high"):
        axes.vlines(panel[end], y - 0.13, y + 0.13, colors=tints, linewidth=1.1)
    rows: Any = panel.itertuples()  # pandas does not know its columns' types
    for place, tint, row in zip(y, tints, rows, strict=True):
        point = axes.scatter(
            [row.difference],
            [place],
            s=34,
            marker=marker(row.level),
            facecolors=tint if row.significant else PAPER,
            edgecolors=tint,
            linewidths=1.3,
            zorder=3,
        )
        told = f"{row.level}: {number(row.difference)} ({number(row.low)} to {number(row.high)}), {row.n} seeds"
        hover(point, [told])
