"""Shows a table of text: drawn by rich in a terminal, aligned by spaces in a pipe or a log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from rich.markup import escape
from rich.table import Table

from infomax_tune.follow.display import Terminal
from infomax_tune.process.streams import write_line


def show_table(out: TextIO, headings: Sequence[str], rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> None:
    """text_columns: how many of the first columns are text, aligned left; the others are numbers."""
    if out.isatty():
        console = Terminal(file=out, highlight=False)
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
        for i, heading in enumerate(headings):
            words = heading if i < text_columns else heading.replace(" ", "\n")  # rather than the numbers
            table.add_column(escape(words), justify="left" if i < text_columns else "right", vertical="bottom")
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
        return
    for line in aligned([headings, *rows], text_columns=text_columns):
        write_line(out, line)


def aligned(rows: Sequence[Sequence[str]], *, text_columns: int = 1) -> list[str]:
    """Rows as lines, each column as wide as its longest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
