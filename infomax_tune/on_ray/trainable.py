"""The trainable: Tune calls it with a pack, and it reports the pack's epochs through tune.report."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ray import tune

from infomax_tune.errors import StoreError, TakenOverError
from infomax_tune.follow.progress import PackProgress
from infomax_tune.follow.tensorboard_runs import Run
from infomax_tune.on_ray.machines import seen
from infomax_tune.packs.execution import Execution, environment_here
from infomax_tune.process.environment import fingerprint
from infomax_tune.science.data import Dataset
from infomax_tune.store.objects import is_object, location
from infomax_tune.store.sweep_folder import SWEEP_FILE, SweepFolder
from infomax_tune.study.pack import Pack

_REPORT_S = 1.0
"""The fewest seconds between two reports: a worker waits for the driver at each, and many workers would wait long."""


def train_on_ray(
    config: dict[str, Any],
    *,
    packs: Sequence[str],
    datasets: dict[str, Dataset],
    out: str,
    axes: Sequence[str],
    execution: Execution,
    threads: int,
    driver: str,
    environment_missing: bool,
) -> None:
    """Tune's trainable: trains a pack into the folder at `out` and reports its epochs, at most one a second.

    packs: as `Pack.to_json` gives them; `config["pack"]` is the place of the one to train. datasets: read-only views of Ray's
    object store, by name. axes: see `SweepFolder.run_folder`. driver: the id of the driver that the pack is trained for, see
    `DriverNotes.take_over`. environment_missing: see `Job`. If training raises, each unfinished trial of the pack keeps the
    traceback, and Tune tries the pack again up to `max_failures` times, unless one of its trials has failed in the same way
    before.
    """
    pack = Pack.from_json(packs[int(config["pack"])])
    folder = SweepFolder(location(out))
    trials = [folder.trial(trial.trial_id) for trial in pack]
    latest = PackProgress(statuses=(None,) * len(pack), host=socket.gethostname())
    warnings: list[str] = []
    reported = float("-inf")

    def report(progress: PackProgress) -> None:
        nonlocal latest, reported
        latest = progress = replace(progress, host=latest.host)
        is_due = progress.epoch > 0 and time.monotonic() - reported >= _REPORT_S
        if is_due or progress.finished:
            tune.report(replace(progress, warnings=tuple(warnings)).to_dict())
            warnings.clear()
            reported = time.monotonic()

    if not seen(folder.root / SWEEP_FILE):  # a machine that joined later; it would train into its own folder
        raise StoreError(f"{latest.host} cannot see {out}: all machines must share it.")
    with folder.driver.heeded(driver):
        try:
            # not at the top, because the driver imports this module and has no need of torch, which takes seconds
            import torch

            from infomax_tune.packs.pack_training import train_pack

            torch.set_num_threads(threads)
            described = _described(execution.device, threads)
            execution = replace(execution, environment=fingerprint(described))
            with _until_taken_over(folder, driver):
                folder.environments.note_used(described, execution.environment)
                if environment_missing:
                    folder.environments.complete_latest(described)
                if not folder.driver.stop_asked():
                    train_pack(
                        pack,
                        trials,
                        datasets[pack.config.data.dataset],
                        execution,
                        on_epoch=report,
                        should_stop=lambda: folder.driver.stop_asked() or not folder.driver.is_ours(),
                        warn=warnings.append,
                        runs=None
                        if is_object(folder.root)
                        else [Run(folder.run_folder(trial, axes), trial) for trial in pack],
                    )
            if not latest.finished:  # stopped, or there was nothing left to train
                records = [trial.read_record() for trial in trials]
                statuses = tuple(record.status if record else None for record in records)
                tune.report(replace(latest, statuses=statuses, warnings=tuple(warnings)).to_dict())
        except Exception as error:
            trace, cause = traceback.format_exc(), _cause(error)
            known = [failure.get("cause") for trial in trials if (failure := trial.read_failure())]
            for trial in trials:
                trial.write_failure(trace, latest.epoch, cause)
            tune.report(replace(latest, failure=trace).to_dict())  # in case the failure could not be written
            if not cause or cause not in known:  # else Tune would try it again
                raise


@contextlib.contextmanager
def _until_taken_over(folder: SweepFolder, driver: str) -> Iterator[None]:
    """Ends quietly once another driver trains the pack, or the folder was moved, be it in the middle of a write."""
    try:
        yield
    except TakenOverError:
        pass
    except StoreError:
        if folder.driver.is_driven_by(driver, afresh=True):
            raise


def _cause(error: Exception) -> list[str]:
    """An error's type and the lines that it passed through: equal if it is the same error again, whatever its words. Empty if
    the machine or its disk may be the cause, since another try may then do."""
    if isinstance(error, (OSError, MemoryError, StoreError)):
        return []
    lines = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__, limit=-50)]
    return [f"{type(error).__module__}.{type(error).__qualname__}", *lines]


@functools.cache
def _described(device: str, threads: int) -> dict[str, Any]:
    """This worker's environment, which may differ from the driver's. Imports torch."""
    return environment_here(device=device, threads=threads)
