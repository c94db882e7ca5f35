"""What came out: the commands results, analyze, compare and evaluate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from infomax_tune import operations
from infomax_tune.commands.app import Folder, app, examples, print_counts
from infomax_tune.store.files import Work
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables


@app.command(epilog=examples("results results/activation_study"))
def results(out: Folder) -> None:
    """Make the tables from the records, and show the results.

    Writes results.csv, results.parquet, history.parquet and timings.csv.
    """
    folder = SweepFolder(out)
    plan = folder.read_space().plan()
    with folder.lock(Work.TABLES):
        table = write_tables(folder, plan)
    print_counts(Counter(table["status"]))
    typer.echo(f"results: {folder.results_csv}")


@app.command(
    epilog=examples("analyze results/activation_study", "analyze results/activation_study --output-dir talk/figures")
)
def analyze(
    out: Folder,
    output_dir: Annotated[Path | None, typer.Option(help="Where to write. [default: OUT/analysis]")] = None,
    with_host: Annotated[bool, typer.Option("--with-host", help="Name the machine in the report.")] = False,
) -> None:
    """Make the statistics, figures and report of a sweep."""
    written = operations.analyze(out, output_dir, host=with_host)
    typer.echo(f"{len(written.files)} files in {written.folder}")
    typer.echo(f"report: {written.report}")
