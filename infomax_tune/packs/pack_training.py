"""Trains a pack into the store: its histories, checkpoints, records and TensorBoard runs. Knows no Ray."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import math
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from infomax_tune.errors import DamagedFileError, StoreError, TakenOverError
from infomax_tune.follow.progress import PackProgress
from infomax_tune.follow.tensorboard_runs import Run
from infomax_tune.packs.execution import ON_CPU, Execution
from infomax_tune.parts.catalogue import blame
from infomax_tune.process import code_cache, faults
from infomax_tune.science.arithmetic import arithmetic_of
from infomax_tune.science.data import Dataset
from infomax_tune.science.metrics import asked_for, require_memory
from infomax_tune.science.training import EpochReport, TrialState, packs_agree, shapes_of, train
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.files import for_each
from infomax_tune.store.record import EPOCH_S, HistoryRow, Record
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.trial_status import TrialStatus


@dataclass
class _Trial:
    """One trial of a pack while it trains."""

    config: TrialConfig
    folder: TrialFolder
    run: Run | None
    warn: Callable[[str], None]
    dataset: Dataset
    checkpoint: Checkpoint | None = None
    history: list[HistoryRow] = field(default_factory=list)
    timing: dict[str, Any] = field(
        default_factory=lambda: (
            dict.fromkeys(("train_s", "evaluate_s", "store_s", "tensorboard_s"), 0.0)
            | {"epochs_trained": 0, EPOCH_S: []}
        )
    )
    status: TrialStatus | None = None
    """None while it is training, then done or diverged."""

    def tell_tensorboard(self, step: Callable[[Run], None]) -> None:
        """Writes to the trial's run. If that fails, training continues, and the run is made later from the record."""
        if self.run is None:
            return
        try:
            with self.timed("tensorboard_s"):
                step(self.run)
        except TakenOverError:
            raise
        except StoreError as error:
            self.run = None
            self.warn(f"{error} TensorBoard will not show {self.config.trial_id} until the next `resume`.")

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the seconds spent inside to one of the timings."""
        begun = time.perf_counter()
        yield
        self.timing[name] += time.perf_counter() - begun


def train_pack(
    pack: Sequence[TrialConfig],
    folders: Sequence[TrialFolder],
    dataset: Dataset,
    execution: Execution = ON_CPU,
    on_epoch: Callable[[PackProgress], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = lambda message: None,
    runs: Sequence[Run] | None = None,
) -> None:
    """Trains the trials of one cell that have no record yet, each from its own checkpoint.

    A trial that ends leaves its record: `done`, or `diverged` if its loss or its weights stop being finite. runs: the
    TensorBoard run of each; None for no runs. should_stop: asked after each epoch; if True, the trials write
    checkpoints and training stops for now. Raises PartError if a part of the user's own raises
    an error, else whatever the training raises, and TakenOverError before it would write
    into a folder that another driver has taken over; trials that have ended keep their records.
    """
    with blame(pack[0].parts()):
        trials = [
            _begin(_Trial(config, folder, run, warn, dataset))
            for config, folder, run in zip(pack, folders, runs or [None] * len(pack), strict=True)
        ]
        to_train = [trial for trial in trials if trial.status is None]
        if to_train:
            require_memory(pack[0].model.hidden_dim, len(dataset.train), len(dataset.test))
        if (
            to_train
            and execution.stacked
            and execution.device == "cpu"
            and not packs_agree(_configs(to_train), dataset)
        ):
            execution = dataclasses.replace(execution, stacked=False)
            warn(
                f"this machine rounds {pack[0].cell} differently in packs; its trials train one at a time, which keeps "
                "their numbers but is slower (see `infomax-tune selfcheck`)"
            )
        # a pack that was killed between the writes of two checkpoints resumes as two groups
        for _, group in itertools.groupby(sorted(to_train, key=_epochs_behind), key=_epochs_behind):
            members = list(group)
            for report, seconds in _timed(_reports(members, dataset, execution)):
                for problem in code_cache.untold_problems():
                    warn(problem)
                _take(members, report, seconds / len(members), execution)
                on_epoch(_progress(members, to_train, report.epoch, [trial.status for trial in trials]))
                if all(trial.status for trial in members):
                    break
                if should_stop():
                    _checkpoint(members, report)
                    return


def _configs(trials: Sequence[_Trial]) -> list[TrialConfig]:
    return [trial.config for trial in trials]


def _epochs_behind(trial: _Trial) -> int:
    """The epoch of the checkpoint that the trial resumes from; 0 if it has none."""
    return trial.checkpoint.epoch if trial.checkpoint else 0


def _begin(trial: _Trial) -> _Trial:
    """The trial as its record or checkpoint has it; if it is to be trained, its TensorBoard run restarts from there."""
    record = trial.folder.read_record()
    if record:
        trial.status = record.status
        return trial
    trial.checkpoint = _checkpoint_of(trial.config, trial.folder, trial.warn, trial.dataset)
    if trial.checkpoint:
        trial.history += trial.checkpoint.history
        trial.timing |= trial.checkpoint.timing
    trial.tell_tensorboard(lambda run: run.begin(trial.history, trial.timing[EPOCH_S]))
    return trial


def _checkpoint_of(
    config: TrialConfig, folder: TrialFolder, warn: Callable[[str], None], dataset: Dataset
) -> Checkpoint | None:
    """The checkpoint to resume from. One that is damaged, or from another trial, other data or another arithmetic, is set
    aside with a warning."""
    try:
        checkpoint = folder.read_checkpoint()
        if checkpoint is None:
            return None
        why = _why_not_resumed(config, checkpoint, dataset)
        if not why:
            return checkpoint
        reason = f"{folder.path}: its checkpoint is from {why}."
    except DamagedFileError as error:
        reason = str(error)
    folder.set_checkpoint_aside()
    warn(f"{reason} Set aside; {config.trial_id} trains from the beginning.")
    return None


def _why_not_resumed(config: TrialConfig, checkpoint: Checkpoint, dataset: Dataset) -> str:
    """What a checkpoint is from, if a trial of this config and data cannot resume from it; "" if it can."""
    differences = config.differences(checkpoint.config) if checkpoint.config else []
    if checkpoint.trial_id != config.trial_id or not 0 < checkpoint.epoch < config.training.epochs:
        return f"another trial ({checkpoint.trial_id}, epoch {checkpoint.epoch})"
    if differences:
        return f"another trial with the same id ({'; '.join(differences)})"
    if checkpoint.data not in ("", dataset.digest):
        return f"different data (its digest was {checkpoint.data}, now it is {dataset.digest})"
    if checkpoint.arithmetic != arithmetic_of(config.nested()):
        return f"another arithmetic (it was {checkpoint.arithmetic}, now it is {arithmetic_of(config.nested())})"
    tensors, epochs = checkpoint.tensors, [row["epoch"] for row in checkpoint.history]
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    if shapes != shapes_of(config, dataset.train.shape[1]) or epochs != [*range(checkpoint.epoch + 1)]:
        return "no trial of infomax-tune (its arrays or its history are not those of this one)"
    finite = [np.isfinite(tensor).all() for name, tensor in tensors.items() if "." not in name]  # a moment may overflow
    finite += [math.isfinite(row.get("loss", math.nan)) for row in checkpoint.history[1:]]
    if not all(finite) or any(tensor.dtype != np.float32 for tensor in tensors.values()):
        return "no trial of infomax-tune (its weights or its losses are not finite numbers)"
    return ""


def _reports(trials: Sequence[_Trial], dataset: Dataset, execution: Execution) -> Iterator[EpochReport]:
    """Trains trials that all resume from the same epoch."""
    start = [
        TrialState(
            trial.checkpoint.epoch,
            {name: torch.from_numpy(array.copy()) for name, array in trial.checkpoint.tensors.items()},
        )
        for trial in trials
        if trial.checkpoint
    ]
    return train(
        [trial.config for trial in trials], dataset, start or None, device=execution.device, stacked=execution.stacked
    )


def _timed(reports: Iterator[EpochReport]) -> Iterator[tuple[EpochReport, float]]:
    """Each report with the seconds that it took to make."""
    while True:
        begun = time.perf_counter()
        report = next(reports, None)
        if report is None:
            return
        yield report, time.perf_counter() - begun


def _take(trials: Sequence[_Trial], report: EpochReport, epoch_s: float, execution: Execution) -> None:
    """Adds an epoch to each trial that has not ended; writes checkpoints and records when they are due."""
    records: list[Callable[[], None]] = []
    for i, trial in enumerate(trials):
        if trial.status:
            continue
        config, epoch = trial.config, report.epoch
        last = epoch == config.training.epochs
        finite = report.is_finite(i)
        row: HistoryRow = {"epoch": epoch, **report.losses[i]}
        if epoch:
            faults.trace(f"{config.trial_id} {epoch}")
            trial.timing["train_s"] += epoch_s
            trial.timing[EPOCH_S].append(epoch_s)
            trial.timing["epochs_trained"] += 1
        if finite and (last or epoch % config.logging.save_metrics_every == 0):
            with trial.timed("evaluate_s"):
                row |= report.evaluate(i)
        trial.history.append(row)
        trial.tell_tensorboard(lambda run, row=row: run.add(row, epoch_s))
        if last or not finite:
            records.append(_finish(trial, report, i, execution, pack_size=len(trials), finite=finite))
    list(for_each(lambda write: write(), records, trials[0].folder.path))
    if report.epoch and report.epoch % trials[0].config.logging.checkpoint_every == 0:
        _checkpoint(trials, report)


def _checkpoint(trials: Sequence[_Trial], report: EpochReport) -> None:
    """Writes a checkpoint of each trial that has not ended."""

    def write(i: int) -> None:
        trial = trials[i]
        with trial.timed("store_s"):
            tensors = {name: tensor.numpy() for name, tensor in report.state(i).tensors.items()}
            checkpoint = Checkpoint(
                trial.config.trial_id,
                report.epoch,
                tensors,
                trial.history,
                trial.timing,
                config=trial.config.nested(),
                data=trial.dataset.digest,
                arithmetic=arithmetic_of(trial.config.nested()),
            )
            trial.folder.write_checkpoint(checkpoint)

    if report.epoch:
        going_on = [i for i, trial in enumerate(trials) if trial.status is None]
        list(for_each(write, going_on, trials[0].folder.path))


def _finish(
    trial: _Trial, report: EpochReport, i: int, execution: Execution, *, pack_size: int, finite: bool
) -> Callable[[], None]:
    """Ends the trial, and returns what writes its record."""
    config = trial.config
    result: dict[str, float] = {}
    units: dict[str, list[float]] = {}
    if finite:
        losses = [row["loss"] for row in trial.history if row["epoch"] > 0]
        result = {name: value for name, value in trial.history[-1].items() if name != "epoch"}
        result |= {name: metric.measure(losses) for name, metric in asked_for(config, "losses").items()}
        with trial.timed("evaluate_s"):
            measured = report.measure_at_the_end(i)
        result |= measured.numbers
        units = measured.units
    trial.status = status = TrialStatus.DONE if finite else TrialStatus.DIVERGED
    weights = None
    if config.logging.save_weights:
        state = report.state(i).tensors
        weights = {name: tensor.numpy() for name, tensor in state.items() if "." not in name}
    trial.tell_tensorboard(lambda run: run.end(status, report.epoch, result, weights))
    timing = trial.timing | {
        "pack_size": pack_size,
        "device": execution.device,
        "threads": torch.get_num_threads(),
        "host": socket.gethostname(),
        "environment": execution.environment,
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    record = Record(
        config.trial_id,
        trial.status,
        report.epoch,
        config.nested(),
        result,
        timing,
        units=units,
        data=trial.dataset.digest,
        arithmetic=arithmetic_of(config.nested()),
    )

    return lambda: trial.folder.write_record(record, trial.history, weights)


def _progress(
    trials: Sequence[_Trial], pack: Sequence[_Trial], epoch: int, statuses: Sequence[TrialStatus | None]
) -> PackProgress:
    """The progress of a pack: means over `trials`, which have just been trained; epochs of all `pack`, which are trained now."""
    return PackProgress(
        epoch=epoch,
        loss=_mean_of_latest(trials, "loss"),
        effective_rank=_mean_of_latest(trials, "effective_rank"),
        trial_epochs=sum(max(0, len(trial.history) - 1) for trial in pack),
        statuses=tuple(statuses),
    )


def _mean_of_latest(trials: Sequence[_Trial], name: str) -> float:
    """The mean over trials of the latest measured value where it is finite; NaN if there is none."""
    latest = [_latest(trial.history, name) for trial in trials]
    known = [value for value in latest if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def _latest(history: Sequence[HistoryRow], name: str) -> float:
    for row in reversed(history):
        if name in row:
            return row[name]
    return math.nan
