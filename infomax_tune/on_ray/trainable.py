"""The bridge to Ray: a pack as Tune's config comes in, epochs go out through tune.report."""

from __future__ import annotations

import functools
import math
import traceback
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from ray import tune

from infomax_tune.follow.tensorboard_runs import Run
from infomax_tune.packs.pack_training import How, Progress, train_pack
from infomax_tune.packs.packing import from_pack
from infomax_tune.process.environment import describe, fingerprint
from infomax_tune.science.data import Dataset
from infomax_tune.store.sweep_folder import SweepFolder


def train_on_ray(
    config: dict[str, Any], *, datasets: dict[str, Dataset], out: str, axes: Sequence[str], how: How, threads: int
) -> None:
    """Tune's trainable: trains `config["pack"]` into the store at `out` and reports every epoch.

    datasets: read-only views of Ray's object store, by name. axes: see `SweepFolder.run_folder`. A pack that raises
    leaves its traceback with each of its unfinished trials; Tune tries it again, as often as it was told to.
    """
    torch.set_num_threads(threads)
    pack = from_pack(config["pack"])
    store = SweepFolder(Path(out))
    described = _described(how.device, threads)
    how = replace(how, environment=fingerprint(described))
    latest = Progress(epoch=0, loss=math.nan, effective_rank=math.nan, trial_epochs=0, statuses=[None] * len(pack))
    warnings: list[str] = []

    def report(progress: Progress) -> None:
        nonlocal latest
        latest = progress
        if progress.epoch > 0 or progress.finished:  # the driver is busy enough without the untrained epoch
            tune.report(asdict(progress) | {"warnings": list(warnings)})
            warnings.clear()

    try:
        store.note_environment(described, how.environment)
        folders = [store.trial(trial.trial_id) for trial in pack]
        runs = [Run(store.run_folder(trial, axes), trial) for trial in pack]
        dataset = datasets[pack[0].data.dataset]
        if not store.stop_asked():
            train_pack(pack, folders, dataset, how, report, store.stop_asked, warnings.append, runs)
        if not latest.finished:  # stopped, or there was nothing left to train
            records = [folder.read_record() for folder in folders]
            latest = replace(latest, statuses=[record.status if record else None for record in records])
            tune.report(asdict(latest) | {"warnings": warnings})
    except Exception:
        trace = traceback.format_exc()
        for trial in pack:
            store.trial(trial.trial_id).write_failure(trace, latest.epoch)
        raise


@functools.cache
def _described(device: str, threads: int) -> dict[str, Any]:
    """This worker's environment, which need not be the driver's."""
    return describe(device=device, threads=threads)
