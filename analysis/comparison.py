"""Sweeps side by side: the settings that differ, each metric in each sweep, and the differences paired by seed.

Imports statistics and, to write the page, its template.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.answer import IN_ANSWER, mean_and_spread
from analysis.load import AnalysisError, Study, load_study
from analysis.metrics import is_log, label
from analysis.reshape import done, order, recorded_metrics, varying
from analysis.schema import NEVER_COMPARED, config_columns
from analysis.stats import compare
from analysis.wording import counted, format_p, number, show
from infomax_tune.process.paths import user_path
from infomax_tune.store.objects import location

_SWEEP = "sweep"


@dataclass(frozen=True)
class Comparison:
    """A comparison of sweeps.

    names: of the sweeps, in the order given. settings: one row per setting that differs, one column per sweep. metrics: one
    row per cell and metric, "mean ± sd" in one column per sweep. pairs: every later sweep against the first, see
    `stats.compare`; empty if no cell and seed is in both. page: the HTML file, if one was written.
    """

    names: tuple[str, ...]
    settings: pd.DataFrame
    metrics: pd.DataFrame
    pairs: pd.DataFrame
    page: Path | None = None


def compare_sweeps(outs: Sequence[str | os.PathLike[str]], page: str | os.PathLike[str] | None = None) -> Comparison:
    """Compares the sweeps in these output folders. page: the HTML file to write; None for no page.

    Cells are matched by activation, width and every setting that varies within a sweep. Settings that are fixed within each
    sweep may differ between sweeps; their effect is what is compared, but never that of the data set. Raises AnalysisError if
    there are fewer than two folders or a folder has no results.
    """
    if len(outs) < 2:
        raise AnalysisError("give at least two output folders to compare.")
    studies = [load_study(out) for out in outs]
    names = _names(studies, outs)
    tables = dict(zip(names, (study.results for study in studies), strict=True))
    keys = _cell_keys(list(tables.values()))
    both = pd.concat([table.assign(**{_SWEEP: name}) for name, table in tables.items()], ignore_index=True)
    found = Comparison(names, _settings(tables), _metrics(both, keys, names), _pairs(both, keys, names))
    if page is None:
        return found
    path = user_path(page)
    try:
        path.write_text(_html(found), encoding="utf-8")
    except OSError as error:
        raise AnalysisError(f"{path}: cannot be written ({error.strerror or error}).") from error
    return Comparison(found.names, found.settings, found.metrics, found.pairs, path)


def _names(studies: Sequence[Study], outs: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """The folders' names, or their paths as given if two share a name. Raises AnalysisError if one is given twice."""
    names = tuple(study.name for study in studies)
    if len(set(names)) == len(names):
        return names
    paths = tuple(os.fspath(out) for out in outs)
    if len({str(location(path).resolve()) for path in paths}) < len(paths):
        raise AnalysisError("the same folder is given twice.")
    return paths


def _cell_keys(tables: Sequence[pd.DataFrame]) -> list[str]:
    """The columns that identify a cell: activation, width, what varies within a sweep, and the data set if it varies."""
    within = {column for table in tables for column in varying(table, but=("activation", "hidden_dim"))}
    if len({name for table in tables if NEVER_COMPARED in table for name in table[NEVER_COMPARED].dropna()}) > 1:
        within.add(NEVER_COMPARED)
    return ["activation", "hidden_dim", *(column for column in _config_columns(tables) if column in within)]


def _config_columns(tables: Iterable[pd.DataFrame]) -> list[str]:
    return list(dict.fromkeys(column for table in tables for column in config_columns(table)))


