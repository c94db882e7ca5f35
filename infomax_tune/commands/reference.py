"""The reference of all commands and options, generated from their help.

`python -m infomax_tune.commands.reference > docs/commands.md` writes it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from infomax_tune.commands.app import app

_HEAD = """\
# Commands

Generated from the commands' help: `python -m infomax_tune.commands.reference > docs/commands.md`. Settings are not
options; they are listed in [settings.md](settings.md). In Python, `run`, `sweep`, `list`, `stop`, `init`, `settings`,
`analyze`, `compare` and `evaluate` are functions with the same names in `infomax_tune`.

Exit codes: 0 done; 1 a sweep ended with failed or missing trials, or verify, selfcheck or check-part found a problem; 2
bad input; 130 stopped. Errors go to stderr.
"""


def reference() -> str:
    """All commands as Markdown: what each does, its arguments and options, its examples."""
    program: Any = get_command(app)
    context = typer.Context(program, info_name="infomax-tune")
    commands = {name: program.commands[name] for name in program.list_commands(context)}
    summaries = [f"| [`{name}`](#{name}) | {_summary(command)} |" for name, command in commands.items()]
    return "\n".join(
        [_HEAD, "| command | what it does |", "| --- | --- |", *summaries, ""]
        + [_about(name, command) for name, command in commands.items()]
    )


def _summary(command: Any) -> str:
    return command.help.partition("\n\n")[0].strip()


def _about(name: str, command: Any) -> str:
    examples = command.epilog.partition("Examples:\n")[2]
    lines = [f"## {name}", "", " ".join(command.help.split()), "", "```sh"]
    lines += [line.strip() for line in examples.splitlines()]
    lines += ["```", ""]
    rows = [
        _row(parameter)
        for parameter in command.params
        if parameter.name != "help" and not getattr(parameter, "hidden", False)
    ]
    if rows:
        lines += ["| argument or option | meaning |", "| --- | --- |", *rows, ""]
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name = parameter.metavar
    else:
        name = ", ".join(parameter.opts)
        if not parameter.is_flag:
            name += f" {parameter.metavar or parameter.opts[0].lstrip('-').replace('-', '_').upper()}"
    return f"| `{_cell(name)}` | {_cell(' '.join([parameter.help or '', *_default(parameter)]))} |"


def _default(parameter: Any) -> Iterator[str]:
    if parameter.param_type_name == "option" and not parameter.is_flag and parameter.default not in (None, (), []):
        yield f"[default: {parameter.default}]"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;").strip()


if __name__ == "__main__":
    sys.stdout.write(reference())
