"""Tables for a paper in Markdown and LaTeX: the best in bold, letters for significance, digits that the interval justifies.

From the tables of `evidence` to text; imports neither figures nor the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from analysis.evidence import Evidence, level_means
from analysis.metrics import METRICS, is_log, label, sign
from analysis.reshape import as_tuple, cell_columns, done
from analysis.schema import NEVER_COMPARED, activation_order
from analysis.wording import capital, counted, number, show, words
from infomax_tune.parts.catalogue import ours

MAX_TABLES = 24
"""Limits the output of studies with many settings."""

MAX_METRICS = 6
"""The first ones of the report."""

IN_A_TABLE = 3
"""Metrics side by side in LaTeX: with more, a table is wider than a page."""

DAGGER = "\u2020"
"""Marks a number that lacks seeds."""


@dataclass(frozen=True)
class Entry:
    """One number of a table. value: as text, with its interval; a dagger if it lacks seeds. n: its seeds.

    best: whether it has the best mean and differs significantly from at least one other; never a plain 0. letters: levels
    that share one do not differ significantly. ranked: whether it is compared with the others. mean: as a number.
    """

    value: str
    best: bool
    letters: str
    n: int
    ranked: bool
    mean: float = field(default=math.nan, compare=False)


@dataclass(frozen=True)
class PaperTable:
    """One table: one row per activation, one column per metric. title: its stratum, such as "K = 16". how: how to read it.

    effects: the paired Cohen's d of each metric's best against its next, as text; "" if there is none. chances: each metric's
    value by chance (`Column.chance`), as text; "" if it is not known. floors: a sentence about what values cannot be below.
    """

    title: str
    how: str
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry | None, ...]], ...]
    effects: tuple[str, ...]
    chances: tuple[str, ...] = ()
    floors: str = ""

    @property
    def note(self) -> str:
        """All that a reader of this table alone needs."""
        effect = " d: paired Cohen's d of the best mean against the next." if any(self.effects) else ""
        return f"{self.title}: {self.how}{self.floors}{effect}"

    @property
    def last_rows(self) -> list[tuple[str, tuple[str, ...]]]:
        """The rows that are of no activation, each with its name."""
        rows = (("chance", self.chances), ("d", self.effects))
        return [(name, texts) for name, texts in rows if any(texts)]


def paper_tables(e: Evidence) -> list[PaperTable]:
    """One table of activations for each width (and other setting), with the metrics that rank activations and differ: InfoMax's
    first, then those of the baselines, whose activations are not tested. Of several data sets, each has as many tables.
    """
    finished = done(e.results)
    metrics = [name for name in e.metrics if sign(name) and METRICS[name].ranked and finished[name].nunique() > 1]
    metrics = metrics[:MAX_METRICS]
    if not metrics:
        return []
    cells = e.summary[e.summary["group"] == "activation x width"]
    made = _tables_of(e.infomax, e.of_infomax(cells), e.by_width if len(e.by_width) else e.pooled, metrics)
    baselines = e.results[~e.results["trial_id"].isin(e.infomax["trial_id"])]
    for name, trials in baselines.groupby("objective") if len(baselines) else ():
        made += _tables_of(trials, cells[cells["objective"] == name], pd.DataFrame(), metrics)
    groups: dict[object, list[PaperTable]] = {}
    for dataset, table in made:
        groups.setdefault(dataset, []).append(table)
    each = max(1, MAX_TABLES // max(1, len(groups)))
    kept = {id(table) for tables in groups.values() for table in tables[:each]}
    return [table for _, table in made if id(table) in kept]


def _tables_of(
    planned: pd.DataFrame, cells: pd.DataFrame, pairs: pd.DataFrame, metrics: Sequence[str]
) -> list[tuple[object, PaperTable]]:
    """The tables of one objective's trials, each with its data set. Titles name the objective if the study has several."""
    strata = [column for column in cell_columns(planned) if column != "activation"]
    objective = {"objective": cells["objective"].iloc[0]} if "objective" in cells and "objective" not in strata else {}
    made = []
    for key, rows in cells[cells["n"] > 0].groupby(strata, dropna=False):
        where = dict(zip(strata, as_tuple(key), strict=True))
        titled = [*(objective | where).items()]
        told = [f"{'K' if column == 'hidden_dim' else column} = {show(value)}" for column, value in titled]
        trials = _of_stratum(done(planned), where)
        table = _table(", ".join(told), rows, trials, _of_stratum(pairs, where), metrics)
        if table is not None:
            made.append((where.get(NEVER_COMPARED), table))
    return made


