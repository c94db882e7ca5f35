"""Other trackers through Ray's own logger callbacks, which are fed one of our trials at a time.

Ray's callbacks log one run a Tune trial, which here is a pack. So they are not given to Tune: a trial that has its
record is replayed to them from the store, whole, and noted as given. However often a sweep is killed, a tracker then
holds one run a trial: what a hand-over that was killed had begun is removed by the next.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.tune.logger import CSVLoggerCallback, JsonLoggerCallback, LoggerCallback

from infomax_tune.errors import StoreError
from infomax_tune.store.sweep_folder import Record, SweepFolder, TrackerFolder
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig

UPLOAD_S = 300
"""How long one trial may take to reach wandb."""

_MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # a study tells nobody but its user
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # a pooled connection would go on writing into a database that was deleted
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}


@dataclass
class Tracker:
    """One tracker at one place.

    where: the place, for people. make: makes Ray's callback. on_ray: whether that one logs in processes of Ray's.
    """

    name: str
    store: SweepFolder
    folder: TrackerFolder
    where: str
    make: Callable[[], LoggerCallback]
    on_ray: bool = False
    failed: bool = False
    given: int = 0
    _callback: LoggerCallback = field(init=False, repr=False)

    def left(self, trials: Sequence[TrialConfig]) -> list[TrialConfig]:
        """The trials that have a record and were not given."""
        return [config for config in trials if self.store.trial(config.trial_id).has_record() and not self._has(config)]

    def has_all(self, trials: Sequence[TrialConfig]) -> bool:
        return all(map(self._has, trials))

    def open(self) -> None:
        self._callback = self.make()
        self._callback.setup()

    def give(self, config: TrialConfig) -> None:
        """Hands a trial over, unless it was already."""
        trial_id = config.trial_id
        digest, record = self.store.trial(trial_id).record_digest(), self.store.trial(trial_id).find(trial_id).record
        if record is None or self._has(config):
            return
        files = self.folder.files_of(trial_id)
        shutil.rmtree(files, ignore_errors=True)  # what a hand-over left that was killed, here and at the tracker
        if run := self.folder.unfinished_run(trial_id):
            _delete_mlflow_run(run)
        trial: Any = _Trial(trial_id, _settings(config), config.cell, files)
        self._callback.log_trial_start(trial)
        if run := getattr(self._callback, "_trial_runs", {}).get(trial):  # MLflow's
            self.folder.note(trial_id, digest, run=run, whole=False)
        for result in _results(record, self.store):
            self._callback.log_trial_result(result["training_iteration"], trial, result)
        # wandb's callback logs in a process of its own, and never asks whether that failed
        upload = getattr(self._callback, "_trial_logging_futures", {}).get(trial)
        self._callback.log_trial_end(trial, failed=record.status == "diverged")
        if upload is not None:
            ray.get(upload, timeout=UPLOAD_S)
        self.folder.note(trial_id, digest, run=run)
        self.given += 1

    def close(self) -> None:
        self._callback.on_experiment_end([])

    def forget(self) -> None:
        """Lets go of the callback: one that holds objects of Ray's would end this process if it outlived Ray."""
        self.__dict__.pop("_callback", None)

    def summary(self, trials: Sequence[TrialConfig]) -> str:
        """One line for people."""
        text = f"{self.name}: {self.given} trials handed over to {self.where}"
        left = len(self.left(trials))
        return f"{text}; {left} are left for the next run with --logger {self.name}" if left else text

    def _has(self, config: TrialConfig) -> bool:
        return self.folder.has(config.trial_id, self.store.trial(config.trial_id).record_digest())


