"""A sweep from start to end, as the command and the Python function share it: checks, folder, display, training, report.

Torch and Ray take seconds to import, so only the functions that need them import them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infomax_tune.answering import analyze, what_seeds_show
from infomax_tune.errors import ConfigError, ResourceError
from infomax_tune.follow import display
from infomax_tune.follow.stopping import heeding
from infomax_tune.packs.execution import require_device
from infomax_tune.process.paths import require_working_folder
from infomax_tune.process.signals import Interrupt
from infomax_tune.process.streams import diverted
from infomax_tune.store import part_copies
from infomax_tune.store.holding import held
from infomax_tune.store.objects import is_object, is_private
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_results
from infomax_tune.study.datasets import check_batch_size, check_labels
from infomax_tune.study.options import Options
from infomax_tune.study.read_config import searched
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.trial_status import ENDED, TrialStatus

if TYPE_CHECKING:
    import pandas as pd

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
    """Sweeps a space into a folder. command: the call that repeats it. hard: see `Interrupt`. Other parameters: see `api.sweep`."""
    _check(space, folder, options)
    with alone(), held(folder) as begin, folder.files_here(), diverted(folder.ray_log) as (out, err):
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
    with alone(), diverted(Path(os.devnull)) as (out, err):
        # a pipe or a log gets the estimate only
        shown = display.choose(out, err, quiet=quiet or not out.isatty())
        with shown, shown.waiting("starting Ray") as say:
            from infomax_tune.on_ray.estimate import estimate  # imports Ray

            return estimate(space, folder, options, report=report, say=say)


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
def alone() -> Iterator[None]:
    """Raises ResourceError if another thread of this process runs a sweep: a process can hold only one Ray."""
    if not _at_work.acquire(blocking=False):
        raise ResourceError("another sweep is running in this process; wait for it, or start another process.")
    try:
        yield
    finally:
        _at_work.release()


def _check(space: SearchSpace, folder: SweepFolder, options: Options) -> None:
    require_working_folder()
    _require_shared(folder.root, options)
    part_copies.bring(space.parts(), [folder.root, *searched(), options.data_dir], trust=options.trust_parts)
    for config in space.trials():
        check_batch_size(config)
        check_labels(config)
    if options.address is None:
        require_device(options.device)


def _require_shared(out: Path, options: Options) -> None:
    """Raises ConfigError if an option does not work with a folder in an object store."""
    if not is_object(out):
        return
    if is_private(out):
        raise ConfigError(
            f"{out}: only this process can see it, but Ray's workers must too; choose another output folder."
        )
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