def _of_stratum(pairs: pd.DataFrame, where: dict[str, object]) -> pd.DataFrame:
    for column, value in where.items():
        if column in pairs:
            pairs = pairs[pairs[column] == value]
    return pairs


def _table(
    title: str, cells: pd.DataFrame, trials: pd.DataFrame, pairs: pd.DataFrame, metrics: Sequence[str]
) -> PaperTable | None:
    """cells: of the summary. trials: the finished ones. pairs: of activations. All of this table's stratum.

    None if no activation has a mean, because no seed is complete.
    """
    shown = tuple(metric for metric in metrics if (cells["metric"] == metric).any())
    columns = [_entries(cells[cells["metric"] == metric], trials, pairs, metric) for metric in shown]
    effects = tuple(
        _effect(column, pairs[pairs["metric"] == metric] if len(pairs) else pairs, metric)
        for metric, column in zip(shown, columns, strict=True)
    )
    names = activation_order(cells["activation"])
    rows = tuple((name, tuple(column.get(name) for column in columns)) for name in names)
    entries = [entry for column in columns for entry in column.values()]
    if not entries:
        return None
    n = [entry.n for entry in entries]
    seeds = counted(max(n), "seed") if min(n) == max(n) else f"{min(n)} to {max(n)} seeds"
    how = f"mean over {seeds}."
    if max(n) > 1:
        how = f"mean over {seeds} \u00b1 half the width of its 95% t interval (if asymmetric, both ends)."
    units, dataset = int(cells["hidden_dim"].iloc[0]), str(trials["dataset"].iloc[0]) if "dataset" in trials else ""
    chances = tuple(_chance(metric, units, dataset) for metric in shown)
    if any(chances):
        how += " Chance: of random weights, and of independent outputs."
    if any(entry.letters for entry in entries):
        how += (
            " Bold: the best mean, if it differs significantly from any other. Activations that share a letter do not differ "
            "significantly by a sign-flip test paired by seed, corrected (max-T, 5%) for all pairs and widths of the metric."
        )
    if any(entry.value.endswith(DAGGER) for entry in entries):
        how += f" {DAGGER} Some seeds have no value; activations are compared on the seeds that all of them have."
    if not all(entry.ranked for entry in entries):
        how += " An activation with fewer than half as many seeds as the most complete one is not compared and has no letter."
    return PaperTable(title, how, shown, rows, effects, chances, _floors(trials, shown, units))


def _chance(metric: str, units: int, dataset: str) -> str:
    chance, source = METRICS[metric].chance, ours("datasets").get(dataset)
    return number(chance(units, source.shape.inputs, source.shape.test)) if chance and source else ""


def _floors(trials: pd.DataFrame, metrics: Sequence[str], units: int) -> str:
    """What the values of activations whose outputs sum to 1 cannot be below: it is no achievement of theirs to be near it."""
    if "max_avg_responsibility" not in trials:
        return ""
    names = activation_order(trials.loc[trials["max_avg_responsibility"].notna(), "activation"])
    floors = [f"{label(metric)} {number(floor(units))}" for metric in metrics if (floor := METRICS[metric].floor)]
    return (
        f" The outputs of {words(names)} sum to 1, so their least possible value is: {words(floors)}."
        if names and floors
        else ""
    )


