"""The command line, `infomax-tune`: runs the commands, and turns errors into messages and exit codes."""

from __future__ import annotations

import sys

import typer

from infomax_tune.commands.app import EXIT_BAD_INPUT, app
from infomax_tune.commands.completion import whole_words
from infomax_tune.errors import InfomaxTuneError
from infomax_tune.process.paths import require_utf8, require_working_folder
from infomax_tune.process.streams import prepare_streams

__all__ = ["app", "main"]


def main() -> None:
    """The infomax-tune command. A user's mistake gives one message on stderr and exit code 2, never a traceback."""
    prepare_streams()
    try:
        require_utf8(*sys.argv[1:])
        require_working_folder()
        with whole_words():
            app()
    except (InfomaxTuneError, OSError) as error:  # OSError: a full disk, a folder without write permission
        typer.echo(f"infomax-tune: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)
    except MemoryError as error:
        typer.echo(f"infomax-tune: memory ran out. {error}".rstrip(), err=True)
        sys.exit(EXIT_BAD_INPUT)
