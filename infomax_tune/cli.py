"""The command line: parses, calls, prints. Torch and Ray are slow to import, so only the commands that need them do."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from infomax_tune import __version__, operations
from infomax_tune.errors import ConfigError, InfomaxTuneError
from infomax_tune.follow.folder_status import StatusReader, watch
from infomax_tune.process.signals import EXIT_INTERRUPTED
from infomax_tune.process.streams import open_missing_streams, write_line
from infomax_tune.store.files import Work
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.store.verify import verify as check_files
from infomax_tune.study import yaml_document
from infomax_tune.study.config import NAMES
from infomax_tune.study.options import DEVICES, Options, with_options
from infomax_tune.study.read_config import read_config, read_config_file, read_overrides
from infomax_tune.study.read_space import bundled_spaces, load_space
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.trial_status import IN_TABLES

EXIT_INCOMPLETE = 1
EXIT_BAD_INPUT = 2

_EXIT_CODES = (
    "Exit codes: 0 done; 1 a sweep ended with failed or missing trials, or verify or selfcheck found something; "
    "2 bad input; 130 stopped."
)

app = typer.Typer(
    name="infomax-tune",
    help="How does the activation function of a layer change what it learns? Sweeps of single-layer InfoMax networks on Ray Tune.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _examples(*lines: str) -> str:
    """The epilog of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  infomax-tune {line}" for line in lines)


def _complete_space(incomplete: str) -> list[str]:
    files = [str(path) for path in Path().glob(f"{incomplete}*.y*ml")]
    return [name for name in bundled_spaces() if name.startswith(incomplete)] + files


def _complete_setting(incomplete: str) -> list[str]:
    shorts = [f"{name.split('.')[1]}=" for name in NAMES]
    return [name for name in shorts if name.startswith(incomplete)]


def _complete_device(incomplete: str) -> list[str]:
    return [name for name in DEVICES if name.startswith(incomplete)]


_HELP = {field.name: field.metadata["help"] for field in dataclasses.fields(Options)}


def _as_option(field: dataclasses.Field[Any], hint: Any) -> Any:
    """A field of `Options` as an option of the command line."""
    text = field.metadata["help"]
    match field.name:
        case "pack":
            return Annotated[str, typer.Option(help=text)]
        case "loggers":
            return Annotated[list[str], typer.Option("--logger", metavar="NAME", help=text)]
        case "device":
            return Annotated[hint, typer.Option(help=text, autocompletion=_complete_device)]
        case _ if hint is bool:
            return Annotated[hint, typer.Option(f"--{field.name.replace('_', '-')}", help=text)]
        case _:
            return Annotated[hint, typer.Option(help=text)]


def _options(given: dict[str, Any]) -> Options:
    """The `Options` that were typed."""
    pack = given["pack"]
    if pack.isdecimal() and len(pack) < 10:
        given = given | {"pack": int(pack)}
    return Options(**given)


DataDir = Annotated[Path | None, typer.Option(help=_HELP["data_dir"])]
Device = Annotated[str | None, typer.Option(help=_HELP["device"], autocompletion=_complete_device)]
NoReport = Annotated[bool, typer.Option("--no-report", help="Do not end with the analysis and its report.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Train nothing; say what there is to train and about what it takes.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print problems only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell of each pack as it begins and ends.")]
Folder = Annotated[Path, typer.Argument(help="The output folder of a sweep.", metavar="OUT")]


def main() -> None:
    """The command infomax-tune. A user's mistake is one message on stderr and exit code 2, never a traceback."""
    open_missing_streams()
    try:
        operations.require_utf8(*sys.argv[1:])
        app()
    except (InfomaxTuneError, OSError) as error:  # OSError: a full disk, a folder without write permission
        typer.echo(f"infomax-tune: {error}", err=True)
        sys.exit(EXIT_BAD_INPUT)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"infomax-tune {__version__}")
        raise typer.Exit


