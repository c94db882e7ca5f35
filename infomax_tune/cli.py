"""The command line: parses, calls, prints. What is slow to import (torch, Ray) is imported by the command that needs it."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import search_spaces
from infomax_tune import __version__, documents
from infomax_tune.config import read_config, read_overrides
from infomax_tune.data import check_batch_size
from infomax_tune.errors import ConfigError, DataError, InfomaxTuneError, ResourceError, unknown
from infomax_tune.interrupt import EXIT_INTERRUPTED
from infomax_tune.options import DEVICES, Options, problems_of_loggers
from infomax_tune.store import Store, TrialFolder
from search_spaces import SearchSpace

EXIT_INCOMPLETE = 1
EXIT_BAD_INPUT = 2

app = typer.Typer(
    name="infomax-tune",
    help="How does the activation function of a layer change what it learns? Sweeps of single-layer InfoMax networks on Ray Tune.",
    epilog="Exit codes: 0 all done, 1 trials are failed or missing, 2 bad input, 130 interrupted.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the image datasets. [default: $INFOMAX_TUNE_DATA_DIR, else the user's cache folder]"),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps. [default: cuda with --gpus-per-pack, else cpu]")]
Pack = Annotated[str, typer.Option(help="Seeds trained together: auto, or a number; 1 is one Ray trial a seed.")]
CpusPerPack = Annotated[float, typer.Option(help="CPUs a pack occupies; also its threads.")]
GpusPerPack = Annotated[float, typer.Option(help="GPUs a pack occupies; a fraction lets several share one.")]
Address = Annotated[
    str | None, typer.Option(help="A Ray cluster to join, such as auto or HOST:6379. [default: start one here]")
]
MaxConcurrent = Annotated[int | None, typer.Option(help="Packs trained at once, at most. [default: all that fit]")]
MaxFailures = Annotated[int, typer.Option(help="How often a pack whose worker dies or raises is tried again.")]
StrictEnvironment = Annotated[
    bool, typer.Option("--strict-environment", help="Refuse to go on under other versions, CPU or threads.")
]
Logger = Annotated[
    list[str] | None,
    typer.Option("--logger", metavar="NAME", help="Log every trial to mlflow, wandb, csv or json too; repeatable."),
]
NoReport = Annotated[bool, typer.Option("--no-report", help="Do not end with the analysis and its report.")]
Folder = Annotated[Path, typer.Argument(help="The output folder of a sweep.", metavar="OUT")]


def main() -> None:
    """The command infomax-tune. A user's mistake is one message on stderr and exit code 2, never a traceback."""
    try:
        app()
    except (InfomaxTuneError, OSError) as error:  # OSError: a full disk, a folder that may not be written
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


