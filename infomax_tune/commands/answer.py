"""The commands that show results: results, analyze, compare and evaluate."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from infomax_tune import api
from infomax_tune.commands.app import (
    DataDir,
    Folder,
    FolderOfAny,
    TrustParts,
    app,
    as_location,
    as_path,
    examples,
    typed_command,
)
from infomax_tune.commands.ending import print_answer, show_frame
from infomax_tune.follow.display import choose, clock
from infomax_tune.process.signals import EXIT_INTERRUPTED
from infomax_tune.process.streams import write_line
from infomax_tune.store.locks import Work
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables


@app.command(epilog=examples("results results/activation_study"))
def results(out: Folder) -> None:
    """Build the tables from the records and show the results.

    Writes results.csv, results.parquet, history.parquet and timings.csv.
    """
    folder = SweepFolder(out)
    plan = folder.read_plan()
    with folder.lock(Work.TABLES):
        table = write_tables(folder, plan)
    page, finding = (folder.report, folder.report_finding()) if folder.report_is_current() else (None, "")
    print_answer(folder, Counter(table["status"]), finding, page)


@app.command(
    epilog=examples("analyze results/activation_study", "analyze results/activation_study --output-dir talk/figures")
)
def analyze(
    out: Folder,
    output_dir: Annotated[
        Path | None, typer.Option(help="Folder to write to. [default: OUT/analysis]", parser=as_location)
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", metavar="png,pdf,svg", help="File formats for the figures, one or more.")
    ] = "png",
    dpi: Annotated[int, typer.Option(min=30, max=1200, help="Resolution of the figures, in dots per inch.")] = 150,
    width: Annotated[
        float | None,
        typer.Option(
            min=2.5,
            max=20,
            metavar="INCHES",
            help="Width of the figures' files, for a paper, with text of 7 to 9 points. [default: as on the page]",
        ),
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Also write the tables for a paper as LaTeX.")] = False,
    with_host: Annotated[bool, typer.Option("--with-host", help="Include the machine's name in the report.")] = False,
) -> None:
    """Make a sweep's statistics, figures and report."""
    formats = [kind.strip().lower() for kind in format_.split(",") if kind.strip()]
    with choose(sys.stdout, sys.stderr, quiet=not sys.stdout.isatty()) as shown, shown.waiting("writing the report"):
        written = api.analyze(
            out, output_dir=output_dir, with_host=with_host, formats=formats, dpi=dpi, width=width, latex=latex
        )
    typer.echo(f"{len(written.files)} files in {written.folder}")
    typer.echo(f"report: {written.report}")


@app.command(
    epilog=examples("compare results/pair results/lambda", "compare results/* --page talk/comparison.html"),
)
def compare(
    outs: Annotated[
        list[Path],
        typer.Argument(help="The output folders of two or more sweeps.", metavar="OUT...", parser=as_location),
    ],
    page: Annotated[Path, typer.Option(help="The HTML page to write.", parser=as_path)] = Path("comparison.html"),
) -> None:
    """Compare sweeps: settings, metrics, differences."""
    found = api.compare(*outs, page=page)
    from analysis.comparison import terminal_table

    if len(found.settings):
        typer.echo("settings that differ:")
        show_frame(found.settings, text_columns=len(found.names) + 1)
    else:
        typer.echo("the settings are the same")
    typer.echo("")
    show_frame(terminal_table(found), text_columns=2)
    typer.echo(f"\nall metrics, with intervals: {page.resolve().as_uri()}")


@app.command(
    epilog=examples("evaluate results/activation_study", "evaluate results/activation_study --mutual-information")
)
def evaluate(
    out: FolderOfAny,
    probe: Annotated[bool, typer.Option("--probe", help="Measure probe_accuracy, as with logging.probe=true.")] = False,
    mutual_information: Annotated[
        bool,
        typer.Option(
            "--mutual-information", help="Measure mutual_information and its null, which take seconds a trial."
        ),
    ] = False,
    data_dir: DataDir = None,
    trust_parts: TrustParts = False,
    address: Annotated[
        str | None,
        typer.Option(help="The Ray cluster that measures, such as auto or HOST:6379. [default: this machine]"),
    ] = None,
) -> None:
    """Add metrics to finished trials without training.

    Computes those that did not exist when the trials were trained, and those that you ask for, from the saved weights. The
    tables are the same as if they had been measured from the start.
    """
    folder, progress = SweepFolder(out), _Progress("measured")
    try:
        api.evaluate(
            out,
            probe=probe,
            mutual_information=mutual_information,
            data_dir=data_dir,
            trust_parts=trust_parts,
            address=address,
            on_trial=progress,
        )
    except KeyboardInterrupt:
        typer.echo(f"\nstopped; measurements so far are kept; to resume: {typed_command()}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if folder.has_sweep():
        typer.echo(f"results: {folder.results_csv} now has every metric asked for")
        typer.echo(f"to update the report: {folder.command('analyze')}")
    else:
        typer.echo(f"{out}: its record now has every metric asked for")


class _Progress:
    """Shows how many trials are measured, and the time left: in a terminal one line, overwritten; in a pipe a line at the start,
    then one a minute, and one at the end."""

    def __init__(self, what: str) -> None:
        self._what, self._out = what, sys.stdout
        self._first: tuple[int, float] | None = None
        self._shown = float("-inf")

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        first, begun = self._first = self._first or (done, now)
        left = f", about {clock((now - begun) / (done - first) * (total - done))} left" if first < done < total else ""
        line = f"{self._what}: {done} of {total} trials{left}"
        if self._out.isatty():
            self._out.write(f"\r{line:60}" + "\n" * (done == total))
            self._out.flush()
        elif done == total or now - self._shown >= _EVERY_S:
            self._shown = now
            write_line(self._out, line)


_EVERY_S = 60.0
