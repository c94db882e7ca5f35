"""How a figure splits a table: what stands side by side, what gets a panel of its own, which ticks have room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.reshape import as_tuple, varying
from analysis.schema import BASELINE_COLUMNS
from analysis.wording import show

MAX_PANELS = 12


def main_factor(results: pd.DataFrame) -> str:
    """What a figure puts side by side: activations; where there is only one, the first other setting that varies."""
    others = varying(results, but=("activation", "hidden_dim"))
    if results["activation"].nunique() > 1 or not others:
        return "activation"
    return others[0]


def panels_of(rows: pd.DataFrame, factor: str, but: Sequence[str] = ()) -> list[tuple[str, pd.DataFrame]]:
    """The rows split by width and every other setting that varies, each part with a title.

    Where that makes more than MAX_PANELS parts, only by width, and of more than MAX_PANELS widths six are taken, evenly
    from narrow to wide; the titles say so.
    """
    # A baseline's objective sets the lambdas and epochs too: they are not settings of their own.
    skip = {"hidden_dim", factor, *but}
    if factor == "objective":
        skip.update(BASELINE_COLUMNS)
    others = varying(rows, skip)
    columns = ["hidden_dim", *others]
    parts = [(_title(columns, key), part) for key, part in rows.groupby(columns, dropna=False)]
    if len(parts) <= MAX_PANELS:
        return parts
    mixed = f", all {', '.join(others)}" if others else ""
    parts = [(f"K = {width}{mixed}", part) for width, part in rows.groupby("hidden_dim")]
    if len(parts) <= MAX_PANELS:
        return parts
    chosen = np.linspace(0, len(parts) - 1, 6).round().astype(int)
    return [(f"{parts[i][0]}, 6 of {len(parts)} widths shown", parts[i][1]) for i in chosen]


def ticks_apart(places: Sequence[float], values: Sequence[Any], log: bool) -> list[Any]:
    """The values whose ticks have room: each a tenth of the axis from the one before."""
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