def _settings(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The settings, seeds included, whose values are not the same in all sweeps."""
    rows = []
    for column in (*_config_columns(tables.values()), "seed"):
        values = {
            name: ", ".join(show(value) for value in sorted(table[column].dropna().unique().tolist()))
            for name, table in tables.items()
            if column in table
        }
        if len(set(values.values())) > 1:
            rows.append({"setting": column, **values})
    return pd.DataFrame(rows, columns=["setting", *tables])


def _metrics(both: pd.DataFrame, keys: list[str], names: Sequence[str]) -> pd.DataFrame:
    cells = order(both[keys].drop_duplicates(), keys)
    groups = dict(iter(done(both).groupby([*keys, _SWEEP], dropna=False)))
    rows = []
    for metric in recorded_metrics(both):
        for cell in cells.itertuples(index=False, name=None):
            texts = {
                name: mean_and_spread(metric, groups[(*cell, name)][metric]) if (*cell, name) in groups else "n/a"
                for name in names
            }
            rows.append({**dict(zip(keys, cell, strict=True)), "metric": metric, **texts})
    return pd.DataFrame(rows, columns=[*keys, "metric", *names])


def _pairs(both: pd.DataFrame, keys: list[str], names: Sequence[str]) -> pd.DataFrame:
    """Every later sweep against the first, in every cell and metric that both have; corrected within a metric."""
    rows = done(both)
    found = [compare(rows, metric, _SWEEP, keys, against=names[0]) for metric in recorded_metrics(both)]
    found = [table[table["n"] > 0] for table in found if len(table)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def terminal_table(found: Comparison) -> pd.DataFrame:
    """The study's main metrics side by side, as text. With two sweeps, also their difference (second - first) and its p."""
    table = found.metrics[found.metrics["metric"].isin(IN_ANSWER)]
    keys = list(table.columns[: table.columns.get_loc("metric")])  # type: ignore[misc]
    shown = table.assign(metric=table["metric"].map(label))
    if len(found.names) == 2 and len(found.pairs):
        told = found.pairs.assign(
            difference=[
                _difference(*row)
                for row in found.pairs[["metric", "difference", "p_max_t", "n"]].itertuples(index=False)
            ]
        )
        told = told[[*keys, "metric", "difference"]]
        heading = f"{found.names[1]} - {found.names[0]}"
        shown[heading] = table.merge(told, on=[*keys, "metric"], how="left")["difference"].fillna("n/a").to_numpy()
    for key in keys:
        shown[key] = shown[key].map(show)
    first = [key for key in keys if key == "activation" or shown[key].nunique() > 1]
    return shown[["metric", *first, *shown.columns[len(keys) + 1 :]]].rename(columns={"hidden_dim": "units"})


def _difference(metric: str, difference: float, p: float, n: float) -> str:
    """The difference the other way round, since `compare` gives first - second."""
    told = "no test" if pd.isna(p) else f"p {format_p(p)}"
    return f"{_shown(metric, 0.0 - difference)} ({told}, {counted(int(n), 'seed')})"


def _shown(metric: str, difference: float) -> str:
    """A difference as text. The difference of a ratio is of logarithms, and shown as a factor."""
    return f"{number(math.exp(difference))} times" if is_log(metric) else number(difference)


def _html(found: Comparison) -> str:
    """A standalone page without scripts."""
    from importlib.resources import files

    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=PackageLoader("analysis"), autoescape=True, undefined=StrictUndefined)
    style = (files("analysis") / "templates" / "report.css").read_text(encoding="utf-8")
    tables = [("Settings that differ", found.settings)]
    for metric, rows in found.metrics.groupby("metric", sort=False):
        tables.append((label(str(metric)), rows.drop(columns="metric")))
    if len(found.pairs):
        tables.append(("Differences, paired by seed", _told(found.pairs)))
    return environment.get_template("comparison.html.j2").render(
        names=found.names,
        tables=[
            (caption, [str(column).replace("_", " ") for column in rows], rows.map(show).to_numpy().tolist())
            for caption, rows in tables
        ],
        style=Markup(style),  # noqa: S704  # ours, not the study's
    )


def _told(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs as the page shows them."""
    keys = list(pairs.columns[: pairs.columns.get_loc("metric")])  # type: ignore[misc]
    told = pairs[[*keys, "metric", "a", "b", "n", "difference", "ci_low", "ci_high", "p", "p_max_t"]].copy()
    for column in ("difference", "ci_low", "ci_high"):
        told[column] = [_shown(*each) for each in told[["metric", column]].itertuples(index=False)]
    told["metric"] = told["metric"].map(label)
    for column in ("p", "p_max_t"):
        told[column] = told[column].map(format_p)
    return told.rename(
        columns={"n": "seeds", "difference": "a - b", "ci_low": "95% from", "ci_high": "95% to", "p_max_t": "p (max-T)"}
    )
