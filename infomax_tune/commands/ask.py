"""What to sweep: the commands spaces, settings and init."""

from __future__ import annotations

import typer

from infomax_tune.commands.app import app, examples
from infomax_tune.study.read_space import bundled_spaces, load_space


@app.command(epilog=examples("spaces"))
def spaces() -> None:
    """List the bundled search spaces."""
    for name in bundled_spaces():
        space, _ = load_space(name)
        typer.echo(f"{name:20} {len(space.trials()):>5} trials  {space.description}")
