"""One call from a sweep's folder to its statistics, figures and report. Imports the whole package."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.evidence import Evidence, gather
from analysis.findings import answer
from analysis.load import AnalysisError, Study, load_study
from analysis.output import DPI, FigureFiles, Output
from analysis.schema import DONE
from analysis.tables import study_tables
from infomax_tune.process import granted
from infomax_tune.process.children import share
from infomax_tune.store.files import link_problems
from infomax_tune.store.objects import location
from infomax_tune.store.sweep_folder import SweepFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.report import Picture

    _Drawn = tuple[Picture, dict[str, bytes | str]]
    """A figure of the page, and the contents of its files by name."""


@dataclass(frozen=True)
class Analysis(os.PathLike[str]):
    """What an analysis wrote. It can be used as the path of the report: `open(analyze("out"))` opens the page.

    planned, done: numbers of trials, which show how complete the study is. finding: which activation leads, in words, or the
    report's first answer if there is one activation; "" if there is none.
    """

    folder: Path
    report: Path
    files: tuple[Path, ...]
    planned: int
    done: int
    finding: str = ""

    def __fspath__(self) -> str:
        """The path of report.html."""
        return str(self.report)


def analyze(
    out: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    command: str | None = None,
    host: bool = False,
    formats: Sequence[str] = ("png",),
    dpi: int = DPI,
    width: float | None = None,
    latex: bool = False,
) -> Analysis:
    """Analyze a sweep's output folder: summary.csv, tables of all statistics, figures, and report.html.

    out: the folder a sweep wrote; only its results.csv is needed. output_dir: where to write, by default
    `<out>/analysis`. The same tables give the same bytes. command: the command that the
    report shows for repeating the study, by default the one in environment.json. host: whether the report names the
    machine, as environment.json does. formats: of the figures, any of png, pdf and svg. dpi: of the figures, 30 to 1,200.
    width: of the figures' files in inches, 2.5 to 20, for a paper: at that width their text has 7 to 9 points. latex: whether
    to write the tables for a paper as tables.tex too, in addition to tables.md.

    Raises AnalysisError if the folder has no results, the table is torn or lacks a column, the output folder cannot be
    written, or a format is unknown. Needs neither Ray nor torch.
    """
    files = FigureFiles(tuple(formats), dpi, width)
    study = load_study(out)
    if not host:
        study.environment.pop("host", None)
    if output_dir is None:
        output_dir = SweepFolder(location(out)).report.parent
        for problem in link_problems([output_dir]):
            raise AnalysisError(problem)
    target = Output(output_dir)
    return analyze_study(study, target, command=command, files=files, latex=latex)


def analyze_study(
    study: Study,
    target: Output,
    *,
    command: str | None = None,
    files: FigureFiles | None = None,
    latex: bool = False,
) -> Analysis:
    """Like `analyze`, for a study already in memory."""
    files = files or FigureFiles()
    evidence = gather(study)
    tables = list(study_tables(evidence))
    for table in tables:
        if table.rows is not None and len(table.rows.columns):
            target.write(table.csv, table.rows)
    # Imported here, not at the top: a caller who only wants tables should not wait for matplotlib.
    from analysis import paper, report
    from analysis.sections import page

    pictures = []
    for picture, contents in _pictures(evidence, files):
        for name, content in contents.items():
            target.write(name, content)
        pictures.append(picture)
    for_paper = paper.paper_tables(evidence)
    if for_paper:
        target.write("tables.md", paper.as_markdown(for_paper))
        if latex:
            target.write("tables.tex", paper.as_latex(for_paper))
    command = str(command or study.environment.get("command") or "infomax-tune sweep sweep.yaml")
    content = page(evidence, pictures, tables, for_paper, command=command)
    written = target.write("report.html", report.render(content))
    done = int((study.results["status"] == DONE).sum())
    return Analysis(target.folder, written, tuple(target.files), len(study.results), done, answer(evidence))


def _pictures(evidence: Evidence, files: FigureFiles) -> list[_Drawn]:
    """All figures in page order, drawn by as many processes as there are CPUs for it. Each imports matplotlib for itself,
    without the user's settings of it."""
    jobs = min(_MOST_JOBS, granted.cpus())
    tasks = [(evidence, files, first, jobs) for first in range(jobs)]
    shares = share(_draw, tasks, MPLBACKEND="agg", MATPLOTLIBRC=os.devnull)
    return [drawn for _, drawn in sorted(itertools.chain(*shares), key=lambda numbered: numbered[0])]


_MOST_JOBS = 4
"""With more, their start would take longer than the figures they draw."""


def _draw(evidence: Evidence, files: FigureFiles, first: int, every: int) -> list[tuple[int, _Drawn]]:
    """Every so many-th figure of the album from the first one on, with its place."""
    from analysis import report, style
    from analysis.album import album

    style.know(evidence.study.own_parts())
    drawn = []
    for place, drawing in enumerate(album(evidence)):
        if place % every != first:
            continue
        figure = _laid_out(drawing.draw())
        svg = style.to_svg(figure)
        if files.width is None:
            contents = _contents(drawing.name, figure, files, svg)
        else:
            with style.for_paper(files.width):
                figure = drawing.draw()
                style.fit_texts(figure)
                contents = _contents(drawing.name, _laid_out(figure), files)
        picture = report.picture(
            drawing.name,
            drawing.section,
            drawing.title,
            drawing.caption,
            svg=svg,
            alt=drawing.alt.strip(),
            folded=drawing.folded,
            metric=drawing.metric,
        )
        drawn.append((place, (picture, contents)))
    return drawn


def _laid_out(figure: Figure) -> Figure:
    """Lays out a figure once, not again for each format: layout takes half the time of a figure."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def _contents(name: str, figure: Figure, files: FigureFiles, svg: str = "") -> dict[str, bytes | str]:
    """The contents of a figure's files by name. svg: if it is already made."""
    from analysis import style

    return {
        f"{name}.{kind}": svg or style.to_svg(figure) if kind == "svg" else style.to_bytes(figure, kind, files.dpi)
        for kind in files.formats
    }