@app.callback()
def _infomax_tune(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog=_examples(
        "run activation=tanh dataset=digits epochs=20 --out results/tanh", "run results/tanh/config.yaml lr=1e-2"
    )
)
def run(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CONFIG.yaml] [KEY=VALUE]...",
            help="A config file, then settings over it.",
            autocompletion=_complete_setting,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. [default: results/<trial id>]")] = None,
    data_dir: DataDir = None,
    device: Device = None,
) -> None:
    """Run one experiment: its record, history, config and weights land in one folder."""
    files = [argument for argument in arguments or [] if "=" not in argument or _is_file(argument)]
    if len(files) > 1:
        raise ConfigError(f"one config file at most, got {', '.join(files)}. Settings look like key=value.")
    document = read_config_file(Path(files[0])) if files else yaml_document.Document({}, "")
    config, notes = read_config(document, [argument for argument in arguments or [] if argument not in files])
    _print_notes(notes)
    folder = out or operations.default_out(config)
    try:
        record = operations.run_trial(
            config,
            out=folder,
            data_dir=data_dir,
            device=device or "cpu",
            command=_command(),
            say=_say,
            hard=True,
        )
    except KeyboardInterrupt:
        where = [*(["--data-dir", str(data_dir)] if data_dir else []), *(["--device", device] if device else [])]
        command = shlex.join(["infomax-tune", "run", *(arguments or []), "--out", str(folder), *where])
        typer.echo(f"stopped; to go on from the last checkpoint: {command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for name, value in record.result.items():
        typer.echo(f"{name:28} {value:.6g}")
    typer.echo(f"{record.status} after {record.epoch} epochs: {folder}")


@app.command(
    epilog=_examples(
        "sweep activation_study",
        "sweep activation_study --dry-run",
        "sweep quickstart --set 'seed={range: [1, 20]}' --set epochs=50 --out results/more",
        "sweep my_study.yaml --config base.yaml --max-concurrent 4",
    )
)
@with_options(_as_option)
def sweep(
    space: Annotated[
        str,
        typer.Argument(
            metavar="SPACE",
            help="A bundled search space (see `spaces`) or a YAML file.",
            autocompletion=_complete_space,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Output folder. [default: results/<space>]")] = None,
    config: Annotated[Path | None, typer.Option(help="A base config, under the space's own settings.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting over the space's; repeatable. A list is an axis.",
            autocompletion=_complete_setting,
        ),
    ] = None,
    no_report: NoReport = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Train every trial of a search space that has no record yet, and assemble the results table."""
    given = _options(options)
    base = read_config_file(config) if config else None
    overrides, problems = read_overrides(set_ or [])
    try:
        loaded, notes = load_space(space, config=base, overrides=overrides)
    except ConfigError as error:
        raise ConfigError("\n".join([*problems, str(error)])) from None
    if problems:
        raise ConfigError("\n".join(problems))
    _print_notes(notes)
    folder = SweepFolder(out or Path("results") / Path(space).stem)
    _train(
        loaded, folder, given, command=_command(), report=not no_report, dry_run=dry_run, quiet=quiet, verbose=verbose
    )


@app.command(epilog=_examples("resume results/activation_study", "resume results/activation_study --pack 1 --quiet"))
@with_options(_as_option)
def resume(
    out: Folder,
    no_report: NoReport = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Go on with an interrupted sweep: train only what has no record, each trial from its last checkpoint."""
    given = _options(options)
    folder = SweepFolder(out)
    space = folder.read_space()
    # the report shows the command that repeats the study, not the one that resumed it
    command = folder.environments.begun_by() or _command()
    _train(space, folder, given, command=command, report=not no_report, dry_run=dry_run, quiet=quiet, verbose=verbose)


@app.command(epilog=_examples("results results/activation_study"))
def results(out: Folder) -> None:
    """Assemble results.csv, results.parquet, history.parquet and timings.csv from the records there are."""
    folder = SweepFolder(out)
    plan = folder.read_space().plan()
    with folder.lock(Work.TABLES):
        table = write_tables(folder, plan)
    _print_counts(Counter(table["status"]))
    typer.echo(f"results: {folder.results_csv}")


@app.command(
    epilog=_examples(
        "status results/activation_study", "status results/activation_study --watch", "status results/short --json"
    )
)
def status(
    out: Folder,
    watch_: Annotated[bool, typer.Option("--watch", "-w", help="Look again until the sweep has ended.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks, with --watch.", min=0.1)] = 2.0,
    json_: Annotated[bool, typer.Option("--json", help="For scripts: one JSON object a look, on a line.")] = False,
) -> None:
    """Count the trials that are done, diverged, failed, damaged, running and left, by cell; also while the sweep runs."""
    folder = SweepFolder(out)
    read = StatusReader(folder, folder.read_space().plan())
    if json_:
        for found in watch(read, every) if watch_ else [read()]:
            typer.echo(json.dumps(found.as_dict(), ensure_ascii=False))
        return
    from infomax_tune.follow import display  # rich

    if watch_:
        try:
            display.show_statuses(watch(read, every))
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
    else:
        found = read()
        typer.echo("\n".join(found.lines()))
        if found.driver:
            typer.echo(f"{display.headline(found.driver)}  (host {found.driver.host}, pid {found.driver.pid})")


@app.command(
    epilog=_examples("analyze results/activation_study", "analyze results/activation_study --output-dir talk/figures")
)
def analyze(
    out: Folder,
    output_dir: Annotated[Path | None, typer.Option(help="Where to write. [default: OUT/analysis]")] = None,
    with_host: Annotated[bool, typer.Option("--with-host", help="Name the machine in the report.")] = False,
) -> None:
    """Statistics, figures and the study report, from the tables of a sweep."""
    written = operations.analyze(out, output_dir, host=with_host)
    typer.echo(f"{len(written.files)} files in {written.folder}")
    typer.echo(f"report: {written.report}")


@app.command(epilog=_examples("tensorboard results/activation_study", "tensorboard results/tanh --port 7007"))
def tensorboard(
    out: Annotated[Path, typer.Argument(help="The output folder of a sweep or of a run.", metavar="OUT")],
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="[default: the first free one from 6006 on]")
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 lets other machines look.")
    ] = "localhost",
) -> None:
    """Open TensorBoard on the runs of a sweep, finished or under way. Ctrl-C ends it."""
    from infomax_tune.follow import tensorboard_runs as runs
    from infomax_tune.follow.tensorboard_server import VIEW, free_port, serve  # imports TensorBoard

    folder, alone = SweepFolder(out), TrialFolder(out)
    if folder.has_sweep() or not alone.has_config():
        trials = runs.of_sweep(folder.read_space().plan(), folder)
    else:
        trials = runs.of_run(alone)
    for problem in runs.mend_unless_busy(out, trials):
        typer.echo(f"warning: {problem}", err=True)
    port = free_port(host, port)
    typer.echo(f"TensorBoard of {out}: http://{host}:{port}/ (Ctrl-C ends it)")
    typer.echo(f"all curves, one color an activation: http://{host}:{port}/{VIEW}")
    sys.stdout.flush()
    serve(folder.runs_folder, host, port)


@app.command(epilog=_examples("verify results/activation_study"))
def verify(out: Folder) -> None:
    """Check every file in a sweep's folder; exit code 1 if any is damaged. Each line ends with the command that clears it."""
    from infomax_tune.follow import tensorboard_runs as runs  # imports TensorBoard

    folder = SweepFolder(out)
    plan = folder.read_space().plan()
    report = check_files(folder, plan)
    broken = runs.find_broken(folder.runs_folder, runs.of_sweep(plan, folder))
    report.notes += [f"{problem} Make it anew with: {folder.command('resume')}" for problem in broken]
    for line in report.notes:
        typer.echo(f"note: {line}")
    for line in report.damage:
        typer.echo(line)
    typer.echo(f"{report.checked} trial folders checked: {len(report.damage) or 'no'} damage")
    if report.damage:
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command(epilog=_examples("selfcheck"))
def selfcheck() -> None:
    """Train a few steps alone and in packs, and say whether the bits agree on this machine; exit code 1 if not.

    The digest is of a tiny study: machines that print the same one train to the same bytes.
    """
    from infomax_tune.science.digest import digest  # imports torch
    from infomax_tune.science.selfcheck import check

    report = check()
    typer.echo(
        f"{report.machine}: {report.compared} comparisons of trials in packs with trials alone, {report.seconds:.1f} s"
    )
    typer.echo(f"digest: {digest()}")
    for line in report.differences:
        typer.echo(f"differs: {line}")
    if report.differences:
        typer.echo(
            "A sweep here trains such trials one after another: its numbers keep the promise, at the cost of speed."
        )
        raise typer.Exit(EXIT_INCOMPLETE)
    typer.echo("Every trial came out bit for bit as if alone.")


@app.command(epilog=_examples("spaces"))
def spaces() -> None:
    """List the search spaces that come with infomax-tune, with the number of their trials."""
    for name in bundled_spaces():
        space, _ = load_space(name)
        typer.echo(f"{name:20} {len(space.trials()):>5} trials  {space.description}")


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
        raise ConfigError("--quiet and --verbose: give one of them.")
    if dry_run:
        typer.echo("\n".join(operations.estimate_sweep(space, folder, options).lines()))
        return
    flags = (("--no-report", not report), ("--quiet", quiet), ("--verbose", verbose))
    words = [*options.as_words(), *(word for word, given in flags if given)]
    again = shlex.join(["infomax-tune", "resume", str(folder.root), *words])
    try:
        outcome = operations.run_sweep(
            space, folder, options, command=command, report=report, quiet=quiet, verbose=verbose, hard=True
        )
    except KeyboardInterrupt:
        typer.echo(f"stopped; to go on: {again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if not quiet:
        with contextlib.suppress(BrokenPipeError):  # `| head` has closed the pipe; the exit code must not change
            _print_counts(outcome.counts)
            typer.echo(f"results: {folder.results_csv}")
            if outcome.report:
                typer.echo(f"report: {outcome.report}")
    if not outcome.complete:
        typer.echo(f"{'stopped' if outcome.interrupted else 'incomplete'}; to go on: {again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED if outcome.interrupted else EXIT_INCOMPLETE)


def _say(text: str) -> None:
    """Something the user should know, while other threads may say something too."""
    write_line(sys.stdout, text)


def _command() -> str:
    """The command that was typed, without the place where infomax-tune is installed."""
    return shlex.join(["infomax-tune", *sys.argv[1:]])


def _is_file(argument: str) -> bool:
    try:
        return Path(argument).is_file()
    except OSError:  # longer than a file name may be
        return False


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        typer.echo(note, err=True)


def _print_counts(counts: Counter[str]) -> None:
    shown = ", ".join(f"{counts[status]} {status}" for status in IN_TABLES if counts[status])
    typer.echo(f"{counts.total()} trials: {shown}")
