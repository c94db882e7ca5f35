"""One call from a sweep's folder to its statistics, figures and report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import glossary
from analysis.evidence import Evidence, gather
from analysis.schema import CONFIG_COLUMNS
from analysis.study import Output, Study, load_study
from analysis.tables import gaps, order, show, varying


@dataclass(frozen=True)
class Analysis(os.PathLike[str]):
    """What an analysis wrote. It is itself the path of the report: `open(analyze("out"))` opens the page.

    planned, done: trials, so that a caller can say how complete the study is.
    """

    folder: Path
    report: Path
    files: tuple[Path, ...]
    planned: int
    done: int

    def __fspath__(self) -> str:
        """The path of report.html."""
        return str(self.report)


def analyze(
    out: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    seed: int = 0,
    command: str | None = None,
) -> Analysis:
    """Analyse a sweep's output folder: summary.csv, tables of all statistics, figures as PNG, and report.html.

    out: the folder a sweep wrote; only its results.csv is needed. output_dir: where to write, by default
    `<out>/analysis`. seed: of the bootstrap, the only random draw; the same tables and seed give the same bytes.
    command: what the report gives as the command that repeats the study, by default the one that
    environment.json names.

    Raises AnalysisError where the folder holds no results, the table is torn or lacks a column, or the output folder
    cannot be written. Needs neither Ray nor torch.
    """
    study = load_study(out)
    target = Output(Path(out) / "analysis" if output_dir is None else output_dir)
    return analyze_study(study, target, seed=seed, command=command)


def analyze_study(study: Study, target: Output, *, seed: int = 0, command: str | None = None) -> Analysis:
    """As `analyze`, from a study already in memory."""
    evidence = gather(study, seed=seed)
    for name, table in {
        "summary.csv": evidence.summary,
        "counts.csv": evidence.counts,
        "cells.csv": evidence.cells,
        "comparisons.csv": _scope_first(evidence.pairs),
        "friedman.csv": evidence.friedman,
        "convergence.csv": evidence.convergence,
        "loss_spread.csv": evidence.spread,
        "equal_spread.csv": evidence.equal_spread,
    }.items():
        if len(table.columns):
            target.write(name, table)
    # Here, not at the top: a caller who only wants tables should not wait for matplotlib.
    from analysis import report, style
    from analysis.album import album

    pictures = {}
    for drawing in album(study, evidence):
        figure = drawing.draw()
        # The layout is found once, not again for each format: it is half the time of a figure.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        target.write(f"{drawing.name}.png", style.to_png(figure))
        pictures[drawing.name] = report.picture(
            drawing.name, drawing.title, drawing.alt.strip(), drawing.caption, style.to_svg(figure)
        )
    command = command or study.environment.get("command") or "infomax-tune sweep sweep.yaml"
    context = _context(study, evidence, pictures, seed, str(command))
    page = target.write("report.html", report.render(context))
    finished = int((study.results["status"] == "done").sum())
    return Analysis(target.folder, page, tuple(target.files), len(study.results), finished)


def _context(study: Study, e: Evidence, pictures: dict[str, Any], seed: int, command: str) -> dict[str, Any]:
    from analysis import sections
    from analysis.report import flat, table

    status = study.results["status"].value_counts()
    shortfall = [f"{status[name]} {name}" for name in ("diverged", "failed", "missing") if status.get(name)]
    space = study.space
    by = [column for column in e.counts.columns if column not in status.index and column not in ("planned", "done")]
    by = [column for column in by if column not in ("diverged", "failed", "missing")]
    run_tables = [
        table("settings", "Settings: what was varied, what was held", _settings(study.results)),
        table(
            "counts", "Trials by activation and width", e.counts, [*by, "planned", *_statuses(e.counts)], folded=True
        ),
    ]
    if study.environment:
        rows = pd.DataFrame(flat(study.environment), columns=["what", "value"])
        run_tables.append(table("environment", "Environment", rows, folded=True))
    notes = [
        *study.notes,
        *gaps(study.results),
        f"Bootstrap intervals: {e.n_resamples:,} resamples, seed {seed}. No other number here is drawn at random.",
    ]
    return {
        "title": str(space.get("name") or study.name),
        "description": str(space.get("description") or "").strip(),
        "planned": len(study.results),
        "done": int(status.get("done", 0)),
        "shortfall": ", ".join(shortfall),
        "command": command,
        "warnings": sections.warnings(e),
        "headlines": sections.headlines(e),
        "run_tables": run_tables,
        "notes": notes,
        "sections": sections.sections(e, pictures),
        "glossary": glossary.terms(e.metrics),
    }


def _settings(results: pd.DataFrame) -> pd.DataFrame:
    rows = []
    changed = varying(results)
    for column in [*changed, "seed", *(c for c in CONFIG_COLUMNS if c in results and c not in changed)]:
        values = order(results[[column]].drop_duplicates(), [column])[column].tolist()
        text = ", ".join(show(value) for value in values)
        if len(values) > 12:
            text = f"{len(values)} values, {show(values[0])} to {show(values[-1])}"
        rows.append((column, "varied" if column in changed or len(values) > 1 else "held", text))
    return pd.DataFrame(rows, columns=["setting", "role", "values"])


def _statuses(counts: pd.DataFrame) -> list[str]:
    return ["done", *(name for name in ("diverged", "failed", "missing") if counts[name].any())]


def _scope_first(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs[["scope", *(column for column in pairs.columns if column != "scope")]]