def tracker_named(name: str, space: str, store: SweepFolder) -> Tracker:
    """The tracker of that name, at the place that the environment says; another place has a folder of its own.

    Runs of one space stand together: as an experiment of MLflow's, a project of wandb's.
    """
    if name == "mlflow":
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        shown = re.sub("//[^/@]*@", "//", uri or "")  # without a password
        folder = store.tracker(f"mlflow-{hashlib.sha256(shown.encode()).hexdigest()[:8]}" if uri else "mlflow")
        return Tracker(name, store, folder, shown or str(folder.path), lambda: _mlflow(uri, folder.path, space))
    if name == "wandb":
        mode = os.environ.get("WANDB_MODE")
        folder = store.tracker("wandb-offline" if mode == "offline" else "wandb")
        where = str(folder.path) if mode == "offline" else f"its project {space}"
        return Tracker(name, store, folder, where, lambda: _wandb(space, mode), on_ray=True)
    folder = store.tracker(name)
    make = {"csv": CSVLoggerCallback, "json": JsonLoggerCallback}[name]
    return Tracker(name, store, folder, str(folder.path), make)


def _mlflow(uri: str | None, folder: Path, space: str) -> LoggerCallback:
    os.environ.update({name: value for name, value in _MLFLOW_SETTINGS.items() if name not in os.environ})
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    return MLflowLoggerCallback(tracking_uri=uri or _local_mlflow(folder.resolve(), space), experiment_name=space)


def _local_mlflow(folder: Path, space: str) -> str:
    """The address of the folder's own database, which is made if it is not there.

    It gets its name once it is whole: MLflow may not open a database again that was killed while it made its tables.
    """
    import mlflow

    if "?" in str(folder):
        raise StoreError(f"{folder}: MLflow reads a ? as the address's end; give it a store in $MLFLOW_TRACKING_URI.")
    database = folder / "mlflow.db"
    if not database.exists():
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f".mlflow.db.{uuid.uuid4().hex[:8]}.tmp"
        mlflow.set_tracking_uri(f"sqlite:///{new}")
        mlflow.create_experiment(space, artifact_location=(folder / "artifacts").as_uri())
        new.replace(database)
    return f"sqlite:///{database}"


def _delete_mlflow_run(run: str) -> None:
    """Deletes a run at the address in use."""
    import mlflow

    with contextlib.suppress(mlflow.MlflowException):  # it is gone already
        mlflow.delete_run(run)


def leave_mlflow(uri: str | None) -> None:
    """Gives MLflow back the address it had: Ray's callback sets one for the whole process and its children."""
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(uri)


def _wandb(space: str, mode: str | None) -> LoggerCallback:
    from ray.air.integrations.wandb import WandbLoggerCallback

    # the mode in words: the process that logs is started by Ray, which on a cluster has another environment
    return WandbLoggerCallback(project=space, mode=mode)


@dataclass(frozen=True, eq=False)
class _Trial:
    """One of our trials, as Ray's callbacks look at one of Tune's. experiment_dir_name: what wandb groups runs by."""

    trial_id: str
    config: dict[str, Any]
    experiment_dir_name: str
    files: Path
    checkpoint: None = None

    @property
    def local_path(self) -> str:
        """Its folder, which is there only if a callback asks for it."""
        self.init_local_path()
        return str(self.files.resolve())

    def init_local_path(self) -> None:
        self.files.mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.trial_id


def _settings(config: TrialConfig) -> dict[str, Any]:
    flat = config.flat()
    return {column: flat[name] for column, name in columns.SETTINGS.items()}


def _results(record: Record, store: SweepFolder) -> list[dict[str, Any]]:
    """What the trial would have reported: a result an epoch, the last one with all that it is summed up by.

    All have the same keys, since Ray's CSV takes its header from the first; None where there is no finite number.
    """
    rows = store.trial(record.trial_id).read_history().to_dict("records")
    rows[-1] |= record.result
    names = [name for name in columns.FINAL if any(math.isfinite(row.get(name, math.nan)) for row in rows)]
    return [
        {"training_iteration": int(row["epoch"])}
        | {name: row[name] if math.isfinite(row.get(name, math.nan)) else None for name in names}
        for row in rows
    ]
