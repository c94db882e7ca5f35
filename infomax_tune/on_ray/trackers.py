"""The trackers, through Ray's own logger callbacks, which get one of our trials at a time.

Ray's callbacks log one run per Tune trial, which here is a pack. So they are not given to Tune: a trial that has a
record is replayed to them from its folder as a whole, and noted as logged. However often a sweep is killed, a tracker
holds one run per trial: the next attempt removes what a killed attempt left.

`Tracker` is what they have in common; each tracker's specifics are in its own class.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import shutil
import sys
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from infomax_tune.errors import StoreError
from infomax_tune.on_ray.addresses import hide_secrets, without_secrets
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tracker_folder import TrackerFolder
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.trial_status import TrialStatus

if TYPE_CHECKING:
    from ray.tune.logger import LoggerCallback

PATIENCE_S = 120
"""Seconds that one trial may take to reach a tracker."""

_MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # no usage statistics leave this machine
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # a pooled connection would keep writing to a deleted database
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
    # a server that is down is told after some 15 seconds; MLflow would try again for four minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class Tracker:
    """What all trackers have in common.

    name: the value of `--logger`. where: where it logs to, for people. on_ray: whether it logs in processes of Ray's.
    failed: whether it raised, and is skipped. given: how many trials were logged so far.
    """

    name: str
    on_ray = False

    def __init__(self, sweep: SweepFolder, folder: TrackerFolder, where: str) -> None:
        self.sweep = sweep
        self.folder = folder
        self.where = where
        self.failed = False
        self.given = 0
        self._callback: LoggerCallback | None = None

    def make_callback(self) -> LoggerCallback:
        """Ray's callback for this tracker."""
        raise NotImplementedError

    def remove_unfinished(self, run: str) -> None:
        """Removes the tracker's run that a killed attempt started."""

    def run_of(self, trial: ReplayedTrial) -> str | None:
        """The tracker's own id of the run just started, if it must be removed in case this attempt is killed."""
        return None

    def upload_of(self, trial: ReplayedTrial) -> Any:
        """Ray's reference to the task that logs the trial, if there is one. Asked for before the trial's end."""
        return None

    def left(self, trials: Iterable[TrialConfig]) -> list[TrialConfig]:
        """The trials that have a record but were not logged."""
        return [config for config in trials if self.sweep.trial(config.trial_id).has_record() and not self._has(config)]

    def has_all(self, trials: Iterable[TrialConfig]) -> bool:
        return all(map(self._has, trials))

    def open(self) -> None:
        self._callback = self.make_callback()
        self._callback.setup()

    def give(self, config: TrialConfig) -> None:
        """Logs a trial, unless it was logged already."""
        assert self._callback is not None, "opened before"
        trial_id = config.trial_id
        finding = self.sweep.trial(trial_id).find(config)
        record = finding.record
        if record is None or self.folder.has(trial_id, finding.digest):
            return
        files = self.folder.files_of(trial_id)
        shutil.rmtree(files, ignore_errors=True)  # what a killed attempt left, here and at the tracker
        if unfinished := self.folder.unfinished_run(trial_id):
            self.remove_unfinished(unfinished)
        trial = ReplayedTrial(trial_id, _settings(config), config.cell, files)
        tune_trial: Any = trial  # Ray's callbacks use nothing else of one
        self._callback.log_trial_start(tune_trial)
        run = self.run_of(trial)
        if run:
            self.folder.note(trial_id, finding.digest, run=run, whole=False)
        for result in _results(record, self.sweep):
            self._callback.log_trial_result(result["training_iteration"], tune_trial, result)
        upload = self.upload_of(trial)
        self._callback.log_trial_end(tune_trial, failed=record.status == TrialStatus.DIVERGED)
        if upload is not None:
            ray.get(upload, timeout=PATIENCE_S)
        self.folder.note(trial_id, finding.digest, run=run)
        self.given += 1

    def close(self) -> None:
        if self._callback is not None:
            self._callback.on_experiment_end([])

    def abandon(self) -> None:
        """Ends the processes of Ray's that it logs in: who waits for them then gets an error."""

    def leaving_no_trace(self) -> contextlib.AbstractContextManager[None]:
        """Undoes, on leaving, what it sets for the whole process."""
        return contextlib.nullcontext()

    def forget(self) -> None:
        """Drops the callback: if it holds objects of Ray's and outlives Ray, it ends this process."""
        self._callback = None

    def reason(self, error: Exception) -> str:
        """The first line of an error's message, without passwords."""
        return hide_secrets(next(iter(str(error).strip().splitlines()), ""))

    def summary(self, trials: Iterable[TrialConfig]) -> str:
        """One line for people: how many trials were logged, and how many remain."""
        text = f"{self.name}: {self.given} trials logged to {self.where}"
        left = len(self.left(trials))
        return f"{text}; {left} remain for the next run with --logger {self.name}" if left else text

    def _has(self, config: TrialConfig) -> bool:
        return self.folder.has(config.trial_id, self.sweep.trial(config.trial_id).record_digest())


