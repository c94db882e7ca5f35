"""The commands that train: sweep, resume, stop and run."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from infomax_tune import sweeping
from infomax_tune.answering import what_seeds_show
from infomax_tune.commands.app import (
    EXIT_INCOMPLETE,
    DataDir,
    Folder,
    RunDevice,
    SetsByArgument,
    SetsByOption,
    TrustParts,
    app,
    as_location,
    as_path,
    examples,
    print_notes,
    typed_command,
)
from infomax_tune.commands.completion import complete_device, complete_setting, complete_space
from infomax_tune.commands.ending import print_answer
from infomax_tune.errors import ConfigError
from infomax_tune.follow.stopping import stop_sweep
from infomax_tune.packs.run_trial import run_trial
from infomax_tune.parts import catalogue
from infomax_tune.process.last_words import last_words
from infomax_tune.process.paths import user_path
from infomax_tune.process.signals import EXIT_INTERRUPTED
from infomax_tune.process.streams import write_line
from infomax_tune.store.objects import is_object
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import yaml_document
from infomax_tune.study.options import Options, with_options
from infomax_tune.study.read_config import read_config, read_config_file, read_overrides
from infomax_tune.study.read_space import default_out, load_space
from infomax_tune.study.space import SWEEP_FILE, SearchSpace


def _as_option(field: dataclasses.Field[Any], hint: Any) -> Any:
    """A field of `Options` as a command-line option."""
    text = field.metadata["help"]
    match field.name:
        case "pack":
            return Annotated[str, typer.Option(help=text)]
        case "loggers":
            return Annotated[list[str], typer.Option("--logger", metavar="NAME", help=text)]
        case "device":
            return Annotated[hint, typer.Option(help=text, autocompletion=complete_device)]
        case "data_dir":
            return Annotated[hint, typer.Option(help=text, parser=as_path)]
        case _ if hint is bool:
            return Annotated[hint, typer.Option(f"--{field.name.replace('_', '-')}", help=text)]
        case _:
            return Annotated[hint, typer.Option(help=text)]


def _options(given: dict[str, Any]) -> Options:
    """The `Options` as typed."""
    pack = given["pack"]
    if pack.isdecimal() and len(pack) < 10:
        given = given | {"pack": int(pack)}
    return Options(**given)


NoReport = Annotated[bool, typer.Option("--no-report", help="Skip the report at the end.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Train nothing; estimate the sweep's time, memory and disk space.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only problems.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print what the seeds can show, and each pack's start and end.")
]


@app.command(
    cls=SetsByOption,
    epilog=examples(
        "sweep activation_study",
        "sweep activation_study --dry-run",
        "sweep quickstart --set activation=relu,tanh --set epochs=50 --out results/pair",
        "sweep quickstart --set 'seed={range: [1, 20]}' --out results/more",
        "sweep my_study.yaml --config base.yaml --max-concurrent 4",
    ),
)
@with_options(_as_option)
def sweep(
    space: Annotated[
        str,
        typer.Argument(
            metavar="SPACE",
            help="A bundled search space (see `spaces`), a YAML file, or the sweep.yaml of another sweep.",
            autocompletion=complete_space,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Output folder or URL. [default: results/<space>]", parser=as_location)
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A base config; the space's own settings override it.", parser=as_path)
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a setting of the space; repeatable. A list, such as activation=relu,tanh, makes an axis.",
            autocompletion=complete_setting,
        ),
    ] = None,
    no_report: NoReport = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Train every trial of a search space.

    Skips trials that already have a record. Ends with the results table and the report.
    """
    given = _options(options)
    base = read_config_file(config) if config else None
    overrides, problems = read_overrides(set_ or [])
    try:
        loaded, notes = load_space(space, config=base, overrides=overrides)
    except ConfigError as error:
        raise ConfigError("\n".join([*problems, str(error)])) from None
    if problems:
        raise ConfigError("\n".join(problems))
    print_notes(notes)
    folder = SweepFolder(default_out(space) if out is None else out)
    _train(
        loaded,
        folder,
        given,
        command=typed_command(),
        report=not no_report,
        dry_run=dry_run,
        quiet=quiet,
        verbose=verbose,
    )


