"""What the command line and the Python functions share: run, sweep, estimate and analyze, after input is read.

Torch, Ray, pandas and matplotlib take seconds to import, so only the functions that need them import them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import os
import shlex
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infomax_tune.errors import ConfigError, LockedError, ResourceError, StoreError
from infomax_tune.follow import display
from infomax_tune.follow.stopping import heeding
from infomax_tune.process.paths import require_working_folder, user_path
from infomax_tune.process.signals import Interrupt
from infomax_tune.process.streams import diverted
from infomax_tune.store import part_copies
from infomax_tune.store.files import exists, remove
from infomax_tune.store.objects import is_object, is_private, location
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_results
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.datasets import check_batch_size, check_labels
from infomax_tune.study.options import Options, device_problems
from infomax_tune.study.read_config import searched
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.template import space_template
from infomax_tune.study.trial_status import ENDED, TrialStatus

if TYPE_CHECKING:
    import pandas as pd

    from analysis import Analysis
    from analysis.comparison import Comparison
    from infomax_tune.on_ray.estimate import Estimate


@dataclass(frozen=True)
class Sweep:
    """The outcome of a sweep.

    counts: its trials by status (done, diverged, failed, missing). interrupted: whether it was stopped. report: the HTML
    page, None if none was wanted or made. finding: the first sentence of the report, "" if this call did not make it.
    """

    out: Path
    counts: Counter[str]
    interrupted: bool
    report: Path | None = None
    finding: str = ""

    @property
    def complete(self) -> bool:
        """Whether every trial has a record."""
        return set(self.counts) <= set(ENDED)

    @property
    def results(self) -> pd.DataFrame:
        """The results table. See `load_results`."""
        return read_results(SweepFolder(self.out))


def run_trial(
    config: TrialConfig,
    *,
    out: Path | None,
    data_dir: Path | None,
    device: str,
    command: str,
    say: Callable[[str], None],
    hard: bool = False,
    trust_parts: bool = False,
) -> Record:
    """Trains one trial in its own folder. command: the call that repeats it. See `api.run`."""
    problems = device_problems(device)
    if problems:
        raise ConfigError(problems[0])
    _require_device(device)
    folder = TrialFolder(out or default_out(config))
    folder.refuse_strangers()
    part_copies.bring(config.parts(), [folder.path, *searched(), data_dir], trust=trust_parts)

    from infomax_tune.packs import run_trial as runner  # imports torch

    return runner.run_trial(config, folder, data_dir=data_dir, device=device, command=command, say=say, hard=hard)


def new_space(name: str | Path) -> Path:
    """Writes a commented search space to edit, and returns its path. name: the file's; .yaml is appended if it has no suffix.

    Raises ConfigError if a space cannot have that name, StoreError if the file already exists or cannot be written.
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


