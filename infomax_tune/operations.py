"""What the command line and the Python functions share: run, sweep, estimate and analyze, once their input is read.

Torch, Ray, pandas and matplotlib take seconds to import, so only the functions that need them import them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infomax_tune.errors import ConfigError, DataError, ResourceError
from infomax_tune.follow import display
from infomax_tune.process.streams import diverted
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_results
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.datasets import check_batch_size
from infomax_tune.study.options import Options, device_problems
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.trial_status import ENDED, TrialStatus

if TYPE_CHECKING:
    import pandas as pd

    from analysis import Analysis
    from infomax_tune.on_ray.estimate import Estimate


@dataclass(frozen=True)
class Sweep:
    """The outcome of a sweep. counts: its trials by status (done, diverged, failed, missing); report: the HTML page, if made."""

    out: Path
    counts: Counter[str]
    interrupted: bool
    report: Path | None = None

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
) -> Record:
    """Trains one trial in a folder of its own. command: the call that repeats it. See `api.run`."""
    problems = device_problems(device)
    if problems:
        raise ConfigError(problems[0])
    _require_device(device)
    folder = TrialFolder(out or default_out(config))
    folder.refuse_strangers()

    from infomax_tune.packs import run_trial as runner  # imports torch

    return runner.run_trial(config, folder, data_dir=data_dir, device=device, command=command, say=say)


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
    _check(space, options)
    with _alone(), _held(folder), diverted(folder.ray_log) as (out, err):
        from infomax_tune.on_ray import sweep  # imports Ray

        shown = display.choose(out, err, quiet=quiet, verbose=verbose)
        with shown:
            for note in notes:
                shown.say(note)
            outcome = sweep.run(space, folder, options, shown, command=command, hard=hard)
        wanted = report and not outcome.interrupted and outcome.counts[TrialStatus.DONE]
        page = _report(folder, shown) if wanted else None
    return Sweep(folder.root, outcome.counts, outcome.interrupted, page)


def estimate_sweep(space: SearchSpace, folder: SweepFolder, options: Options) -> Estimate:
    """What a sweep would take, estimated from a few batches of its packs. Leaves nothing in the folder."""
    _check(space, options)
    with _alone(), diverted(Path(os.devnull)):
        from infomax_tune.on_ray.estimate import estimate  # imports Ray

        return estimate(space, folder, options)


def analyze(out: Path, output_dir: Path | None = None) -> Analysis:
    """Statistics, figures and the report from a sweep's tables. Raises AnalysisError, or ResourceError if another module
    hides our package `analysis`."""
    _require_own_analysis()
    import analysis  # imports pandas, scipy and matplotlib

    folder = SweepFolder(out)
    sources = folder.report_sources()  # before: if one changes meanwhile, the report counts as outdated
    made = analysis.analyze(out, output_dir)
    if output_dir is None:
        folder.note_report(sources)
    return made


def _require_own_analysis() -> None:
    """Raises ResourceError if another `analysis`, such as one in the working directory, would be imported instead of ours."""
    own = Path(__file__).resolve().parents[1] / "analysis" / "__init__.py"
    found = importlib.util.find_spec("analysis")
    origin = None if found is None else found.origin
    if origin is None or Path(origin).resolve() != own:
        raise ResourceError(
            f"{origin or 'a folder named analysis'} is imported instead of infomax-tune's package `analysis`; "
            "rename it, or start from another folder."
        )


def _report(folder: SweepFolder, shown: display.Display) -> Path | None:
    """Makes the report that ends a sweep; warns and returns None if that fails, since the records are safe."""
    if folder.report_is_current():
        return folder.report
    try:
        return Path(analyze(folder.root).report)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not fail the sweep
        again = f"infomax-tune analyze {shlex.quote(str(folder.root))}"
        shown.warn(f"no report: {str(error).rstrip('.')}; try again with: {again}")
        return None


_at_work = threading.Lock()


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Raises ResourceError if another thread of this process runs a sweep: a process can hold only one Ray."""
    if not _at_work.acquire(blocking=False):
        raise ResourceError("another sweep is at work in this process; wait for it, or start another process.")
    try:
        yield
    finally:
        _at_work.release()


@contextlib.contextmanager
def _held(folder: SweepFolder) -> Iterator[None]:
    """Creates and locks the sweep's folder; removes it again if it is new and the sweep cannot begin."""
    is_new, had_no_folder = not folder.has_sweep(), not folder.root.exists()
    folder.create()
    with folder.lock():
        try:
            yield
        except (ConfigError, DataError, ResourceError):
            if is_new:
                folder.remove_unused(root=had_no_folder)
            raise


def _check(space: SearchSpace, options: Options) -> None:
    for config in space.trials():
        check_batch_size(config)
    if options.address is None:
        _require_device(options.device)


def _require_device(device: str | None) -> None:
    """Raises ResourceError if torch finds no such device on this machine."""
    if device in (None, "cpu"):
        return
    import torch  # slow

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not found[device]:
        raise ResourceError(f"--device {device}: torch {torch.__version__} finds no such device here; use cpu.")
