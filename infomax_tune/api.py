"""infomax-tune in Python: the commands as functions with the same names."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infomax_tune import answering, sweeping
from infomax_tune.errors import ConfigError, StoreError
from infomax_tune.follow import listing
from infomax_tune.follow.listing import Listed
from infomax_tune.follow.stopping import stop_sweep
from infomax_tune.packs.run_trial import run_trial
from infomax_tune.process.paths import user_path
from infomax_tune.store import part_copies
from infomax_tune.store.files import exists
from infomax_tune.store.objects import location
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_results
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.options import Options, with_options
from infomax_tune.study.read_config import config_from_python, from_nested
from infomax_tune.study.read_space import default_out, space_from_python
from infomax_tune.study.settings import SettingInfo, describe_settings
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.template import space_template
from infomax_tune.sweeping import Sweep

if TYPE_CHECKING:
    import pandas as pd

    from analysis import Analysis
    from analysis.comparison import Comparison
    from infomax_tune.packs.trained_layer import TrainedLayer

__all__ = [
    "Sweep",
    "analyze",
    "compare",
    "evaluate",
    "init",
    "list_",
    "load_layer",
    "load_results",
    "run",
    "settings",
    "stop",
    "sweep",
]

logging.getLogger("ray.widgets").setLevel(logging.WARNING)  # in a notebook, importing Ray advertises a package


def run(
    config: Mapping[str, Any] | str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    trust_parts: bool = False,
    say: Callable[[str], None] = print,
) -> Record:
    """Trains one trial in its own folder and returns its record. Resumes from its checkpoint if it has one.

    config: settings, nested by section or flat (`{"activation": "tanh", "dataset": "digits"}`), or the path of a YAML
    file. settings: override the config's. out: the folder, default results/<trial id>. device: cpu, cuda or mps.
    trust_parts: run the code of parts that the folder or the config file brings along. say: called with each line of progress.
    Raises ConfigError or DataError before training starts, StoreError if the folder holds something else, and
    KeyboardInterrupt if the run is stopped.
    """
    built, notes = config_from_python(config, settings or {})
    for note in notes:
        say(note)
    return run_trial(
        built,
        TrialFolder(Path("results") / built.trial_id if out is None else location(out)),
        data_dir=None if data_dir is None else user_path(data_dir),
        device=device,
        command=_call("run", config, settings=settings, out=out, device=None if device == "cpu" else device),
        say=say,
        trust_parts=trust_parts,
    )


@with_options()
def sweep(
    space: str | Path | Mapping[str, Any] | SearchSpace | None,
    *,
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | str | Path | None = None,
    report: bool = True,
    quiet: bool = False,
    verbose: bool = False,
    **options: Any,
) -> Sweep:
    """Trains every trial of a search space that has no record yet, and writes the results table and the report.

    space: the name of a bundled space, the path of a YAML file, its content as a mapping, or a SearchSpace; None resumes
    the sweep in `out`. out: the output folder, default results/<space>. settings: override the space's; a list, a
    range or `{"range": [first, last]}` makes an axis. config: a base config; the space's own settings override it.
    report: make the report at the end. quiet: print only problems. verbose: print when each pack starts and ends.
    The other parameters are those of `Options`.
    Raises ConfigError, DataError, ResourceError, StoreError or EnvironmentDriftError before training starts.
    A failed trial raises no exception: see `Sweep.counts`. The first Ctrl-C lets the running packs write checkpoints
    and sets `Sweep.interrupted`; the second raises KeyboardInterrupt. Except in a notebook, anything else that this
    process prints during the sweep goes to ray.log in `out`.
    """
    given = Options(**options)
    command = _call("sweep", space, out=out, settings=settings, config=config, **options)
    notes: Sequence[str] = ()
    if space is None:
        if out is None or settings or config:
            raise ConfigError("to resume a sweep, give its out, and neither settings nor config.")
        folder = SweepFolder(location(out))
        loaded = folder.read_space()
        command = folder.environments.begun_by() or command
    else:
        loaded, notes = space_from_python(space, settings or {}, config)
        default = default_out(space) if isinstance(space, (str, Path)) else Path("results") / loaded.name
        folder = SweepFolder(default if out is None else location(out))
    return sweeping.run_sweep(
        loaded, folder, given, command=command, report=report, quiet=quiet, verbose=verbose, notes=notes
    )


def list_(folder: str | Path | None = None) -> list[Listed]:
    """Returns every sweep and run under a folder. Called as `infomax_tune.list`.

    folder: default results, or the working directory if it has no such folder. Raises StoreError if the folder does not
    exist.
    """
    return listing.list_outputs(listing.default_folder() if folder is None else location(folder))


def stop(out: str | Path, *, wait: bool = True) -> None:
    """Asks the sweep that is running in a folder, on any machine, to write checkpoints and stop.

    wait: return only after it has stopped. Raises StoreError if the folder holds no sweep, or none is running.
    """
    stop_sweep(SweepFolder(location(out)), wait=wait)


def init(name: str | Path) -> Path:
    """Writes a commented search space to edit, and returns its path.

    name: the file's; .yaml is appended if it has no suffix. Raises ConfigError if a space cannot have that name, StoreError if
    the file already exists or cannot be written.
    """
    path = user_path(name)
    path = path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")
    text = space_template(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise StoreError(f"{path}: already exists; edit it, or choose another name.") from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}).") from None
    return path


def settings() -> list[SettingInfo]:
    """Returns every setting: its section and key, type, default, range and meaning."""
    return describe_settings()


def compare(*outs: str | Path, page: str | Path | None = None) -> Comparison:
    """Compares two or more sweeps: settings that differ, metrics side by side, and differences paired by seed.

    page: the HTML file to write. Raises AnalysisError or StoreError if a folder has no results.
    """
    answering.require_own_analysis()
    from analysis.comparison import compare_sweeps  # imports pandas and scipy

    for out in outs:
        folder = SweepFolder(location(out))
        if not exists(folder.results_csv):
            folder.require_sweep()
    return compare_sweeps(outs, page)


def analyze(
    out: str | Path,
    *,
    output_dir: str | Path | None = None,
    formats: Sequence[str] = ("png",),
    dpi: int = 150,
    width: float | None = None,
    latex: bool = False,
    with_host: bool = False,
) -> Analysis:
    """Makes the statistics, figures and report of a sweep, in `<out>/analysis` unless `output_dir` says otherwise.

    formats: of the figures: png, pdf, svg. dpi: of the figures, 30 to 1,200. width: of the figures' files in inches, 2.5 to
    20, for a paper: their text then has 7 to 9 points. latex: also write the tables for a paper as LaTeX. with_host: include
    the machine's name in the report. For single statistics and figures, see the package `analysis`.
    Raises AnalysisError if the folder has no results or the output folder cannot be written.
    """
    return answering.analyze(
        location(out),
        None if output_dir is None else location(output_dir),
        host=with_host,
        formats=formats,
        dpi=dpi,
        width=width,
        latex=latex,
    )


def evaluate(
    out: str | Path,
    *,
    probe: bool = False,
    mutual_information: bool = False,
    data_dir: str | Path | None = None,
    trust_parts: bool = False,
    address: str | None = None,
    on_trial: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Measures what the trials of a finished sweep or run lack from their saved weights, without training.

    That is each metric that is always measured today and was not yet when they were trained, and what is asked for. Afterwards,
    records and tables are the same as if it had been measured from the start. probe: also probe_accuracy, as if
    `logging.probe` had been true, so the trials get the ids of that setting. mutual_information: also mutual_information and
    its null, which take seconds a trial and are measured only here. trust_parts: run the code of parts that the folder brings
    along. address: the Ray cluster that measures; without it, what takes long is measured on a Ray that is started here.
    on_trial: called with the number of trials measured so far, and their total. You can stop it and start it again. Raises
    StoreError if a trial is not finished or has no weights, DataError if the data differs from that of the trials, and for
    a probe EnvironmentDriftError if the arithmetic does.
    """
    folder, alone = SweepFolder(location(out)), TrialFolder(location(out))
    data_folder = None if data_dir is None else user_path(data_dir)
    is_run = not folder.has_sweep() and alone.has_config()
    if not is_run:
        folder.require_sweep()
    config = alone.read_config() if is_run else None
    parts = folder.read_space().parts() if not is_run else config.parts() if config else []
    part_copies.bring(parts, [folder.root, data_folder], trust=trust_parts)

    from infomax_tune.packs import later_metrics  # imports torch

    if is_run:
        later_metrics.add_to_run(alone, data_folder, probe=probe, slow=mutual_information)
        return
    from infomax_tune.on_ray.spreading import spread

    with sweeping.alone():
        on_machines = functools.partial(spread, folder=folder, options=Options(address=address))
        later_metrics.add_to_sweep(folder, data_folder, on_trial, on_machines, probe=probe, slow=mutual_information)