def _effect(column: dict[str, Entry], pairs: pd.DataFrame, metric: str) -> str:
    """The paired Cohen's d of the best against the next, positive if the best is better: 1.2; "" if the pairs have none."""
    ranked = [name for name, entry in column.items() if entry.ranked]
    here = pairs[pairs["a"].isin(ranked) & pairs["b"].isin(ranked)].dropna(subset=["cohens_d"]) if len(pairs) else pairs
    if len(ranked) < 2 or not len(here):
        return ""
    means = pd.concat([here.set_index("a")["mean_a"], here.set_index("b")["mean_b"]]).groupby(level=0).first()
    first, second = (sign(metric) * means).sort_values(ascending=False, kind="stable").index[:2]
    found = here[here["a"].isin([first, second]) & here["b"].isin([first, second])]
    return f"{abs(found['cohens_d'].iloc[0]):.2g}" if len(found) else ""


def _entries(cells: pd.DataFrame, trials: pd.DataFrame, pairs: pd.DataFrame, metric: str) -> dict[str, Entry]:
    """Of each activation with a value. Means, bold and letters are those of the report's sentences: on complete blocks."""
    means = level_means(trials, metric, units=int(cells["hidden_dim"].iloc[0]))
    means = means[means["n"] > 0].set_index("activation")
    ranked = means.loc[means["ranked"], "mean"]
    order = (sign(metric) * ranked).sort_values(ascending=False, kind="stable").index.astype(str).tolist()
    of_metric = pairs[pairs["metric"] == metric] if len(pairs) else pairs
    tested = of_metric
    if len(tested):
        tested = tested[tested["p"].notna() & tested["a"].isin(ranked.index) & tested["b"].isin(ranked.index)]
    apart = (
        [(str(a), str(b)) for a, b, told in tested[["a", "b", "significant"]].itertuples(index=False) if told]
        if len(tested)
        else []
    )
    given = letters(order, apart) if len(tested) else {}
    best = ranked.max() if sign(metric) > 0 else ranked.min()
    differs = {name for pair in apart for name in pair}
    finished = cells.set_index("activation")
    lacking = set(finished.index[finished["n"] < finished["planned"]])
    entries = {}
    for name, row in means.iterrows():
        value = with_interval(row["mean"], row["ci_low"], row["ci_high"], symmetric=not is_log(metric))
        leads = bool(row["ranked"]) and bool(np.isclose(row["mean"], best, rtol=1e-12, atol=0))
        entries[str(name)] = Entry(
            value + (DAGGER if name in lacking else ""),
            leads and str(name) in differs and value != "0",
            given.get(str(name), ""),
            int(row["n"]),
            bool(row["ranked"]),
            float(row["mean"]),
        )
    return entries


def letters(levels: Sequence[str], apart: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A compact letter display: two levels share a letter if and only if they do not differ significantly.

    levels: the best first; it gets an a. apart: the pairs that differ significantly. The letters after z are aa, ab, ...
    Source: Piepho (2004), insert and absorb.
    """
    columns: list[frozenset[str]] = [frozenset(levels)]
    for one, other in apart:
        split: list[frozenset[str]] = []
        for column in columns:
            split += [column - {one}, column - {other}] if one in column and other in column else [column]
        unique = list(dict.fromkeys(split))
        columns = [column for column in unique if not any(column < larger for larger in unique)]
    place = {level: i for i, level in enumerate(levels)}
    columns.sort(key=lambda column: sorted(place[level] for level in column))
    return {level: "".join(_letter(i) for i, column in enumerate(columns) if level in column) for level in levels}


def _letter(i: int) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return alphabet[i] if i < len(alphabet) else _letter(i // len(alphabet) - 1) + _letter(i % len(alphabet))


def with_interval(mean: float, low: float, high: float, *, symmetric: bool = True) -> str:
    """A mean with its interval, rounded to two digits of half the interval: 55.42 \u00b1 0.26; or (low to high).

    symmetric: False for a ratio, whose interval can span orders of magnitude; its numbers have three digits each.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{mean:.3g}"
    if not symmetric:
        return f"{number(mean)} ({number(low)} to {number(high)})"
    half = (high - low) / 2
    if half <= 0 and mean == 0:
        return "0"
    if half <= 0:
        return f"{mean:.3g} \u00b1 0"
    digits = max(0, 1 - math.floor(math.log10(half)))
    if math.isclose(mean - low, high - mean, rel_tol=1e-6):
        return f"{mean:,.{digits}f} \u00b1 {half:,.{digits}f}"
    return f"{mean:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})"


def as_markdown(tables: Sequence[PaperTable]) -> str:
    """The tables in sequence, each with its note; letters are superscripts."""
    parts = []
    for table in tables:
        heads = ["activation", *(heading(metric) for metric in table.metrics)]
        lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * len(table.metrics)]
        for name, entries in table.rows:
            cells = []
            for entry in entries:
                if entry is None:
                    cells.append("")
                    continue
                value = f"**{entry.value}**" if entry.best else entry.value
                cells.append(value + (f" <sup>{entry.letters}</sup>" if entry.letters else ""))
            lines.append(f"| {' | '.join([name, *cells])} |")
        lines += [f"| {' | '.join([name, *texts])} |" for name, texts in table.last_rows]
        parts.append("\n".join([table.note, "", *lines]))
    return "\n\n".join(parts) + "\n"


