"""TensorBoard's runs: one per trial, whatever pack it is trained in, with the same numbers as the store.

A run is one event file. It is rewritten from the history whenever its trial starts or resumes, so its curves have
no gap and no doubled step, whatever was killed. `Run` writes all runs: as their trials train, and later from what these
left, if a run is missing, broken or in an object store. Imports neither Ray nor torch.
"""

# pyright: reportAttributeAccessIssue=false
# protobuf makes its classes at import, where pyright cannot see them

from __future__ import annotations

import contextlib
import datetime
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from infomax_tune.errors import DamagedFileError, LockedError, StoreError
from infomax_tune.follow import event_file
from infomax_tune.follow.weight_picture import tiles
from infomax_tune.process import faults
from infomax_tune.store.files import for_each, make_folder, read_bytes, remove, write_atomically
from infomax_tune.store.locks import Work
from infomax_tune.store.objects import is_object
from infomax_tune.store.record import EPOCH_S, HistoryRow, Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import RUNS, TrialFolder, run_path
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import from_nested
from infomax_tune.study.trial_status import TrialStatus

Weights = Mapping[str, NDArray[np.float32]]

_PREFIX = "events.out.tfevents."
_OWN_NAME = re.compile(re.escape(_PREFIX) + r"\d+\.\d+\.(?P<trial_id>\w+-k\d+-s\d+-[0-9a-f]{8,})")
_RGB = 3
"""TensorBoard's number for RGB images."""
_LARGEST = float(np.finfo(np.float32).max)
"""TensorBoard stores float32."""
_ONLY_AT_THE_END = tuple(name for name in columns.FINAL if name not in columns.HISTORY)


