"""The command-line program, and what its commands share: parameters, examples, exit codes, hints."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from infomax_tune import __version__
from infomax_tune.commands.completion import complete_device
from infomax_tune.errors import ConfigError
from infomax_tune.process.paths import user_path
from infomax_tune.store.objects import location
from infomax_tune.study.options import HELP
from infomax_tune.study.read_config import resolve_name
from infomax_tune.study.trial_status import IN_TABLES

EXIT_INCOMPLETE = 1
EXIT_BAD_INPUT = 2

_EXIT_CODES = (
    "Exit codes: 0 done; 1 a sweep ended with failed or missing trials, or verify, selfcheck or check-part found "
    "a problem; 2 bad input; 130 stopped."
)

app = typer.Typer(
    name="infomax-tune",
    help="How does a layer's activation function change what the layer learns? "
    "Runs sweeps of single-layer InfoMax networks on Ray Tune.",
    epilog=_EXIT_CODES,
    invoke_without_command=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _parser(read: Callable[[str], Path]) -> Callable[[str], Path]:
    def path(text: str) -> Path:  # the help shows this function's name
        try:
            return read(text)
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from None

    return path


as_path = _parser(user_path)
"""The parser of parameters that name a file or folder of this machine."""
as_location = _parser(location)
"""The parser of parameters that name an output folder, which may also be a URL in an object store."""

DataDir = Annotated[Path | None, typer.Option(help=HELP["data_dir"], parser=as_path)]
RunDevice = Annotated[str | None, typer.Option(help="cpu, cuda or mps. [default: cpu]", autocompletion=complete_device)]
TrustParts = Annotated[bool, typer.Option("--trust-parts", help=HELP["trust_parts"])]
Folder = Annotated[Path, typer.Argument(help="The output folder of a sweep.", metavar="OUT", parser=as_location)]
FolderOfAny = Annotated[
    Path, typer.Argument(help="The output folder of a sweep or of a run.", metavar="OUT", parser=as_location)
]


class _Command(TyperCommand):
    """A command that recognizes a setting given as an option, such as --epochs 3, and explains the right form."""

    def hint(self, key: str, value: str) -> str:
        """How this command takes a setting."""
        raise NotImplementedError

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {option for parameter in self.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for i, argument in enumerate(args):
            option, separator, value = argument.partition("=")
            key = option.removeprefix("--").replace("-", "_")
            if not option.startswith("--") or option in known or resolve_name(key) is None:
                continue
            if not separator:
                value = args[i + 1] if i + 1 < len(args) and not args[i + 1].startswith("--") else "VALUE"
            raise ConfigError(f"{option}: this is a setting, not an option; write {self.hint(key, value)}")
        return super().parse_args(ctx, args)


class SetsByOption(_Command):
    """Takes settings through --set."""

    def hint(self, key: str, value: str) -> str:
        return f"--set {shlex.quote(f'{key}={value}')}"


class SetsByArgument(_Command):
    """Takes settings as arguments."""

    def hint(self, key: str, value: str) -> str:
        return shlex.quote(f"{key}={value}")


def examples(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  infomax-tune {line}" for line in lines)


def typed_command() -> str:
    """The command as typed, without the path where infomax-tune is installed."""
    return shlex.join(["infomax-tune", *sys.argv[1:]])


def print_notes(notes: list[str]) -> None:
    for note in notes:
        typer.echo(note, err=True)


def print_counts(counts: Counter[str], checkpoints: int = 0) -> None:
    """Prints the trials by status. checkpoints: how many of those missing have one to go on from."""
    shown = ", ".join(f"{counts[status]} {status}" for status in IN_TABLES if counts[status])
    typer.echo(
        f"{counts.total()} trials: {shown}{f' ({checkpoints} of them with a checkpoint)' if checkpoints else ''}"
    )


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"infomax-tune {__version__}")
        raise typer.Exit


@app.callback()
def _infomax_tune(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001 - its callback prints it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
