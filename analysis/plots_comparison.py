"""The figure of comparisons: each activation against one reference, with intervals for the whole family.

`forest` takes DataFrames and returns a matplotlib Figure; it neither reads a file nor touches pyplot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.equivalence import MARGIN
from analysis.metrics import bounds, is_log, label
from analysis.panels import arrow, first_panels, matrix_of, panels_of
from analysis.schema import activation_order
from analysis.style import (
    GRID,
    MUTED,
    PAPER,
    color,
    empty_figure,
    hover,
    log_ticks,
    marker,
    round_ticks,
    styled,
    wide_range,
)
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
def forest(pairs: pd.DataFrame, metrics: Sequence[str], reference: str) -> Figure:
    """Each activation relative to a reference, with its simultaneous 95% interval; a row of panels per width, a column per metric.

    pairs: from stats.compare, within each width; other strata make rows too. Differences are paired by seed and drawn as the
    quotient by the reference's mean: 1 is no difference. Filled: significantly different from the reference (corrected for
    all pairs of the metric). Open: not. The gray band is the margin within which two are called the same.
    """
    rows = relative(against(pairs[pairs["metric"].isin(metrics)], reference))
    if rows.empty:
        return empty_figure("no pair of activations can be compared")
    metrics = [metric for metric in metrics if (rows["metric"] == metric).any()]
    every = panels_of(rows, "level", but=("metric",))
    panels = first_panels(every, 4)
    levels = activation_order(rows["level"])[::-1]
    figure, grid, fit = matrix_of(
        len(panels), len(metrics), (9.5, max(1.3, 0.6 + 0.27 * len(levels))), extra=0.5, sharey=True
    )
    for (title, panel), line in zip(panels, grid, strict=True):
        for axes, metric in zip(line, metrics, strict=True):
            axes.axvspan(1 - MARGIN / 100, 1 + MARGIN / 100, color=GRID, linewidth=0, zorder=0)
            axes.axvline(1, color=MUTED, linewidth=0.9)
            found = panel[panel["metric"] == metric]
            _intervals(axes, found, levels)
            axes.set_yticks(range(len(levels)), levels)
            axes.set_ylim(-0.6, len(levels) - 0.4)
            axes.grid(axis="y", visible=False)
            ends = found[["low", "high"]].to_numpy(float)
            if len(found) and wide_range(ends, 3):
                axes.set_xscale("log")
                log_ticks(axes.xaxis, ends)
            else:
                round_ticks(axes.xaxis, 4)
        for axes in line[::fit]:
            axes.set_ylabel(title.replace(", ", "\n"))
    for line in grid if fit < len(metrics) else grid[:1]:
        for axes, metric in zip(line, metrics, strict=True):
            axes.set_title(label(metric) + arrow(metric))
    shown = f" ({len(panels)} of {len(every)} settings)" if len(panels) < len(every) else ""
    figure.supxlabel(f"relative to {reference}{shown}", fontsize=9)
    return figure


def relative(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `against` with difference, low and high as quotients by the reference's mean; only those that have one.

    A quotient of values that cannot be negative is at least 0.001 here: an interval may reach below 0.
    """
    is_ratio = rows["metric"].map(is_log).to_numpy(bool)
    mean = rows["mean"].where((rows["mean"] > 0) & (rows["metric"].map(lambda name: bounds(str(name))[0]) >= 0))
    quotients = {}
    for name in ("difference", "low", "high"):
        # A few seeds of an unbounded ratio can have an interval that overflows.
        quotients[name] = np.where(is_ratio, np.exp(rows[name].clip(-600, 600)), 1 + rows[name] / mean)
    rows = rows.assign(**quotients).dropna(subset=["difference", "low"])
    return rows.assign(low=rows["low"].clip(lower=1e-3))


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
        told = f"{row.level}: {number(row.difference)} times ({number(row.low)} to {number(row.high)}), {row.n} seeds"
        hover(point, [told])