def load_layer(
    out: str | Path, trial_id: str = "", *, data_dir: str | Path | None = None, trust_parts: bool = False
) -> TrainedLayer:
    """Returns the layer of a finished trial as a torch module, with the data as the trial saw it.

    out: the folder of a sweep, or of a run. trial_id: the trial's, as in the results table; "" for a run, which has one.
    Raises StoreError if there is no such trial, or it has no weights; DataError if its data is missing.
    """
    sweep = SweepFolder(location(out))
    trial = sweep.trial(trial_id) if trial_id else TrialFolder(sweep.root)
    record = trial.find().record
    if record is None:
        ask = (
            f"choose one of the ids in {sweep.results_csv}"
            if sweep.has_sweep()
            else "give the folder of a sweep or a run"
        )
        raise StoreError(f"{trial.path}: no finished trial; {ask}.")
    parts = from_nested(record.config, str(trial.path)).parts()
    folder = None if data_dir is None else user_path(data_dir)
    part_copies.bring(parts, [sweep.root, folder], trust=trust_parts)
    from infomax_tune.packs.trained_layer import trained_layer  # imports torch

    return trained_layer(trial, record, folder)


def load_results(out: str | Path) -> pd.DataFrame:
    """Returns the results table of a sweep: one row per trial, numbers exact to the last bit, columns as in
    docs/output-folder.md.

    Raises StoreError if the folder has no results table.
    """
    return read_results(SweepFolder(location(out)))


def _call(function: str, first: object, **arguments: object) -> str:
    """The call as Python source. The report shows it as the way to repeat the study."""
    given = [_source(first), *(f"{name}={_source(value)}" for name, value in arguments.items() if value is not None)]
    return f"infomax_tune.{function}({', '.join(given)})"


def _source(value: Any) -> str:
    """A value as Python source that needs no import: arrays are lists."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_source(key)}: {_source(inner)}' for key, inner in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_source, value))}]"
    return _source(value.tolist()) if hasattr(value, "tolist") else repr(value)
