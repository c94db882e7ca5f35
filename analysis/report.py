"""The parts of the page (sections, pictures, tables with their cells) and their rendering as one HTML file.

Knows no statistics; imports words and names. `sections` decides what each section contains.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.metrics import METRICS, label
from analysis.reshape import as_tuple
from analysis.svg import inline
from analysis.wording import format_p, number, rounded, show

SectionId = Literal["redundancy", "activation", "lambda", "settings", "lost"]
"""The sections that can contain figures and tables."""

HEADINGS = {
    "hidden_dim": "K",
    "n_seeds": "seeds",
    "left_out": "left out",
    "ci_low": "95% from",
    "ci_high": "95% to",
    "cohens_d": "Cohen's d",
    "superiority": "a is better in",
    "sim_low": "simult. 95% from",
    "sim_high": "simult. 95% to",
    "p_max_t": "p (max-T)",
    "difference": "a - b",
}
"""Headings that several tables share. Other columns use their name, or the heading that their table sets."""


@dataclass(frozen=True)
class Cell:
    """A table cell: its text and its sort value (None sorts last). detail: a second, smaller line. letters: raised, after the
    text. best: in bold."""

    text: str
    value: float | str | None = None
    numeric: bool = False
    detail: str = ""
    letters: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A sortable table. folded: shown only when opened. metrics: of each row, if each row is about one metric."""

    id: str
    caption: str
    headings: list[tuple[str, bool]]
    rows: list[list[Cell]]
    folded: bool = False
    metrics: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Picture:
    """A figure of the report: its file name, section, title, caption (how to read it), and its `<svg>` element.

    metric: the figure's metric, if every metric has such a figure.
    """

    name: str
    section: SectionId
    title: str
    caption: str
    svg: str
    folded: bool = False
    metric: str | None = None


@dataclass
class Section:
    """One question of the report: sentences first, then pictures, then tables. short: its name in the navigation."""

    id: SectionId
    short: str
    title: str
    lead: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    folded_pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    @property
    def picked(self) -> list[Picture]:
        """The pictures that belong to a metric; the page shows one metric's pictures at a time."""
        return [one for one in self.pictures if one.metric]

    @property
    def metrics(self) -> list[tuple[str, str]]:
        """The metrics to pick from, each with its label."""
        return [(name, label(name)) for name in dict.fromkeys(one.metric for one in self.picked if one.metric)]


def section_of_setting(column: str) -> SectionId:
    """The section about a setting."""
    return "lambda" if column.startswith("lambda") else "settings"


def table(
    name: str,
    caption: str,
    frame: pd.DataFrame,
    columns: Iterable[str] | None = None,
    *,
    folded: bool = False,
    headings: Mapping[str, str] | None = None,
) -> Table:
    """A DataFrame as a table of the report. Empty columns are omitted, as is `left_out` if nothing was left out."""
    wanted = frame.columns if columns is None else columns
    shown = [column for column in wanted if column in frame and frame[column].notna().any()]
    if "left_out" in shown and not frame["left_out"].any():
        shown.remove("left_out")
    known = {**HEADINGS, **(headings or {})}
    heads = [(known.get(column, column.replace("_", " ")), _is_number(frame[column])) for column in shown]
    cells = [[_cell(column, value) for value in frame[column]] for column in shown]
    metrics = [str(metric) for metric in frame["metric"]] if "metric" in shown else []
    return Table(name, caption, heads, [list(row) for row in zip(*cells, strict=True)], folded, metrics)


def overview(
    name: str, caption: str, summary: pd.DataFrame, keys: list[str], metrics: list[str], *, per_size: bool = False
) -> Table:
    """The summary with one row per group and one column per metric: the mean, and its interval below; sorts by the mean.

    per_size: whether the values are per size (`reshape.per_size`).
    """
    rows = []
    for key, group in summary.groupby(keys, sort=False, dropna=False):
        found = group.set_index("metric")
        cells = [Cell(show(value), str(value)) for value in as_tuple(key)]
        for metric in metrics:
            mean, low, high = (float(found[column][metric]) for column in ("mean", "ci_low", "ci_high"))
            width = high - low
            between = f"{rounded(low, width)} to {rounded(high, width)}" if math.isfinite(width) else ""
            value = mean if math.isfinite(mean) else None
            cells.append(Cell(rounded(mean, width), value, numeric=True, detail=between))
        rows.append(cells)
    headings = [(HEADINGS.get(key, key), False) for key in keys] + [
        (label(metric, per_size=per_size), True) for metric in metrics
    ]
    return Table(name, caption, headings, rows)


def picture(
    name: str,
    section: SectionId,
    title: str,
    caption: str,
    *,
    svg: str,
    alt: str,
    folded: bool = False,
    metric: str | None = None,
) -> Picture:
    """A picture from matplotlib's SVG. alt: what it shows, in words."""
    return Picture(name, section, title, caption, inline(svg, name, alt), folded, metric)


def render(context: Mapping[str, Any]) -> str:
    """The page. Everything from the study is escaped; only our own SVG, style and script are inserted unescaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    assets = files("analysis") / "templates"
    page = environment.get_template("report.html.j2")
    style = Markup((assets / "report.css").read_text(encoding="utf-8"))  # noqa: S704  # ours, not the study's
    script = Markup((assets / "report.js").read_text(encoding="utf-8"))  # noqa: S704  # ours, not the study's
    return page.render(style=style, script=script, digest=_digest, safe=Markup, **context)


def _digest(text: str) -> str:
    """The hash by which the page's security policy allows a script or a style: nothing else in the page may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def flat(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as rows of dotted name and text. Lists are joined; empty values are omitted."""
    rows: list[tuple[str, str]] = []
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            rows += flat(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            rows.append((name, ", ".join(show(item) for item in value)))
        elif value is not None and value != "":
            rows.append((name, show(value)))
    return rows


def _is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _cell(column: str, value: Any) -> Cell:
    if isinstance(value, (bool, np.bool_)):
        return Cell("yes" if value else "no", str(bool(value)))
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return Cell("n/a", None, numeric=True)
    if isinstance(value, (int, float, np.integer, np.floating)):
        plain = float(value)
        return Cell(_digits(column, plain), plain, numeric=True)
    return Cell(label(value) if column == "metric" and value in METRICS else str(value), str(value))


def _digits(column: str, value: float) -> str:
    if column in ("p", "p_max_t", "smallest_p"):
        return format_p(value)
    if column in ("superiority", "share"):
        return f"{value:.0%}"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e6 else number(value)