class CsvTracker(Tracker):
    """Ray's progress.csv, one per trial."""

    name = "csv"

    def __init__(self, sweep: SweepFolder, space: str) -> None:
        folder = sweep.tracker(self.name)
        super().__init__(sweep, folder, str(folder.path))

    def make_callback(self) -> LoggerCallback:
        from ray.tune.logger import CSVLoggerCallback  # here, because it imports Tune, which takes a second

        return CSVLoggerCallback()


class JsonTracker(CsvTracker):
    """Ray's result.json and params.json, one of each per trial."""

    name = "json"

    def make_callback(self) -> LoggerCallback:
        from ray.tune.logger import JsonLoggerCallback

        return JsonLoggerCallback()


class MlflowTracker(Tracker):
    """MLflow, at $MLFLOW_TRACKING_URI or in the sweep's own database; the experiment has the space's name."""

    name = "mlflow"

    def __init__(self, sweep: SweepFolder, space: str) -> None:
        self._uri, self._space = os.environ.get("MLFLOW_TRACKING_URI"), space
        shown = without_secrets(self._uri or "")
        # each address has its own folder
        own = f"mlflow-{hashlib.sha256(shown.encode()).hexdigest()[:8]}" if self._uri else "mlflow"
        folder = sweep.tracker(own)
        super().__init__(sweep, folder, shown or str(folder.path))

    def make_callback(self) -> LoggerCallback:
        os.environ.update({name: value for name, value in _MLFLOW_SETTINGS.items() if name not in os.environ})
        from ray.air.integrations.mlflow import MLflowLoggerCallback

        uri = self._uri or _local_mlflow(self.folder.path.resolve(), self._space)
        return MLflowLoggerCallback(tracking_uri=uri, experiment_name=self._space)

    @contextlib.contextmanager
    def leaving_no_trace(self) -> Iterator[None]:
        """Ray's callback and ours set MLflow's address and settings, for this process and its children."""
        before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", *_MLFLOW_SETTINGS)}
        try:
            yield
        finally:
            if mlflow := sys.modules.get("mlflow"):
                mlflow.set_tracking_uri(before["MLFLOW_TRACKING_URI"])
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)

    def reason(self, error: Exception) -> str:
        # MLflow's messages contain the address, which may have a password that is not percent-encoded
        return super().reason(Exception(str(error).replace(self._uri, self.where)) if self._uri else error)

    def remove_unfinished(self, run: str) -> None:
        import mlflow

        with contextlib.suppress(mlflow.MlflowException):  # it has been deleted already
            mlflow.delete_run(run)

    def run_of(self, trial: ReplayedTrial) -> str | None:
        return getattr(self._callback, "_trial_runs", {}).get(trial)


