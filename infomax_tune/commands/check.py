"""The commands that check for problems: verify, selfcheck and check-part."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from infomax_tune.commands.app import EXIT_INCOMPLETE, Folder, app, examples
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.verify import verify as check_files


@app.command(epilog=examples("verify results/activation_study"))
def verify(out: Folder) -> None:
    """Check every file of a sweep for damage.

    Prints one line per problem, ending with the command that repairs it. The exit code is 1 if any file is damaged.
    """
    from infomax_tune.follow import tensorboard_runs as runs  # imports TensorBoard

    folder = SweepFolder(out)
    plan = folder.read_plan()
    report = check_files(folder, plan)
    broken = runs.find_broken(folder.runs_folder, runs.of_sweep(plan, folder))
    report.notes += [f"{problem} Recreate it with: {folder.command('resume')}" for problem in broken]
    for line in report.notes:
        typer.echo(f"note: {line}")
    for line in report.damage:
        typer.echo(line)
    files = len(report.damage)
    found = f"{files} damaged file{'s' * (files > 1)}" if files else "no damage"
    typer.echo(f"{report.checked} trial folders checked: {found}")
    if report.damage:
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command(epilog=examples("selfcheck"))
def selfcheck() -> None:
    """Check that packed training is exact on this machine.

    Trains a few steps alone and in packs, and compares the results bit for bit. The exit code is 1 if any bits differ. Also
    prints the digest of a tiny study: on machines with the same digest, training gives the same bytes.
    """
    from infomax_tune.science.digest import digest  # imports torch
    from infomax_tune.science.selfcheck import check

    report = check()
    typer.echo(
        f"{report.machine}: {report.compared} comparisons of packed trials with trials alone, {report.seconds:.1f} s"
    )
    typer.echo(f"digest: {digest()}")
    for line in report.differences:
        typer.echo(f"differs: {line}")
    if report.differences:
        typer.echo("A sweep here trains these trials one at a time: its numbers stay exact, but it is slower.")
        raise typer.Exit(EXIT_INCOMPLETE)
    typer.echo("Every trial compared was bit-identical to the same trial alone.")


@app.command("check-part", epilog=examples("check-part my_swish.py:swish", "check-part my_terms.py:spread --kind term"))
def check_part(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The part: FILE.py:NAME, FILE.npz (a dataset) or MODULE:NAME.")
    ],
    kind: Annotated[
        Literal["activation", "term", "optimizer", "metric", "dataset"] | None,
        typer.Option(help="What it is. Without this, a plain function is taken for an activation."),
    ] = None,
) -> None:
    """Test a part of your own against its contract.

    Prints a line for each check: gradients against finite differences, random numbers, extremes, and short trainings with
    torch, in compiled loops and in packs. The exit code is 1 if a check fails.
    """
    from infomax_tune.science.part_checks import check, kind_of  # imports torch

    of_kind = kind or kind_of(name)
    results = check(of_kind, name)
    for result in results:
        word = {True: "ok  ", False: "FAIL", None: "note"}[result.passed]
        typer.echo(f"{word} {result.name}: {result.words}")
    failed = sum(result.passed is False for result in results)
    typer.echo(
        f"{name}, as {'an' if of_kind[0] in 'ao' else 'a'} {of_kind}: {failed or 'no'} check{'s' * (failed != 1)} failed"
    )
    if failed:
        raise typer.Exit(EXIT_INCOMPLETE)