def evaluate_probe(
    out: Path,
    *,
    data_dir: Path | None = None,
    trust_parts: bool = False,
    address: str | None = None,
    on_trial: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Measures the probe accuracy of every finished trial from its weights. address: the Ray cluster to join, if it is to be
    done there. on_trial: called with the trials done and the total. See `api.evaluate`.
    """
    options = Options(address=address)
    folder, alone = SweepFolder(out), TrialFolder(out)
    is_run = not folder.has_sweep() and alone.has_config()
    if not is_run:
        folder.require_sweep()

    config = alone.read_config() if is_run else None
    parts = folder.read_space().parts() if not is_run else config.parts() if config else []
    part_copies.bring(parts, [out, data_dir], trust=trust_parts)

    from infomax_tune.packs import later_probe  # imports torch

    if is_run:
        later_probe.add_to_run(alone, data_dir)
    else:
        from infomax_tune.on_ray.spreading import spread

        with _alone():
            later_probe.add_to_sweep(
                folder, data_dir, on_trial, functools.partial(spread, folder=folder, options=options)
            )


def default_out(config: TrialConfig) -> Path:
    """The default output folder of `run`."""
    return Path("results") / config.trial_id


def run_sweep(
    space: SearchSpace,
    folder: SweepFolder,
    options: Options,
    *,
    command: str,
    report: bool,
    quiet: bool = False,
    verbose: bool = False,
    notes: Sequence[str] = (),
    hard: bool = False,
) -> Sweep:
    """Sweeps a space into a folder. command: the call that repeats it. hard: see `Interrupt`. See `api.sweep`."""
    _check(space, folder, options)
    with _alone(), _held(folder) as begin, folder.files_here(), diverted(folder.ray_log) as (out, err):
        shown = display.choose(out, err, quiet=quiet, verbose=verbose)
        folder.driver.clear_stop()  # a sweep that was killed may have left it
        interrupt = Interrupt(shown.say, on_ask=folder.driver.ask_to_stop, on_leave=shown.close, hard=hard)
        try:
            with shown, interrupt, heeding(folder, interrupt.ask):
                from infomax_tune.on_ray import sweep  # imports Ray

                for note in notes:
                    shown.say(note)
                counts = sweep.run(
                    space,
                    folder,
                    options,
                    shown,
                    interrupt,
                    command=command,
                    on_begin=begin,
                    notes=what_seeds_show(space, only_if_nothing=not verbose),
                    report_s=_report_s(space) if report else 0.0,
                )
        finally:
            folder.driver.clear_stop()
        wanted = report and not interrupt.asked and counts[TrialStatus.DONE]
        page, finding = _report(folder, shown) if wanted else (None, "")
    return Sweep(folder.root, counts, interrupt.asked, page, finding)


def estimate_sweep(
    space: SearchSpace, folder: SweepFolder, options: Options, *, report: bool, quiet: bool = False
) -> Estimate:
    """What a sweep would take, estimated from a few batches of some of its packs. Leaves nothing in the folder."""
    _check(space, folder, options)
    with _alone(), diverted(Path(os.devnull)) as (out, err):
        # a pipe or a log gets the estimate only
        shown = display.choose(out, err, quiet=quiet or not out.isatty())
        with shown, shown.waiting("starting Ray") as say:
            from infomax_tune.on_ray.estimate import estimate  # imports Ray

            return estimate(space, folder, options, report_s=_report_s(space) if report else 0.0, say=say)


def what_seeds_show(space: SearchSpace, *, only_if_nothing: bool = False) -> list[str]:
    """One sentence on which differences this number of seeds can detect, from the analysis's own function. Empty if the
    space compares nothing. only_if_nothing: empty too if there are any."""
    seeds = len(space.axes.get("training.seed", [0]))
    levels = len(space.axes.get("model.activation", [0]))
    if levels < 2:
        return []
    try:
        _require_own_analysis()
    except ResourceError:
        return []  # the report says so at the end
    from analysis.power import power_of

    flat = [config.flat() for config in space.trials()]
    ours = TrialConfig().loss.objective  # baselines are not compared with each other
    infomax = [settings for settings in flat if settings["loss.objective"] == ours] or flat
    others = {tuple(settings[name] for name in space.axes if name not in _NOT_A_FAMILY) for settings in infomax}
    comparisons = math.comb(levels, 2) * len(others)
    power = power_of(seeds, comparisons)
    return [] if power.reachable and only_if_nothing else [f"power: {power.sentence}"]


_NOT_A_FAMILY = ("model.activation", "model.hidden_dim", "training.seed")
"""Axes that make no further comparisons: activations are what is compared, as means over widths, over seeds."""


def _report_s(space: SearchSpace) -> float:
    """About how many seconds the report of a sweep takes: `infomax-tune analyze` took 9.6 s of CPU for 60 trials of digits, and
    17.6 s for the 180 of the study, on an AMD EPYC."""
    return _REPORT_S + _REPORT_TRIAL_S * len(space.trials())


_REPORT_S, _REPORT_TRIAL_S = 5.6, 0.067


def answer(out: Path) -> pd.DataFrame:
    """The study's results in one table: mean and standard deviation of its metrics over the seeds, as text."""
    _require_own_analysis()
    from analysis.answer import answer_table
    from analysis.load import load_study

    return answer_table(load_study(out).results)


def analyze(out: Path, output_dir: Path | None = None, **options: Any) -> Analysis:
    """Statistics, figures and the report from a sweep's tables. options: of `analysis.analyze`. Raises AnalysisError, or
    ResourceError if another module hides our package `analysis`."""
    _require_own_analysis()
    import analysis  # imports pandas, scipy and matplotlib

    folder = SweepFolder(out)
    if TrialFolder(out).has_config():
        folder.require_sweep()  # a single run has nothing to compare
    sources = folder.report_sources()  # read first: if one changes meanwhile, the report counts as outdated
    made = analysis.analyze(out, output_dir, **options)
    if output_dir is None:
        folder.note_report(sources, made.finding)
    return made


def compare(outs: Sequence[str | Path], page: str | Path | None = None) -> Comparison:
    """Compares sweeps; writes the page if one is named. Raises AnalysisError, StoreError, or ResourceError like `analyze`."""
    _require_own_analysis()
    from analysis.comparison import compare_sweeps  # imports pandas and scipy

    for out in outs:
        folder = SweepFolder(location(out))
        if not exists(folder.results_csv):
            folder.require_sweep()
    return compare_sweeps(outs, page)


def comparison_table(found: Comparison) -> pd.DataFrame:
    """The study's metrics of compared sweeps, as text for a terminal."""
    from analysis.comparison import terminal_table

    return terminal_table(found)


def _require_own_analysis() -> None:
    """Raises ResourceError if another `analysis`, such as one in the working directory, would be imported instead of ours."""
    own = Path(__file__).resolve().parents[1] / "analysis" / "__init__.py"
    try:
        found = importlib.util.find_spec("analysis")
    except ValueError:  # a module that a program put into sys.modules by itself
        found = None
    origin = None if found is None else found.origin
    if origin is None or Path(origin).resolve() != own:
        raise ResourceError(
            f"{origin or 'another analysis'} is imported instead of infomax-tune's package `analysis`; "
            "rename it, or run from another folder."
        )


def _report(folder: SweepFolder, shown: display.Display) -> tuple[Path | None, str]:
    """Makes the report at the end of a sweep; its page and first finding. If that fails, warns: the records are safe."""
    if folder.report_is_current():
        return folder.report, folder.report_finding()
    try:
        with shown.waiting("writing the report"):
            made = analyze(folder.root)
        return made.report, made.finding
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not fail the sweep
        again = f"infomax-tune analyze {shlex.quote(str(folder.root))}"
        shown.warn(f"no report: {str(error).rstrip('.')}; try again with: {again}")
        return None, ""


_at_work = threading.Lock()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Raises ResourceError if another thread of this process runs a sweep: a process can hold only one Ray."""
    if not _at_work.acquire(blocking=False):
        raise ResourceError("another sweep is running in this process; wait for it, or start another process.")
    try:
        yield
    finally:
        _at_work.release()


@contextlib.contextmanager
def _held(folder: SweepFolder) -> Iterator[Callable[[], None]]:
    """Creates and locks the sweep's folder. Yields a function to call once the sweep has started: if a new sweep ends before
    that, everything created for it is removed."""
    made, begun = folder.yet_to_make(), threading.Event()
    with contextlib.ExitStack() as stack:
        try:
            folder.create()
            stack.enter_context(folder.lock())
        except LockedError:
            raise  # what is there is its holder's
        except StoreError:
            _remove(made)
            raise
        if folder.has_sweep():
            begun.set()
        try:
            yield begun.set
        except Exception:
            if not begun.is_set():
                folder.driver.step_down()
                _remove(made)
            raise


def _remove(paths: Iterable[Path]) -> None:
    """Removes files, and folders that are empty."""
    for path in paths:
        with contextlib.suppress(OSError, StoreError):
            path.rmdir() if path.is_dir() else remove(path)


def _check(space: SearchSpace, folder: SweepFolder, options: Options) -> None:
    require_working_folder()
    _require_shared(folder.root, options)
    part_copies.bring(space.parts(), [folder.root, *searched(), options.data_dir], trust=options.trust_parts)
    for config in space.trials():
        check_batch_size(config)
        check_labels(config)
    if options.address is None:
        _require_device(options.device)


def _require_shared(out: Path, options: Options) -> None:
    """Raises ConfigError if an option does not work with a folder in an object store."""
    if not is_object(out):
        return
    if is_private(out):
        raise ConfigError(f"{out}: only this process can see it, but Ray's workers must too; choose another --out.")
    local = {"csv", "json"} & set(options.loggers)
    if "mlflow" in options.loggers and not os.environ.get("MLFLOW_TRACKING_URI"):
        local.add("mlflow")
    if "wandb" in options.loggers and os.environ.get("WANDB_MODE") == "offline":
        local.add("wandb")
    if local:
        raise ConfigError(
            f"{out}: --logger {min(local)} writes files to the output folder, so that folder must be on a disk; use "
            "mlflow with MLFLOW_TRACKING_URI, or wandb online."
        )


def _require_device(device: str | None) -> None:
    """Raises ResourceError if torch finds no such device on this machine."""
    if device in (None, "cpu"):
        return
    import torch  # slow

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not found[device]:
        raise ResourceError(f"--device {device}: torch {torch.__version__} finds no such device here; use cpu.")