@app.command(
    cls=SetsByOption,
    epilog=examples("resume results/activation_study", "resume results/activation_study --pack 1 --quiet"),
)
@with_options(_as_option)
def resume(
    out: Folder,
    set_: Annotated[list[str] | None, typer.Option("--set", hidden=True)] = None,
    no_report: NoReport = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Resume a sweep; only unfinished trials are trained.

    Each resumes from its last checkpoint.
    """
    given = _options(options)
    folder = SweepFolder(out)
    space = folder.read_space()
    if set_:
        words = ["infomax-tune", "sweep", str(out / SWEEP_FILE), "--out", str(out)]
        more = shlex.join([*words, *(word for setting in set_ for word in ("--set", setting))])
        raise ConfigError(
            f"--set: a sweep is resumed with the settings it has; to extend it, with its values and new ones: {more}"
        )
    # the report shows the command that repeats the study, not the command that resumed it
    command = folder.environments.begun_by() or typed_command()
    _train(space, folder, given, command=command, report=not no_report, dry_run=dry_run, quiet=quiet, verbose=verbose)


@app.command(epilog=examples("stop results/activation_study", "stop results/activation_study --no-wait"))
def stop(
    out: Folder,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Request the stop, but do not wait for the sweep to end.")
    ] = False,
) -> None:
    """Stop a sweep from any terminal or machine.

    The running packs finish their epoch and write checkpoints, as after Ctrl-C.
    """
    folder = SweepFolder(out)
    stop_sweep(folder, wait=not no_wait)
    typer.echo(f"{out}: {'stop requested' if no_wait else 'stopped'}; to resume: {folder.command('resume')}")


@app.command(
    cls=SetsByArgument,
    epilog=examples(
        "run activation=tanh dataset=digits epochs=20 --out results/tanh", "run results/tanh/config.yaml lr=1e-2"
    ),
)
def run(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG.yaml] [KEY=VALUE]...",
            help="A config file, then settings that override it.",
            autocompletion=complete_setting,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Output folder or URL. [default: results/<trial id>]", parser=as_location)
    ] = None,
    data_dir: DataDir = None,
    device: RunDevice = None,
    trust_parts: TrustParts = False,
) -> None:
    """Train a single trial in its own folder.

    The folder holds the trial's record, history, config and weights.
    """
    files = [argument for argument in arguments or [] if "=" not in argument or _is_file(argument)]
    if len(files) > 1:
        raise ConfigError(f"at most one config file, got {', '.join(files)}. Settings look like key=value.")
    document = read_config_file(files[0]) if files else yaml_document.Document({}, "")
    config, notes = read_config(document, [argument for argument in arguments or [] if argument not in files])
    print_notes(notes)
    folder = Path("results") / config.trial_id if out is None else out
    try:
        record = run_trial(
            config,
            TrialFolder(folder),
            data_dir=data_dir,
            device=device or "cpu",
            command=typed_command(),
            say=_say,
            hard=True,
            trust_parts=trust_parts,
        )
    except KeyboardInterrupt:
        where = [*(["--data-dir", str(data_dir)] if data_dir else []), *(["--device", device] if device else [])]
        command = shlex.join(["infomax-tune", "run", *(arguments or []), "--out", str(folder), *where])
        typer.echo(f"stopped; to resume from the last checkpoint: {command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for name, value in record.result.items():
        typer.echo(f"{name:28} {value:.6g}")
    typer.echo(f"{record.status} after {record.epoch} epochs: {folder}")


def _train(
    space: SearchSpace,
    folder: SweepFolder,
    options: Options,
    *,
    command: str,
    report: bool,
    dry_run: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    if quiet and verbose:
        raise ConfigError("--quiet and --verbose: give only one of them.")
    if dry_run:
        estimate = sweeping.estimate_sweep(space, folder, options, report=report, quiet=quiet)
        power = what_seeds_show(space) if estimate.ended < estimate.trials else []
        typer.echo("\n".join([*estimate.lines(), *power]))
        return
    flags = (("--no-report", not report), ("--quiet", quiet), ("--verbose", verbose))
    # the copies that the folder has of parts are then the user's own
    own = any(catalogue.is_pinned(name) for _, name in space.parts())
    words = [*dataclasses.replace(options, trust_parts=own).as_words(), *(word for word, given in flags if given)]
    again = shlex.join(["infomax-tune", "resume", str(folder.root), *words])
    why = "" if is_object(folder.root) else f"; the end of {folder.ray_log} may say why"
    ended = f"{folder.root}: the sweep's process was ended{why}. Its trials are kept; to resume: {again}"
    try:
        with last_words(ended):
            outcome = sweeping.run_sweep(
                space, folder, options, command=command, report=report, quiet=quiet, verbose=verbose, hard=True
            )
    except KeyboardInterrupt:
        typer.echo(f"stopped; to resume: {again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not quiet:
        with contextlib.suppress(BrokenPipeError):  # `| head` has closed the pipe; the exit code must not change
            print_answer(folder, outcome.counts, outcome.finding, outcome.report)
    if not outcome.complete:
        typer.echo(f"{'stopped' if outcome.interrupted else 'incomplete'}; to resume: {again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED if outcome.interrupted else EXIT_INCOMPLETE)


def _say(text: str) -> None:
    """Prints a line for the user, even while other threads print."""
    write_line(sys.stdout, text)


def _is_file(argument: str) -> bool:
    try:
        return user_path(argument).is_file()
    except (OSError, ConfigError):  # longer than a file name may be, or no path at all
        return False
