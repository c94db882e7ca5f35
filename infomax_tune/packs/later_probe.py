"""Measures the probe accuracy of finished trials from their saved weights, as if requested from the start.

`logging.probe` is part of a trial's id. So each trial gets a second folder, under the id that it has with the probe; once
all are there, the sweep's file is changed, which is the step that counts, and the old folders are removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from infomax_tune.errors import ConfigError, StoreError
from infomax_tune.follow.tensorboard_runs import mend, of_run, of_sweep
from infomax_tune.packs.mixing import refuse_to_mix
from infomax_tune.packs.trained_layer import final_tensors
from infomax_tune.science.data import Dataset, load
from infomax_tune.science.layer_parts import parts_of
from infomax_tune.science.metrics import asked_for
from infomax_tune.science.training import TrialState, probe_of
from infomax_tune.store.objects import location
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.datasets import check_labels
from infomax_tune.study.pack import Pack
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import from_nested
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.trial_status import TrialStatus


@dataclass(frozen=True)
class Task:
    """A finished trial to measure, wherever that is done. config: with the probe, as a pack's text. folder: the sweep's."""

    record: Record
    config: str
    folder: str


Spread = Callable[
    [Callable[[Task, Mapping[str, Dataset]], Record], Sequence[Task], Mapping[str, Dataset]],
    Iterable[tuple[Task, Record]],
]
"""Calls a function with each task and the data, here or elsewhere; yields each task with its record as they end."""


def measure(task: Task, datasets: Mapping[str, Dataset]) -> Record:
    """The record that a trial would have with the probe."""
    config = Pack.from_json(task.config).config
    trial = SweepFolder(location(task.folder)).trial(task.record.trial_id)
    return _probed(task.record, config, trial, datasets[config.data.dataset])


def add_to_sweep(
    folder: SweepFolder, data_dir: Path | None, on_trial: Callable[[int, int], None], spread: Spread
) -> None:
    """Gives every trial of a finished sweep its probe accuracy, and the tables their column.

    on_trial: called with the trials done, and their total. It can be killed at any time and started again. Raises StoreError
    if the sweep is not finished or is running, or a trial has no weights; ConfigError if the data has no labels; DataError or
    EnvironmentDriftError if the data or the arithmetic differs from that of the trials.
    """
    with folder.lock():
        space = folder.read_space()
        if "logging.probe" in space.axes:
            raise StoreError(
                f"{folder.root}: logging.probe is an axis of this sweep; the probe can only be added to all trials at once."
            )
        before, after = _with_probe(space, probe=False), _with_probe(space, probe=True)
        trials = before.plan()
        trials.add([*_finished_outside(folder, trials, before.id_digits)])
        pairs = [(config, _probing(config)) for config in trials]
        for _, new in pairs:
            check_labels(new)
        left = [(old, new) for old, new in pairs if folder.trial(new.trial_id).find(new).record is None]
        records = {old.trial_id: _finished(folder.trial(old.trial_id), old, folder) for old, _ in left}
        datasets = {name: load(name, data_dir) for name in sorted({old.data.dataset for old, _ in left})}
        refuse_to_mix(folder.kept(), datasets, mix_arithmetic=False, environments=folder.environments)
        folder.driver.take_over()
        tasks = [Task(records[old.trial_id], Pack.of([new]).to_json(), folder.address) for old, new in left]
        done = len(pairs) - len(left)
        on_trial(done, len(pairs))
        for task, record in spread(measure, tasks, datasets):
            folder.trial(record.trial_id).copy_from(folder.trial(task.record.trial_id), record)
            done += 1
            on_trial(done, len(pairs))
        folder.write_space(after)
        for old, new in pairs:
            if old.trial_id != new.trial_id:
                folder.trial(old.trial_id).remove()
        plan = after.plan()
        mend(folder.runs_folder, of_sweep(plan, folder))
        write_tables(folder, plan)


def add_to_run(folder: TrialFolder, data_dir: Path | None) -> None:
    """Gives a run its probe accuracy. Raises like `add_to_sweep`."""
    with folder.lock():
        record = folder.find().record
        if record is None:
            raise StoreError(
                f"{folder.path}: the run is not finished; check its status with: infomax-tune status {folder.path}"
            )
        config = from_nested(record.config, str(folder.path))
        new = _probing(config)
        check_labels(new)
        if not record.result.keys() >= asked_for(new, "labels").keys():
            datasets = {config.data.dataset: load(config.data.dataset, data_dir)}
            refuse_to_mix([record], datasets, mix_arithmetic=False)
            folder.copy_from(folder, _probed(record, new, folder, datasets[config.data.dataset]))
        folder.write_config(new)
        mend(folder.runs_folder, of_run(folder))


def _with_probe(space: SearchSpace, *, probe: bool) -> SearchSpace:
    logging = space.base.logging.model_copy(update={"probe": probe})
    return dataclasses.replace(space, base=space.base.model_copy(update={"logging": logging}))


def _probing(config: TrialConfig) -> TrialConfig:
    return config.model_copy(update={"logging": config.logging.model_copy(update={"probe": True})})


def _finished_outside(folder: SweepFolder, plan: Plan, id_digits: int) -> Iterator[TrialConfig]:
    """The trials that can be measured but are not in the plan: when the sweep has them again, they need the probe too."""
    for kept in folder.kept():
        with contextlib.suppress(ConfigError):
            config = from_nested(kept.config, kept.trial_id).model_copy(update={"id_digits": id_digits})
            record = (
                None
                if config.trial_id in plan or config.logging.probe
                else folder.trial(kept.trial_id).find(config).record
            )
            if record and (record.has_weights or record.status == TrialStatus.DIVERGED):
                check_labels(_probing(config))
                parts_of(config)  # of a part that was edited since, the version before may not be loaded
                yield config


def _finished(trial: TrialFolder, config: TrialConfig, sweep: SweepFolder) -> Record:
    """The trial's record. Raises StoreError if it has none, or no weights to measure."""
    finding = trial.find(config)
    if finding.record is None:
        raise StoreError(
            f"{sweep.root}: {config.trial_id} is {finding.status}; finish the sweep first: {sweep.command('resume')}"
        )
    return finding.record


def _probed(record: Record, config: TrialConfig, trial: TrialFolder, dataset: Dataset) -> Record:
    """The record that the trial would have with the probe. A diverged trial has no probe."""
    result = dict(record.result)
    if record.status == TrialStatus.DONE:
        state = TrialState(record.epoch, final_tensors(trial, record, config, dataset))
        with _threads(int(record.timing.get("threads", 1))):
            result |= probe_of(config, state, dataset)
    return dataclasses.replace(record, trial_id=config.trial_id, config=config.nested(), result=result)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """While entered, this process computes with as many threads as the trial was trained with: last bits depend on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)
