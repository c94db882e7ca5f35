"""What the end of a sweep prints: its counts, the table, what to run next, and the answer in words."""

from __future__ import annotations

import contextlib
import shutil
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from infomax_tune import answering
from infomax_tune.commands.app import print_counts
from infomax_tune.errors import InfomaxTuneError
from infomax_tune.follow.show_table import show_table
from infomax_tune.store.objects import is_object
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.trial_status import TrialStatus

if TYPE_CHECKING:
    import pandas as pd


def print_answer(folder: SweepFolder, counts: Counter[str], finding: str, page: Path | None) -> None:
    """Prints the end of a sweep: its counts, the metrics as a table, what to run next, and last the answer in words."""
    print_counts(counts, folder.checkpoints() if counts[TrialStatus.MISSING] else 0)
    if counts[TrialStatus.DONE]:
        with contextlib.suppress(InfomaxTuneError):  # whatever stops the analysis: the table is on disk
            table = answering.answer(folder.root)
            show_frame(table, text_columns=2 if "objective" in table else 1)
            typer.echo(
                "(mean ± standard deviation over the seeds; for the ratio, geometric mean ×÷ geometric standard deviation)"
            )
    typer.echo(f"results: {folder.results_csv}")
    if page:
        typer.echo(f"report: {page if is_object(page) else page.resolve().as_uri()}")
    typer.echo(f"curves: {folder.command('tensorboard')}")
    if not page and counts[TrialStatus.DONE]:
        typer.echo(f"statistics and report: {folder.command('analyze')}")
    if finding:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else len(finding)
        typer.echo(textwrap.fill(finding, width, break_long_words=False, break_on_hyphens=False))


def show_frame(table: pd.DataFrame, *, text_columns: int) -> None:
    """Shows a table of text."""
    show_table(sys.stdout, [str(name) for name in table], table.to_numpy().tolist(), text_columns=text_columns)
