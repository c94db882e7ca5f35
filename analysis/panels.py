"""How a figure splits a table into panels, and how each panel's axes are labeled and scaled. Imports names and style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from analysis.intervals import t_interval
from analysis.metrics import METRICS, bounds, from_scale, label, sign, to_scale
from analysis.reshape import as_tuple, varying
from analysis.schema import BASELINE_COLUMNS, NEVER_COMPARED, OTHER_OUTPUTS
from analysis.style import NARROWEST, columns_that_fit, log_ticks, new_figure, round_ticks, wide_range
from analysis.wording import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 12


def main_factor(results: pd.DataFrame) -> str:
    """What a figure draws side by side: activations; if there is only one, the first other setting that varies."""
    others = varying(results, but=("activation", "hidden_dim", NEVER_COMPARED))
    if results["activation"].nunique() > 1 or not others:
        return "activation"
    return others[0]


def panels_of(rows: pd.DataFrame, factor: str, but: Sequence[str] = ()) -> list[tuple[str, pd.DataFrame]]:
    """The rows split by width and every other setting that varies, each part with a title.

    If that makes more than MAX_PANELS parts, splits only by width and by what makes other outputs, such as the data set; if
    that is still too many, takes at most six widths, evenly from narrow to wide. The titles say so.
    """
    # A baseline's objective also sets the lambdas and epochs: they are not separate settings.
    skip = {"hidden_dim", factor, *but}
    if factor == "objective":
        skip.update(BASELINE_COLUMNS)
    others = varying(rows, skip)
    columns = ["hidden_dim", *others]
    parts = [(_title(columns, key), part) for key, part in rows.groupby(columns, dropna=False)]
    if len(parts) <= MAX_PANELS:
        return parts
    columns = ["hidden_dim", *(column for column in others if column in OTHER_OUTPUTS)]
    together = [column for column in others if column not in OTHER_OUTPUTS]
    mixed = f", all {', '.join(together)}" if together else ""
    parts = [(_title(columns, key) + mixed, part) for key, part in rows.groupby(columns, dropna=False)]
    if len(parts) <= MAX_PANELS:
        return parts
    widths = sorted(rows["hidden_dim"].unique())
    each = len(rows[columns[1:]].drop_duplicates()) if columns[1:] else 1
    most = min(len(widths), max(1, MAX_PANELS // each), 6)
    chosen = {widths[i] for i in np.linspace(0, len(widths) - 1, most).round().astype(int)}
    if most < len(widths):
        mixed += f", {most} of {len(widths)} widths shown"
    kept = rows[rows["hidden_dim"].isin(chosen)]
    return [(_title(columns, key) + mixed, part) for key, part in kept.groupby(columns, dropna=False)]


def first_panels(panels: list[tuple[str, pd.DataFrame]], most: int) -> list[tuple[str, pd.DataFrame]]:
    """The first panels, about this many: as many of each data set (and of whatever else makes other outputs)."""
    groups: dict[tuple, list[tuple[str, pd.DataFrame]]] = {}
    for title, part in panels:
        key = tuple(part[column].iloc[0] for column in OTHER_OUTPUTS if column in part)
        groups.setdefault(key, []).append((title, part))
    each = max(1, most // max(1, len(groups)))
    return [panel for group in groups.values() for panel in group[:each]]


def ticks_apart(places: Sequence[float], values: Sequence[Any], log: bool) -> list[Any]:
    """The values whose ticks have room: each at least a tenth of the axis from the previous one."""
    at = np.log(places) if log else np.asarray(places, dtype=float)
    kept, last = [], -np.inf
    for place, value in zip(at, values, strict=True):
        if place - last >= 0.1 * (at[-1] - at[0]):
            kept.append(value)
            last = place
    return kept


def _title(columns: Sequence[str], key: Any) -> str:
    names = ["K" if column == "hidden_dim" else column for column in columns]
    return ", ".join(f"{name} = {show(value)}" for name, value in zip(names, as_tuple(key), strict=True))


def positions(values: Sequence[Any], column: str) -> tuple[dict[Any, float], bool]:
    """The position of each value of a numeric setting on its axis, and whether that axis is logarithmic.

    Values that span a factor of more than 3 get a logarithmic axis; if they include 0, which has no logarithm, they get
    equal steps.
    """
    log = values[0] > 0 and values[-1] / values[0] > 3
    by_value = log or (values[0] >= 0 and column == "hidden_dim")
    return {value: float(value) if by_value else float(step) for step, value in enumerate(values)}, log


def axis_label(metric: str) -> str:
    better = METRICS[metric].better if metric in METRICS else None
    return label(metric) + (f" ({better} is better)" if better else "")


def arrow(metric: str) -> str:
    """An arrow in the better direction, for titles too short for words; the captions explain it."""
    return {1: " \u2191", -1: " \u2193", 0: ""}[sign(metric)]


def grid_of(panels: int, height: float, *, sharey: bool = False, extra: float = 0.5) -> tuple[Figure, np.ndarray]:
    """A figure with this many panels, three per row, each of this height (inches), and its axes; unused ones are hidden.

    In a paper, as many per row as fit. extra: inches for what is below all panels.
    """
    columns = columns_that_fit(panels, 3)
    lines = math.ceil(panels / columns)
    figure = new_figure(9.5 if columns > 1 else 6.5, height * lines + extra)
    grid = figure.subplots(lines, columns, sharey=sharey, squeeze=False)
    for axes in list(grid.flat)[panels:]:
        axes.set_visible(False)
    return figure, grid


def matrix_of(
    rows: int,
    columns: int,
    size: tuple[float, float],
    *,
    extra: float = 0.5,
    sharex: bool | Literal["col"] = False,
    sharey: bool = False,
    narrowest: float = NARROWEST,
) -> tuple[Figure, np.ndarray, int]:
    """A figure with a matrix of panels, its axes as a matrix, and how many of them stand side by side.

    size: the figure's width and each row's height in inches. If a paper is too narrow for a row, its panels stack: then no
    panel has its title or x axis from another one.
    """
    fit = columns_that_fit(columns, columns, narrowest)
    lines = math.ceil(columns / fit)
    width, height = size
    figure = new_figure(width, rows * lines * height + extra)
    grid = figure.subplots(rows * lines, fit, squeeze=False, sharex=sharex if lines == 1 else False, sharey=sharey)
    grid = grid.reshape(rows, lines * fit)
    for axes in grid[:, columns:].flat:
        axes.set_visible(False)
    return figure, grid[:, :columns], fit


def seed_mean(values: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean over seeds (rows) of each column, with its 95% t interval: columns mean, low, high.

    For a ratio, the mean is geometric. No interval goes below the metric's lowest possible value.
    """
    scaled = to_scale(metric, values)
    mean = scaled.mean()
    low, high = t_interval(mean, scaled.std(), scaled.count())
    found = from_scale(metric, pd.DataFrame({"mean": mean, "low": low, "high": high}))
    return found.assign(low=found["low"].clip(lower=bounds(metric)[0]))


def grows_in_factors(metric: str) -> bool:
    """Whether a metric's values differ by large factors between widths or activations, and need a logarithmic axis."""
    known = METRICS.get(metric)
    return (
        known is not None
        and (known.log or (known.grows is not None and known.low >= 0 and known.sign < 0))
        and not known.integer
    )


def scale(axes: Axes, axis: str, metric: str, values: pd.Series, log: bool = False) -> None:
    """Sets a logarithmic scale if the metric needs it and its values allow it; few, round tick labels."""
    which = axes.xaxis if axis == "x" else axes.yaxis
    known = METRICS.get(metric)
    # If a figure asks for it, because its lines differ by large factors, a smaller range is enough.
    if wide_range(values, 3 if log else 20) and (log or (known and known.log)):
        axes.set(**{f"{axis}scale": "log"})
        log_ticks(which, values)
    else:
        round_ticks(which, 5, integer=bool(known and known.integer))
