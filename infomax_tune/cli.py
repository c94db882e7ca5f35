"""The command line, `infomax-tune`: runs the commands, and turns errors into messages and exit codes."""

from __future__ import annotations

import io
import sys

import typer

from infomax_tune import operations
from infomax_tune.commands import answer, ask, check, train, watch  # noqa: F401 - each adds its commands
from infomax_tune.commands.app import EXIT_BAD_INPUT, app
from infomax_tune.commands.completion import whole_words
from infomax_tune.errors import InfomaxTuneError
from infomax_tune.process.streams import open_missing_streams

__all__ = ["app", "main"]


def main() -> None:
    """The infomax-tune command. A user's mistake gives one message on stderr and exit code 2, never a traceback."""
    open_missing_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as of stderr: the name of a file may be no text
    try:
        operations.require_utf8(*sys.argv[1:])
        with whole_words():
            app()
    except (InfomaxTuneError, OSError) as error:  # OSError: a full disk, a folder without write permission
        typer.echo(f"infomax-tune: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
