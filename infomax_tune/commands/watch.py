"""The commands that follow a study: status, list and tensorboard."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from infomax_tune.commands.app import FolderOfAny, app, as_location, examples
from infomax_tune.follow import listing
from infomax_tune.follow.folder_status import FolderStatus, StatusReader, read_run, watch
from infomax_tune.follow.show_table import show_table
from infomax_tune.process.signals import EXIT_INTERRUPTED
from infomax_tune.store.objects import is_object
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.trial_status import TrialStatus


@app.command(
    epilog=examples(
        "status results/activation_study", "status results/activation_study --watch", "status results/short --json"
    )
)
def status(
    out: FolderOfAny,
    watch_: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until the sweep ends.")] = False,
    every: Annotated[float, typer.Option(help="Refresh interval in seconds, with --watch.", min=0.1)] = 2.0,
    json_: Annotated[bool, typer.Option("--json", help="For scripts: one line of JSON per refresh.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Also show all-zero columns, and the cells' full names.")
    ] = False,
) -> None:
    """Show the progress of a sweep or a run.

    Counts each cell's trials by status: done, diverged, failed, damaged, running and left.
    """
    folder, alone = SweepFolder(out), TrialFolder(out)
    run = None if folder.has_sweep() else read_run(alone)
    if run:
        looks: Iterable[FolderStatus] = [run]
    else:
        read = StatusReader(folder, folder.read_plan())
        looks = watch(read, every) if watch_ else [read()]
    if json_:
        for found in looks:
            typer.echo(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    from infomax_tune.follow import display  # rich

    if watch_ and not run:
        try:
            display.show_statuses(looks, full=full)
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
        return
    for found in looks:
        typer.echo("\n".join(found.lines(full=full)))
        if found.driver:
            typer.echo(f"{display.headline(found.driver)}  (host {found.driver.host}, pid {found.driver.pid})")
            for line in display.where(found.driver):
                typer.echo(line)
        elif not run and any(found.counts[status] for status in (TrialStatus.LEFT, TrialStatus.FAILED)):
            before = "the last sweep here was ended before its time" if found.cut_off else "no sweep is running here"
            typer.echo(f"{before}; to resume: {folder.command('resume')}")
    if run and run.counts[TrialStatus.LEFT]:
        again = shlex.join(["infomax-tune", "run", str(out / "config.yaml"), "--out", str(out)])
        typer.echo(f"to train it: {again}")


@app.command("list", epilog=examples("list", "list /shared/studies", "list results --json"))
def list_(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Folder to search. [default: results, else the current folder]", metavar="[FOLDER]", parser=as_location
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="For scripts: one line of JSON per sweep or run.")] = False,
) -> None:
    """List the sweeps and runs under a folder."""
    folder = folder or listing.default_folder()
    found = listing.list_outputs(folder)
    if json_:
        for each in found:
            typer.echo(json.dumps(each.as_dict()))  # escapes a folder's name that is no text
    elif found:
        show_table(sys.stdout, listing.HEADINGS, listing.rows(found), text_columns=4)
    else:
        typer.echo(f"{folder}: no sweeps or runs here")


@app.command(epilog=examples("tensorboard results/activation_study", "tensorboard results/tanh --port 7007"))
def tensorboard(
    out: FolderOfAny,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The port to listen on. [default: the first free one from 6006]"),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 lets other machines connect.")
    ] = "localhost",
) -> None:
    """Serve a sweep or a run in TensorBoard.

    Works during and after the sweep. Ctrl-C stops it.
    """
    from infomax_tune.follow import tensorboard_runs as runs
    from infomax_tune.follow.tensorboard_server import (  # imports TensorBoard
        curves_view,
        free_port,
        is_loopback,
        pictures_view,
        serve,
    )

    folder, alone = SweepFolder(out), TrialFolder(out)
    is_sweep = folder.has_sweep() or not alone.has_config()

    def trials_in(root: Path) -> list[runs.TrialRun]:
        return runs.of_sweep(folder.read_plan(), folder, root) if is_sweep else runs.of_run(alone, root)

    def warn(problems: Iterable[str]) -> None:
        for problem in problems:
            typer.echo(f"warning: {problem}", err=True)

    def announce(trials: Iterable[runs.TrialRun]) -> int:
        """Prints the addresses and returns the port that TensorBoard will listen on."""
        free = free_port(host, port)
        if not is_loopback(host):
            typer.echo(
                f"note: on {host}, anyone who can reach port {free} of this machine can see these runs, without a password. "
                "For private access from another machine, use ssh -L.",
                err=True,
            )
        seed = min((trial.run.config.training.seed for trial in trials), default=1)
        typer.echo(f"the study's metrics, of one seed: http://{host}:{free}/{curves_view(seed)}")
        typer.echo(f"the weights as pictures, of one seed: http://{host}:{free}/{pictures_view(seed)}")
        typer.echo(f"all curves of all runs: http://{host}:{free}/")
        typer.echo(f"TensorBoard shows {out}; Ctrl-C stops it")
        sys.stdout.flush()
        return free

    if is_object(out):
        with tempfile.TemporaryDirectory(prefix="infomax-tune-") as copy:
            trials = trials_in(Path(copy))
            warn(runs.refresh(out, trials))
            raise typer.Exit(serve(Path(copy), host, announce(trials), lambda: warn(runs.refresh(out, trials))))
    trials = trials_in(folder.runs_folder)
    warn(runs.mend_unless_busy(out, trials))
    raise typer.Exit(serve(folder.runs_folder, host, announce(trials)))