def as_latex(tables: Sequence[PaperTable]) -> str:
    """The tables in sequence, for a document that loads booktabs and graphicx. They fit into a page of `article` and a column
    of its two-column form: at most IN_A_TABLE metrics each, and one that is still too wide is made smaller.
    """
    parts = ["% For a document with \\usepackage{booktabs,graphicx}."]
    for table in tables:
        for first in range(0, len(table.metrics), IN_A_TABLE):
            some = slice(first, first + IN_A_TABLE)
            part = replace(
                table,
                metrics=table.metrics[some],
                rows=tuple((name, entries[some]) for name, entries in table.rows),
                effects=table.effects[some],
                chances=table.chances[some],
            )
            parts.append(_latex_table(part, len(parts)))
    return "\n\n".join(parts) + "\n"


def _latex_table(table: PaperTable, number_: int) -> str:
    heads = ["activation", *(_latex_heading(metric) for metric in table.metrics)]
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_latex(table.note)}}}",
        f"\\label{{tab:infomax-{number_}}}",
        "\\footnotesize",
        "\\setlength{\\tabcolsep}{3pt}",
        "\\sbox0{%",
        f"\\begin{{tabular}}{{@{{}}l{'r' * len(table.metrics)}@{{}}}}",
        "\\toprule",
        " & ".join(heads) + " \\\\",
        "\\midrule",
    ]
    for name, entries in table.rows:
        lines.append(" & ".join([_latex(name), *map(_latex_entry, entries)]) + " \\\\")
    if table.last_rows:
        lines.append("\\midrule")
    lines += [" & ".join([{"d": "$d$"}.get(name, name), *texts]) + " \\\\" for name, texts in table.last_rows]
    lines += [
        "\\bottomrule",
        "\\end{tabular}}%",
        "\\ifdim\\wd0>\\linewidth\\resizebox{\\linewidth}{!}{\\usebox0}\\else\\usebox0\\fi",
        "\\end{table}",
    ]
    return "\n".join(lines)


def _latex_entry(entry: Entry | None) -> str:
    if entry is None:
        return ""
    value = f"\\textbf{{{_latex(entry.value)}}}" if entry.best else _latex(entry.value)
    return value + (f"\\textsuperscript{{{entry.letters}}}" if entry.letters else "")


def heading(metric: str) -> str:
    arrow = {1: " \u2191", -1: " \u2193", 0: ""}[sign(metric)]
    return capital(label(metric)) + arrow


def _latex_heading(metric: str) -> str:
    """One word per line, so that the headings do not widen the columns."""
    text = heading(metric).replace(" \u2191", "~$\\uparrow$").replace(" \u2193", "~$\\downarrow$")
    lines = " \\\\ ".join(text.split(" "))
    return f"\\shortstack{{{lines}}}"


def _latex(text: str) -> str:
    for sign_, written in (("\\", "\\textbackslash{}"), ("_", "\\_"), ("%", "\\%"), ("&", "\\&"), ("#", "\\#")):
        text = text.replace(sign_, written)
    return text.replace("\u00b1", "$\\pm$").replace(DAGGER, "$\\dagger$")
