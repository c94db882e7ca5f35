"""Measures what finished trials lack from their saved weights, as if it had been measured from the start.

That is what did not exist when they were trained, what is too slow to be measured always, and the probe. `logging.probe` is
part of a trial's id. So for the probe each trial gets a second folder, under the id that it has with it; once all are there,
the sweep's file is changed, which is the step that counts, and the old folders are removed. Else only its record changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from infomax_tune.errors import ConfigError, StoreError
from infomax_tune.follow.tensorboard_runs import mend, of_run, of_sweep
from infomax_tune.packs.mixing import refuse_to_mix
from infomax_tune.packs.trained_layer import final_tensors
from infomax_tune.parts.metrics import Metric
from infomax_tune.science.data import Dataset, load
from infomax_tune.science.layer_parts import parts_of
from infomax_tune.science.metrics import asked_for
from infomax_tune.science.training import measure_later
from infomax_tune.store.objects import location
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.datasets import check_labels
from infomax_tune.study.pack import Pack
from infomax_tune.study.read_config import from_nested
from infomax_tune.study.space import SearchSpace
from infomax_tune.study.trial_status import TrialStatus


@dataclass(frozen=True)
class Task:
    """A finished trial to measure, wherever that is done. config: that it is to have, as a pack's text. folder: the sweep's.
    slow: whether with the slow metrics."""

    record: Record
    config: str
    folder: str
    slow: bool


Spread = Callable[
    [Callable[[Task, Mapping[str, Dataset]], Record], Sequence[Task], Mapping[str, Dataset]],
    Iterable[tuple[Task, Record]],
]
"""Calls a function with each task and the data, here or elsewhere; yields each task with its record as they end."""


def measure(task: Task, datasets: Mapping[str, Dataset]) -> Record:
    """The record that a trial would have with all that is asked for."""
    config = Pack.from_json(task.config).config
    trial = SweepFolder(location(task.folder)).trial(task.record.trial_id)
    return _completed(task.record, config, trial, datasets[config.data.dataset], slow=task.slow)


def add_to_sweep(
    folder: SweepFolder,
    data_dir: Path | None,
    on_trial: Callable[[int, int], None],
    spread: Spread,
    *,
    probe: bool = False,
    slow: bool = False,
) -> None:
    """Gives every trial of a finished sweep the metrics that it lacks, and the tables their columns.

    probe: whether with the probe accuracy. slow: whether with the slow metrics. on_trial: called with the trials done, and
    their total. It can be killed at any time and started again. Raises StoreError if the sweep is not finished or is running,
    or a trial has no weights; ConfigError if the data has no labels for a probe; DataError if the data differs from that of the
    trials, and for a probe EnvironmentDriftError if the arithmetic does.
    """
    with folder.lock():
        space = folder.read_space()
        if probe and "logging.probe" in space.axes:
            raise StoreError(
                f"{folder.root}: logging.probe is an axis of this sweep; the probe can only be added to all trials at once."
            )
        before, after = (_with_probe(space, probe=False), _with_probe(space, probe=True)) if probe else (space, space)
        changed = _probing if probe else _as_it_is
        of_plan = {changed(config).trial_id: (config, changed(config)) for config in before.plan()}
        pairs = list((of_plan | _finished_outside(folder, of_plan, before.id_digits, changed)).values())
        for _, new in pairs:
            check_labels(new)
        records = [
            (folder.trial(new.trial_id).find(new).record or _finished(folder.trial(old.trial_id), old, folder), new)
            for old, new in pairs
        ]
        left = [
            (record, new)
            for record, new in records
            if record.trial_id != new.trial_id or _lacking(record, new, slow=slow)
        ]
        datasets = {name: load(name, data_dir) for name in sorted({new.data.dataset for _, new in left})}
        # what is added to trials as they are is the same whichever arithmetic trained them
        refuse_to_mix(folder.kept(), datasets, mix_arithmetic=not probe, environments=folder.environments)
        folder.driver.take_over()
        tasks = [Task(record, Pack.of([new]).to_json(), folder.address, slow) for record, new in left]
        done = len(pairs) - len(left)
        on_trial(done, len(pairs))
        runs = of_sweep(after.plan(), folder)
        run_of = {trial.run.config.trial_id: trial.run for trial in runs}
        for task, record in spread(measure, tasks, datasets):
            if run := run_of.get(record.trial_id):
                run.remove()  # first, so that a kill cannot leave it without what is new
            folder.trial(record.trial_id).copy_from(folder.trial(task.record.trial_id), record)
            done += 1
            on_trial(done, len(pairs))
        if probe:
            folder.write_space(after)
        for old, new in pairs:
            if old.trial_id != new.trial_id:
                folder.trial(old.trial_id).remove()
        mend(folder.runs_folder, runs)
        write_tables(folder, after.plan())


def add_to_run(folder: TrialFolder, data_dir: Path | None, *, probe: bool = False, slow: bool = False) -> None:
    """Gives a run the metrics that it lacks. Parameters, and what it raises, are those of `add_to_sweep`."""
    with folder.lock():
        record = folder.find().record
        if record is None:
            raise StoreError(
                f"{folder.path}: the run is not finished; check its status with: infomax-tune status {folder.path}"
            )
        config = from_nested(record.config, str(folder.path))
        new = _probing(config) if probe else config
        check_labels(new)
        if _lacking(record, new, slow=slow):
            datasets = {config.data.dataset: load(config.data.dataset, data_dir)}
            refuse_to_mix([record], datasets, mix_arithmetic=not probe)
            completed = _completed(record, new, folder, datasets[config.data.dataset], slow=slow)
            for trial in of_run(folder):
                trial.run.remove()
            folder.copy_from(folder, completed)
        if probe:
            folder.write_config(new)
        mend(folder.runs_folder, of_run(folder))


def _with_probe(space: SearchSpace, *, probe: bool) -> SearchSpace:
    logging = space.base.logging.model_copy(update={"probe": probe})
    return dataclasses.replace(space, base=space.base.model_copy(update={"logging": logging}))


def _probing(config: TrialConfig) -> TrialConfig:
    return config.model_copy(update={"logging": config.logging.model_copy(update={"probe": True})})


def _as_it_is(config: TrialConfig) -> TrialConfig:
    return config


def _finished_outside(
    folder: SweepFolder, of_plan: Collection[str], id_digits: int, changed: Callable[[TrialConfig], TrialConfig]
) -> dict[str, tuple[TrialConfig, TrialConfig]]:
    """The trials that can be measured but are not in the plan, as they are and `changed`, by their changed id: when the sweep
    has them again, they need what its own have."""
    found: dict[str, tuple[TrialConfig, TrialConfig]] = {}
    for kept in folder.kept():
        with contextlib.suppress(ConfigError):
            old = from_nested(kept.config, kept.trial_id).model_copy(update={"id_digits": id_digits})
            new = changed(old)
            if new.trial_id in of_plan or (new.trial_id in found and new == old):
                continue
            record = folder.trial(kept.trial_id).find(old).record
            if record and (record.has_weights or record.status == TrialStatus.DIVERGED):
                check_labels(new)
                parts_of(old)  # of a part that was edited since, the version before may not be loaded
                found[new.trial_id] = (old, new)
    return found


def _finished(trial: TrialFolder, config: TrialConfig, sweep: SweepFolder) -> Record:
    """The trial's record. Raises StoreError if it has none, or no weights to measure."""
    finding = trial.find(config)
    if finding.record is None:
        raise StoreError(
            f"{sweep.root}: {config.trial_id} is {finding.status}; finish the sweep first: {sweep.command('resume')}"
        )
    return finding.record


def _lacking(record: Record, config: TrialConfig, *, slow: bool) -> dict[str, Metric]:
    """The metrics of a trial of this config, by name, that its record does not have. A diverged trial has none."""
    if record.status == TrialStatus.DIVERGED:
        return {}
    asked = asked_for(config, "trained layer", "labels", slow=slow)
    return {name: metric for name, metric in asked.items() if name not in record.result and name not in record.units}


def _completed(record: Record, config: TrialConfig, trial: TrialFolder, dataset: Dataset, *, slow: bool) -> Record:
    """The record that the trial would have if this were its config and it lacked nothing."""
    result, units, lacking = record.result, record.units, _lacking(record, config, slow=slow)
    if lacking:
        weights = final_tensors(trial, record, config, dataset)
        with _threads(int(record.timing.get("threads", 1))):
            found = measure_later(config, weights, dataset, lacking)
        result, units = result | found.numbers, units | found.units
    record = dataclasses.replace(record, result=result, units=units)
    if config.logging.probe == from_nested(record.config, record.trial_id).logging.probe:
        return record
    return dataclasses.replace(record, trial_id=config.trial_id, config=config.nested())


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