class Run:
    """The run of one trial: `begin`, then `add` an epoch at a time, then `end`; TensorBoard sees each step at once.

    Its clock counts the seconds of the trial's epochs, as its history does: relative time is training time, packed or
    not, killed or not. All methods that write raise StoreError if they cannot. made_at: the epoch of the checkpoint that
    `make` has made it from, if any. ended: whether the run is complete.
    """

    def __init__(self, folder: Path, config: TrialConfig) -> None:
        self.folder = folder
        self.config = config
        self.made_at: int | None = None
        self.ended = False
        self._path = folder
        self._clock = 0.0

    def begin(self, history: Iterable[Mapping[Any, float]], epoch_s: Sequence[float], now: float | None = None) -> None:
        """Rewrites the run with the epochs so far. Not durable: a trial that resumes after a crash rewrites its run.

        epoch_s: the seconds of each epoch from 1 on. now: when the last of them ended, if not now.
        """
        self._clear()
        self._clock = (now or time.time()) - sum(epoch_s)
        flat = self.config.flat()
        settings = SessionStartInfo(group_name=self.config.trial_id, start_time_secs=self._clock)
        for column, name in columns.settings_of([self.config]).items():
            value = flat[name]
            if isinstance(value, float):
                settings.hparams[column].number_value = value
            else:  # TensorBoard shows every number with five digits: 16 units would be 16.000
                settings.hparams[column].string_value = str(value)
        seconds = dict(enumerate(epoch_s, start=1))
        events = [
            Event(wall_time=self._clock, file_version="brain.Event:2"),
            self._about_session(metadata.SESSION_START_INFO_TAG, session_start_info=settings),
            *(self._epoch(row, seconds.get(int(row["epoch"]), 0.0)) for row in history),
        ]
        write_atomically(self._path, event_file.encode(events), durably=False)

    def add(self, row: HistoryRow, epoch_s: float) -> None:
        """Appends one epoch. epoch_s: the seconds it took, ignored for epoch 0."""
        self._append([self._epoch(row, epoch_s if row["epoch"] else 0.0)])

    def end(self, status: TrialStatus, epoch: int, result: Mapping[str, float], weights: Weights | None) -> None:
        """Appends what is known only at the end. Comes before the trial's record, so a run beside a record is complete.

        Not durable: if a power failure cuts it, `mend` makes it again.
        """
        last = Event(wall_time=self._clock, step=epoch)
        _add_scalars(last, result, _ONLY_AT_THE_END)
        picture = tiles(weights["weight"]) if weights else None
        if picture:
            image = last.summary.value.add(tag="weights").image
            image.encoded_image_string = picture.png
            image.height, image.width, image.colorspace = picture.height, picture.width, _RGB
        ending = SessionEndInfo(status=_outcome(status), end_time_secs=self._clock)
        self._append([last, self._about_session(metadata.SESSION_END_INFO_TAG, session_end_info=ending)])
        self.ended = True
        faults.point("tensorboard:ended")

    def remove(self) -> None:
        """Removes the run, so that `mend` makes it again. Raises StoreError; does nothing in an object store."""
        if not is_object(self.folder):
            self._clear()

    def make(self, folder: TrialFolder) -> None:
        """Makes the run from the trial's record or its checkpoint; does nothing if it has neither.

        Raises DamagedFileError if they are damaged.
        """
        finding = folder.find(self.config)
        if finding.status == TrialStatus.DAMAGED:
            raise DamagedFileError(finding.problem)
        record = finding.record
        if record is None:
            checkpoint = folder.read_checkpoint()
            if checkpoint is not None and checkpoint.trial_id == self.config.trial_id:
                self.begin(checkpoint.history, checkpoint.timing.get(EPOCH_S, []))
                self.made_at = checkpoint.epoch
            return
        finished = None
        with contextlib.suppress(KeyError, TypeError, ValueError):
            finished = datetime.datetime.fromisoformat(record.timing["finished"]).timestamp()
        weights = folder.read_weights() if record.has_weights else None
        self.begin(folder.read_history().to_dict("records"), folder.epoch_seconds(record), finished)
        self.end(record.status, record.epoch, record.result, weights)

    def _epoch(self, row: Mapping[Any, float], epoch_s: float) -> Event:
        """One epoch's numbers, in one event."""
        self._clock += epoch_s
        event = Event(wall_time=self._clock, step=int(row["epoch"]))
        _add_scalars(event, row, [name for name in row if name != "epoch"])
        return event

    def _about_session(self, tag: str, **content: Any) -> Event:
        event = Event(wall_time=self._clock)
        about = metadata.create_summary_metadata(HParamsPluginData(**content))
        event.summary.value.add(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)
        return event

    def _clear(self) -> None:
        """Removes old event files and picks a later name for the new one, so a running TensorBoard reads it."""
        self._path = self.folder / f"{_PREFIX}{time.time():.6f}.{self.config.trial_id}"
        try:
            make_folder(self.folder)
            for _, old in _own_files(self.folder.iterdir()):
                remove(old)
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be written ({error.strerror or error}).") from error
        faults.point("tensorboard:removed")

    def _append(self, events: Iterable[Event]) -> None:
        """Appends to the run. If that fails, removes it, if possible: a partial run would pass for a complete one."""
        data = event_file.encode(events)
        try:
            with self._path.open("r+b") as handle:  # "ab" would create a file, with only a part of the run
                handle.seek(0, os.SEEK_END)
                handle.write(data[: len(data) // 2])
                handle.flush()
                faults.point("tensorboard:half")
                handle.write(data[len(data) // 2 :])
        except FileNotFoundError:
            return  # somebody removed it while the trial was training: `mend` makes it again
        except OSError as error:
            with contextlib.suppress(OSError, StoreError):
                remove(self._path)
            raise StoreError(f"{self._path}: cannot be written ({error.strerror or error}).") from error


@dataclass(frozen=True)
class TrialRun:
    """A trial's folder and its run."""

    folder: TrialFolder
    run: Run


def of_sweep(plan: Plan, folder: SweepFolder, root: Path | None = None) -> list[TrialRun]:
    """Every trial of a sweep with its run. root: where the runs are, if not in the sweep's folder."""
    root = root or folder.runs_folder
    return [
        TrialRun(folder.trial(config.trial_id), Run(root / run_path(config, plan.further_axes), config))
        for config in plan
    ]


def of_run(folder: TrialFolder, root: Path | None = None) -> list[TrialRun]:
    """A trial that is not part of a sweep, with its run; empty while it has no record. root: as in `of_sweep`."""
    record = folder.find().record
    if record is None:
        return []
    config = from_nested(record.config, str(folder.path)).model_copy(update={"known_id": record.trial_id})
    return [TrialRun(folder, Run((root or folder.runs_folder) / run_path(config), config))]


def mend(root: Path, trials: Sequence[TrialRun]) -> list[str]:
    """Makes the runs under `root` exactly those of these trials: removes misplaced ones, makes missing and broken ones.

    A trial that is damaged, or has no record or checkpoint yet, gets no run. Returns what could not be read, written or
    removed, in sentences. The caller holds the lock of the trials' folder. Does nothing in an object store, which keeps no
    runs.
    """
    if is_object(root):
        return []
    standing, misplaced = _find_runs(root, trials)
    problems: list[str] = []
    for path in misplaced:
        try:
            remove(path)
            _remove_empty(path.parent, root)
        except OSError as error:
            problems.append(f"{path}: cannot be removed ({error.strerror or error}).")

    def is_missing_or_broken(trial: TrialRun) -> bool:
        path = standing.get(trial.run.config.trial_id)
        return path is None or _problem(trial, path) != ""

    unmade = _make_where(is_missing_or_broken, trials, root)
    return problems + [f"{problem} TensorBoard will not show it." for problem in unmade]


def refresh(out: Path, trials: Sequence[TrialRun]) -> list[str]:
    """Makes those runs again whose trials have a newer record or checkpoint; returns what could not be read or written.

    For trials in an object store `out` and runs on this machine: nothing can be appended to an object, so workers write
    no runs there.
    """

    def is_outdated(trial: TrialRun) -> bool:
        kept = trial.folder.kept()
        return isinstance(kept, Record) or (kept is not None and kept.epoch != trial.run.made_at)

    return _make_where(is_outdated, [trial for trial in trials if not trial.run.ended], out)


def _make_where(needed: Callable[[TrialRun], bool], trials: Iterable[TrialRun], folder: Path) -> list[str]:
    """Makes the runs that are needed; returns what could not be read or written, in sentences. folder: the trials'."""

    def make(trial: TrialRun) -> str:
        try:
            if needed(trial):
                trial.run.make(trial.folder)
        except DamagedFileError:
            pass  # reported when the trials themselves are read
        except StoreError as error:
            return str(error)
        return ""

    return [problem for problem in for_each(make, trials, folder) if problem]


def find_broken(root: Path, trials: Sequence[TrialRun]) -> list[str]:
    """What `mend` would fix in the runs of trials that have a record, each in a sentence. Raises StoreError."""
    if is_object(root):
        return []
    standing, _ = _find_runs(root, trials)
    problems = [_problem(trial, standing.get(trial.run.config.trial_id)) for trial in trials]
    return [problem for problem in problems if problem]


def _find_runs(root: Path, trials: Sequence[TrialRun]) -> tuple[dict[str, Path], list[Path]]:
    """The latest event file of each trial in its place under `root`, by the trial's id, and all that are misplaced."""
    place = {trial.run.config.trial_id: trial.run.folder for trial in trials}
    found = sorted(_own_files(root.rglob(f"{_PREFIX}*")))
    standing = {trial_id: path for trial_id, path in found if place.get(trial_id) == path.parent}
    return standing, sorted({path for _, path in found} - {*standing.values()})


def _problem(trial: TrialRun, path: Path | None) -> str:
    """What is wrong with the event file of a finished trial: missing, cut off, changed, or without its end; else "".

    The run of an unfinished trial may be incomplete: it is rewritten when the trial resumes. A damaged record is reported by
    itself. Raises StoreError if a file cannot be read.
    """
    try:
        record = trial.folder.read_record()
    except DamagedFileError:
        return ""
    if record is None:
        return ""
    if path is None:
        return f"{trial.run.folder}: its TensorBoard run is missing."
    last = event_file.last_event(read_bytes(path))
    if last and [value.tag for value in last.summary.value] == [metadata.SESSION_END_INFO_TAG]:
        ending = HParamsPluginData.FromString(last.summary.value[0].metadata.plugin_data.content)
        if ending.session_end_info.status == _outcome(record.status):
            return ""
    return f"{path}: this TensorBoard run is incomplete or damaged."


def _outcome(status: TrialStatus) -> int:
    """What TensorBoard's HParams page calls the status of a finished trial."""
    return STATUS_SUCCESS if status == TrialStatus.DONE else STATUS_FAILURE


def mend_unless_busy(root: Path, trials: Sequence[TrialRun]) -> list[str]:
    """`mend`, unless another process holds the folder: that process mended the runs when it started."""
    try:
        with SweepFolder(root).lock(Work.RUNS):
            return mend(root / RUNS, trials) if trials else []
    except LockedError:
        return []
    except StoreError as error:
        return [str(error)]


def _own_files(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """The paths that are our event files, each with its trial's id."""
    for path in paths:
        if own := _OWN_NAME.fullmatch(path.name):
            yield own["trial_id"], path


def _remove_empty(folder: Path, root: Path) -> None:
    while folder != root and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def _add_scalars(event: Event, values: Mapping[Any, float], names: Iterable[str]) -> None:
    """Adds the values that are finite in float32; TensorBoard cannot draw the others."""
    for name in names:
        value = values.get(name, math.nan)
        if abs(value) <= _LARGEST:
            event.summary.value.add(tag=name, simple_value=value)