@app.command(epilog="Example: infomax-tune run activation=tanh dataset=digits epochs=20 --out results/tanh")
def run(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CONFIG.yaml] [KEY=VALUE]...", help="A config file, then settings over it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder. [default: results/<trial id>]")] = None,
    data_dir: DataDir = None,
    device: Device = None,
) -> None:
    """Run one experiment: its record, history, config and weights land in one folder."""
    files = [argument for argument in arguments or [] if "=" not in argument or _is_file(argument)]
    if len(files) > 1:
        raise ConfigError(f"one config file at most, got {', '.join(files)}. Settings look like key=value.")
    document = _read_document(Path(files[0])) if files else documents.Document({}, "")
    config, notes = read_config(document, [argument for argument in arguments or [] if argument not in files])
    _print_notes(notes)
    if device not in (None, *DEVICES):
        raise ConfigError(unknown("--device", device, DEVICES))
    _require_device(device)
    folder = out or Path("results") / config.trial_id
    trial = TrialFolder(folder)
    trial.refuse_strangers()

    from infomax_tune.experiment import run_alone  # imports torch

    try:
        record = run_alone(config, trial, data_dir=data_dir, device=device or "cpu", say=typer.echo)
    except KeyboardInterrupt:
        where = [*(["--data-dir", str(data_dir)] if data_dir else []), *(["--device", device] if device else [])]
        command = shlex.join(["infomax-tune", "run", *(arguments or []), "--out", str(folder), *where])
        typer.echo(f"stopped; to go on from the last checkpoint: {command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for name, value in record.result.items():
        typer.echo(f"{name:28} {value:.6g}")
    typer.echo(f"{record.status} after {record.epoch} epochs: {folder}")


@app.command(epilog="Example: infomax-tune sweep activation_study --set epochs=20 --out results/short")
def sweep(
    space: Annotated[
        str, typer.Argument(metavar="SPACE", help="A bundled search space (see `spaces`) or a YAML file.")
    ],
    out: Annotated[Path | None, typer.Option(help="Output folder. [default: results/<space>]")] = None,
    config: Annotated[Path | None, typer.Option(help="A base config, under the space's own settings.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting over the space's; repeatable. A list is an axis."),
    ] = None,
    pack: Pack = "auto",
    cpus_per_pack: CpusPerPack = 1,
    gpus_per_pack: GpusPerPack = 0,
    address: Address = None,
    max_concurrent: MaxConcurrent = None,
    data_dir: DataDir = None,
    device: Device = None,
    max_failures: MaxFailures = 2,
    strict_environment: StrictEnvironment = False,
    logger: Logger = None,
    no_report: NoReport = False,
) -> None:
    """Train every trial of a search space that has no record yet, and assemble the results table."""
    options = _options(
        pack,
        cpus_per_pack,
        gpus_per_pack,
        address,
        max_concurrent,
        data_dir,
        device,
        max_failures,
        strict_environment,
        logger,
    )
    base = _read_document(config) if config else None
    overrides, problems = read_overrides(set_ or [])
    try:
        loaded, notes = search_spaces.load(space, config=base, overrides=overrides)
    except ConfigError as error:
        raise ConfigError("\n".join([*problems, str(error)])) from None
    if problems:
        raise ConfigError("\n".join(problems))
    _print_notes(notes)
    store = Store(out or Path("results") / Path(space).stem)
    _train(loaded, store, options, report=not no_report)


@app.command(epilog="Example: infomax-tune resume results/activation_study")
def resume(
    out: Folder,
    pack: Pack = "auto",
    cpus_per_pack: CpusPerPack = 1,
    gpus_per_pack: GpusPerPack = 0,
    address: Address = None,
    max_concurrent: MaxConcurrent = None,
    data_dir: DataDir = None,
    device: Device = None,
    max_failures: MaxFailures = 2,
    strict_environment: StrictEnvironment = False,
    logger: Logger = None,
    no_report: NoReport = False,
) -> None:
    """Go on with an interrupted sweep: train only what has no record, each trial from its last checkpoint."""
    options = _options(
        pack,
        cpus_per_pack,
        gpus_per_pack,
        address,
        max_concurrent,
        data_dir,
        device,
        max_failures,
        strict_environment,
        logger,
    )
    store = Store(out)
    _train(_space_of(store), store, options, report=not no_report)


@app.command(epilog="Example: infomax-tune results results/activation_study")
def results(out: Folder) -> None:
    """Assemble results.csv, results.parquet, history.parquet and timings.csv from the records there are."""
    store = Store(out)
    table = store.write_tables(_space_of(store).trials())
    _print_counts(Counter(table["status"]))
    typer.echo(f"results: {out / 'results.csv'}")


@app.command(epilog="Example: infomax-tune status results/activation_study")
def status(out: Folder) -> None:
    """Count the trials that are done, diverged, failed, damaged and missing, by cell."""
    store = Store(out)
    trials = _space_of(store).trials()
    findings = store.find(trials)
    statuses = ("done", "diverged", "failed", "damaged", "missing")
    cells: dict[str, Counter[str]] = {}
    for trial in trials:
        cells.setdefault(trial.cell, Counter())[findings[trial.trial_id].status] += 1
    width = max(map(len, cells))
    typer.echo(f"{'cell':{width}}" + "".join(f"{name:>10}" for name in statuses))
    total: Counter[str] = Counter()
    for cell, counts in cells.items():
        typer.echo(f"{cell:{width}}" + "".join(f"{counts[name]:>10}" for name in statuses))
        total += counts
    typer.echo(f"{'all':{width}}" + "".join(f"{total[name]:>10}" for name in statuses))
    for trial_id, finding in findings.items():
        if finding.problem:
            typer.echo(f"{trial_id}: {finding.status}: {finding.problem}")


@app.command(epilog="Example: infomax-tune analyze results/activation_study --output-dir talk/figures")
def analyze(
    out: Folder,
    output_dir: Annotated[Path | None, typer.Option(help="Where to write. [default: OUT/analysis]")] = None,
) -> None:
    """Statistics, figures and the study report, from the tables of a sweep."""
    import analysis  # imports pandas, scipy and matplotlib

    written = analysis.analyze(out, output_dir)
    typer.echo(f"{len(written.files)} files in {written.folder}")
    typer.echo(f"report: {written.report}")


@app.command(epilog="Example: infomax-tune verify results/activation_study")
def verify(out: Folder) -> None:
    """Check every file in a sweep's folder; exit code 1 if any is damaged or the tables are not what the records say."""
    store = Store(out)
    report = store.verify(_space_of(store).trials())
    for line in report.notes:
        typer.echo(f"note: {line}")
    for line in report.damage:
        typer.echo(line)
    typer.echo(f"{report.checked} trial folders checked: {len(report.damage) or 'no'} damage")
    if report.damage:
        raise typer.Exit(EXIT_INCOMPLETE)


@app.command(epilog="Example: infomax-tune selfcheck")
def selfcheck() -> None:
    """Train a few steps alone and in packs, and say whether the bits agree on this machine; exit code 1 if not."""
    from infomax_tune.selfcheck import check  # imports torch

    report = check()
    typer.echo(
        f"{report.machine}: {report.compared} comparisons of trials in packs with trials alone, {report.seconds:.1f} s"
    )
    for line in report.differences:
        typer.echo(f"differs: {line}")
    if report.differences:
        typer.echo(
            "A sweep here trains such trials one after another: its numbers keep the promise, at the cost of speed."
        )
        raise typer.Exit(EXIT_INCOMPLETE)
    typer.echo("Every trial came out bit for bit as if alone.")


@app.command()
def spaces() -> None:
    """List the search spaces that come with infomax-tune, with the number of their trials."""
    for name in search_spaces.bundled():
        space, _ = search_spaces.load(name)
        typer.echo(f"{name:20} {len(space.trials()):>5} trials  {space.description}")


def _train(space: SearchSpace, store: Store, options: Options, *, report: bool) -> None:
    from infomax_tune import sweep as sweeps  # imports Ray and torch

    again = shlex.join(["infomax-tune", "resume", str(store.root), *_as_words(options, report=report)])
    for config in space.trials():
        check_batch_size(config)
    if options.address is None:
        _require_device(options.device)
    with _folder(store):
        try:
            outcome = sweeps.run(space, store, options, typer.echo)
        except KeyboardInterrupt:
            typer.echo(f"stopped; to go on: {again}", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
    _print_counts(outcome.counts)
    typer.echo(f"results: {store.root / 'results.csv'}")
    if report and not outcome.interrupted and outcome.counts["done"]:
        _report(store)
    if not outcome.complete:
        typer.echo(f"{'stopped' if outcome.interrupted else 'incomplete'}; to go on: {again}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED if outcome.interrupted else EXIT_INCOMPLETE)


def _report(store: Store) -> None:
    """Ends a sweep with its report; a sweep is no worse for a report that failed."""
    if store.report_is_current():
        typer.echo(f"report: {store.root / 'analysis' / 'report.html'}")
        return
    import analysis  # imports pandas, scipy and matplotlib

    try:
        typer.echo(f"report: {analysis.analyze(store.root).report}")
    except Exception as error:  # noqa: BLE001 - the records are safe, whatever it is
        typer.echo(f"no report: {error}; try again with: infomax-tune analyze {shlex.quote(str(store.root))}", err=True)


@contextlib.contextmanager
def _folder(store: Store) -> Iterator[None]:
    """Makes and holds the sweep's folder; removes it again if it is new and the sweep cannot begin."""
    new, made = not store.has_sweep(), not store.root.exists()
    store.create()
    with store.lock():
        try:
            yield
        except (ConfigError, DataError, ResourceError):
            if new:
                store.remove_unused(root=made)
            raise


def _options(
    pack: str,
    cpus_per_pack: float,
    gpus_per_pack: float,
    address: str | None,
    max_concurrent: int | None,
    data_dir: Path | None,
    device: str | None,
    max_failures: int,
    strict_environment: bool,
    loggers: list[str] | None,
) -> Options:
    """The options of a sweep, checked: every mistake at once."""
    problems = []
    if pack != "auto" and not (pack.isdecimal() and len(pack) < 10 and int(pack) > 0):
        problems.append(f"--pack: must be auto or a whole number of at least 1, got {pack!r}")
    if not 0 < cpus_per_pack < float("inf"):
        problems.append(f"--cpus-per-pack: must be more than 0, got {cpus_per_pack:g}")
    if not 0 <= gpus_per_pack < float("inf"):
        problems.append(f"--gpus-per-pack: must be 0 or more, got {gpus_per_pack:g}")
    if max_concurrent is not None and max_concurrent < 1:
        problems.append(f"--max-concurrent: must be at least 1, got {max_concurrent}")
    if device not in (None, *DEVICES):
        problems.append(unknown("--device", device, DEVICES))
    if max_failures < 0:
        problems.append(f"--max-failures: must be 0 or more, got {max_failures}")
    problems += problems_of_loggers(loggers or [])
    if problems:
        raise ConfigError("\n".join(problems))
    return Options(
        None if pack == "auto" else int(pack),
        cpus_per_pack,
        gpus_per_pack,
        address,
        max_concurrent,
        data_dir,
        device,
        max_failures,
        strict_environment,
        tuple(dict.fromkeys(loggers or ())),
    )


def _as_words(options: Options, *, report: bool) -> list[str]:
    """The options that differ from the defaults, as they are typed: some of them change where and what is trained."""
    words: list[str] = []
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name == "loggers":
            words += [word for name in value for word in ("--logger", name)]
        elif value != field.default:
            words += [f"--{field.name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words if report else [*words, "--no-report"]


def _require_device(device: str | None) -> None:
    """Raises ResourceError if torch finds no such device on this machine."""
    if device in (None, "cpu"):
        return
    import torch  # slow

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not found[device]:
        raise ResourceError(f"--device {device}: torch {torch.__version__} finds no such device here; use cpu.")


def _space_of(store: Store) -> SearchSpace:
    return SearchSpace.from_dict(store.read_sweep(), str(store.root / "sweep.yaml"))


def _read_document(path: Path) -> documents.Document:
    try:
        return documents.parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such config file. Settings look like key=value.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}).") from None


def _is_file(argument: str) -> bool:
    try:
        return Path(argument).is_file()
    except OSError:  # longer than a file's name can be
        return False


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        typer.echo(note, err=True)


def _print_counts(counts: Counter[str]) -> None:
    statuses = ("done", "diverged", "failed", "missing")
    typer.echo(f"{counts.total()} trials: " + ", ".join(f"{counts[name]} {name}" for name in statuses if counts[name]))