class WandbTracker(Tracker):
    """Weights & Biases, in the project that has the space's name, or offline in the sweep's folder."""

    name = "wandb"
    on_ray = True

    def __init__(self, sweep: SweepFolder, space: str) -> None:
        self._mode, self._space = os.environ.get("WANDB_MODE"), space
        offline = self._mode == "offline"
        folder = sweep.tracker("wandb-offline" if offline else "wandb")
        super().__init__(sweep, folder, str(folder.path) if offline else f"its project {space}")

    def make_callback(self) -> LoggerCallback:
        from ray.air.integrations.wandb import WandbLoggerCallback

        # the mode is passed on: Ray starts the process that logs, which on a cluster has other environment variables
        return WandbLoggerCallback(project=self._space, mode=self._mode)

    def abandon(self) -> None:
        queues, actors = (getattr(self._callback, name, {}) for name in ("_trial_queues", "_trial_logging_actors"))
        for actor in [*(queue.actor for queue in queues.values()), *actors.values()]:
            ray.kill(actor)

    def upload_of(self, trial: ReplayedTrial) -> Any:
        # Ray's callback logs in its own process, and never checks whether that failed
        return getattr(self._callback, "_trial_logging_futures", {}).get(trial)


_TRACKERS = {tracker.name: tracker for tracker in (MlflowTracker, WandbTracker, CsvTracker, JsonTracker)}


def tracker_named(name: str, space: str, sweep: SweepFolder) -> Tracker:
    """The tracker of that name, out of `options.LOGGERS`, where the environment variables say it is.

    space: the name of the space, by which its runs are grouped.
    """
    return _TRACKERS[name](sweep, space)


def _local_mlflow(folder: Path, space: str) -> str:
    """The address of the folder's own database, which is created if missing.

    It gets its name once it is complete: MLflow may fail to open a database whose tables were only partly made.
    """
    import mlflow

    if "?" in str(folder):
        raise StoreError(
            f"{folder}: MLflow treats a ? as the end of the address; set $MLFLOW_TRACKING_URI to another store."
        )
    database = folder / "mlflow.db"
    if not database.exists():
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f".mlflow.db.{uuid.uuid4().hex[:8]}.tmp"
        mlflow.set_tracking_uri(f"sqlite:///{new}")
        mlflow.create_experiment(space, artifact_location=(folder / "artifacts").as_uri())
        new.replace(database)
    return f"sqlite:///{database}"


@dataclass(frozen=True, eq=False)
class ReplayedTrial:
    """One of our trials, in the form that Ray's callbacks expect of a Tune trial. experiment_dir_name: wandb groups
    runs by it."""

    trial_id: str
    config: dict[str, Any]
    experiment_dir_name: str
    files: Path
    checkpoint: None = None

    @property
    def local_path(self) -> str:
        """Its folder, which is made when a callback asks for it."""
        self.init_local_path()
        return str(self.files.resolve())

    def init_local_path(self) -> None:
        self.files.mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.trial_id


def _settings(config: TrialConfig) -> dict[str, Any]:
    flat = config.flat()
    return {column: flat[name] for column, name in columns.settings_of([config]).items()}


def _results(record: Record, sweep: SweepFolder) -> list[dict[str, Any]]:
    """What the trial would have reported to Tune: a result per epoch, the last one with the final numbers too.

    All have the same keys, since Ray's CSV takes its header from the first; None replaces values that are not finite.
    """
    rows: list[dict[Any, Any]] = sweep.trial(record.trial_id).read_history().to_dict("records")
    rows[-1] |= record.result
    known = dict.fromkeys((*columns.FINAL, *(name for row in rows for name in row if name != "epoch")))
    names = [name for name in known if any(_is_number(row, name) for row in rows)]
    return [
        {"training_iteration": int(row["epoch"])}
        | {name: row[name] if _is_number(row, name) else None for name in names}
        for row in rows
    ]


def _is_number(row: dict[Any, Any], name: str) -> bool:
    return math.isfinite(row.get(name, math.nan))
