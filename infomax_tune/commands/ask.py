"""The commands that help choose what to sweep: spaces, settings and init."""

from __future__ import annotations

import itertools
import shlex
from typing import Annotated

import typer

from infomax_tune import api
from infomax_tune.commands.app import app, examples
from infomax_tune.study.read_space import bundled_spaces, load_space
from infomax_tune.study.settings import as_markdown, describe_settings


@app.command(epilog=examples("spaces"))
def spaces() -> None:
    """List the bundled search spaces."""
    for name in bundled_spaces():
        space, _ = load_space(name)
        typer.echo(f"{name:20} {len(space.trials()):>5} trials  {space.description}")


@app.command(epilog=examples("settings", "settings --markdown"))
def settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table, as in docs/settings.md.")
    ] = False,
) -> None:
    """List every setting: type, default, range, meaning."""
    found = describe_settings()
    if markdown:
        typer.echo(as_markdown(found), nl=False)
        return
    width = max(len(setting.key) for setting in found)
    for section, those in itertools.groupby(found, key=lambda setting: setting.section):
        typer.echo(section)
        for setting in those:
            typer.echo(f"  {setting.key:{width}}  {setting.meaning}")
            typer.echo(f"  {'':{width}}  default {setting.default}; {setting.type}: {setting.range}")


@app.command(epilog=examples("init my_study", "init studies/lambda.yaml"))
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The space's name, or the YAML file to write.")],
) -> None:
    """Write a commented search space to edit."""
    path = api.init(name)
    typer.echo(
        f"{path}: edit it, then estimate the sweep: {shlex.join(['infomax-tune', 'sweep', str(path), '--dry-run'])}"
    )
