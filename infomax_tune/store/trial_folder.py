"""The folder of a trial: its record, history, weights, checkpoint and failure."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.store import checkpoint as checkpoints
from infomax_tune.store import formats
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.files import locked, read_json, write_atomically, write_json
from infomax_tune.store.record import Finding, HistoryRow, Record, history_to_csv, read_history
from infomax_tune.study import yaml_document
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_config import from_nested
from infomax_tune.study.trial_status import TrialStatus


class TrialFolder:
    """The folder of one trial: record.json, history.csv, weights.safetensors; checkpoint.safetensors while it trains."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run_folder(self, config: TrialConfig) -> Path:
        """Where TensorBoard finds the trial, if it is not part of a sweep."""
        return self.path / RUNS / run_path(config)

    def has_record(self) -> bool:
        return (self.path / "record.json").exists()

    def record_digest(self) -> str | None:
        """The sha256 of the record's file; None if there is none. It is another one if the trial is trained again."""
        try:
            return hashlib.sha256((self.path / "record.json").read_bytes()).hexdigest()
        except FileNotFoundError:
            return None

    def has_config(self) -> bool:
        """Whether it is the folder of a trial that is not part of a sweep."""
        return (self.path / "config.yaml").exists()

    def refuse_strangers(self) -> None:
        """Raises StoreError if this is no folder, or one that holds no record but something that is not a trial's."""
        try:
            names = sorted(path.name for path in self.path.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{self.path}: cannot be a folder ({error.strerror}); choose another --out.") from None
        strangers = [name for name in names if name not in _TRIAL_NAMES and ".damaged-" not in name and name[0] != "."]
        if strangers and not self.has_record():
            raise StoreError(
                f"{self.path}: not a trial's folder, and not empty (it holds {strangers[0]}); choose another --out."
            )

    def refuse_another(self, config: TrialConfig) -> None:
        """Raises StoreError if the folder holds another trial, begun or finished, or a config.yaml that is not ours."""
        with contextlib.suppress(DamagedFileError):
            for held in (self.read_record(), self.read_checkpoint()):
                if held is not None and held.trial_id != config.trial_id:
                    raise StoreError(
                        f"{self.path}: holds {held.trial_id}, not {config.trial_id}; choose another --out."
                    )
                if held is not None:
                    return
        path = self.path / "config.yaml"
        if path.exists() and self._read_config(path) != config:
            raise StoreError(
                f"{path}: is not the config of {config.trial_id}, and is not overwritten; choose another --out."
            )

    def _read_config(self, path: Path) -> TrialConfig | None:
        """The config that `write_config` left; None if the file is not ours."""
        try:
            return from_nested(yaml_document.parse(path.read_text(encoding="utf-8"), str(path)).content, str(path))
        except (OSError, ValueError):  # a ConfigError is a ValueError, and so is text that is not UTF-8
            return None

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for one process, as `SweepFolder.lock` does."""
        with locked(self.path):
            yield

    def find(self, trial_id: str | None = None) -> Finding:
        """The state of the trial: its record is read and the files it vouches for are checked, so that damage shows.

        trial_id: whose record it must be.
        """
        try:
            record = self.read_record()
            if record is not None:
                if trial_id not in (None, record.trial_id):
                    raise DamagedFileError(f"{self.path / 'record.json'}: is of another trial ({record.trial_id}).")
                for name, sha256 in record.files.items():
                    self._check(name, sha256)
                return Finding(record.status, record)
        except DamagedFileError as error:
            return Finding(TrialStatus.DAMAGED, problem=str(error))
        failure = self.read_failure()
        if failure is not None:
            return Finding(TrialStatus.FAILED, problem=str(failure["error"]).strip().splitlines()[-1])
        return Finding(TrialStatus.MISSING)

    def damage(self) -> list[str]:
        """All that cannot be believed in the folder of a trial of a sweep."""
        finding = self.find(self.path.name)
        problems = [finding.problem] if finding.status == TrialStatus.DAMAGED else []
        try:
            self.read_checkpoint()
        except DamagedFileError as error:
            problems.append(str(error))
        return problems

    def _check(self, name: str, sha256: str) -> None:
        try:
            data = (self.path / name).read_bytes()
        except OSError as error:
            raise DamagedFileError(f"{self.path / name}: cannot be read ({error.strerror}).") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedFileError(f"{self.path / name}: damaged (its checksum is wrong).")

    def read_record(self) -> Record | None:
        """The record, or None if there is none. Raises DamagedFileError if it cannot be believed."""
        path = self.path / "record.json"
        content = read_json(path, formats.RECORD)
        return None if content is None else Record.from_dict(content, path)

    def write_record(
        self, record: Record, history: Sequence[HistoryRow], weights: Mapping[str, NDArray[np.float32]] | None
    ) -> None:
        """Leaves the trial's history, weights and, last, its record; then drops its checkpoint and any old failure."""
        self.path.mkdir(parents=True, exist_ok=True)
        files = {"history.csv": history_to_csv(history)}
        if weights is not None:
            files["weights.safetensors"] = safetensors.numpy.save(dict(weights))
        for name, data in files.items():
            write_atomically(self.path / name, data)
        vouched = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        write_json(self.path / "record.json", formats.RECORD, replace(record, files=vouched).to_dict())
        for leftover in ("checkpoint.safetensors", "failure.json"):
            (self.path / leftover).unlink(missing_ok=True)

    def write_config(self, config: TrialConfig) -> None:
        """Leaves config.yaml, from which `run` can repeat the trial."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", yaml_document.dump(config.nested()).encode())

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Leaves environment.json, for a trial that is not part of a sweep."""
        write_json(self.path / "environment.json", formats.ENVIRONMENT, environment)

    def read_history(self) -> pd.DataFrame:
        """The history as a table: `record.HISTORY_COLUMNS`. Raises DamagedFileError."""
        return read_history(self.path / "history.csv")

    def read_weights(self) -> dict[str, NDArray[np.float32]]:
        """weight (K, D), bias (K,), and offset (D,) for reconstruction. Raises DamagedFileError."""
        path = self.path / "weights.safetensors"
        try:
            return safetensors.numpy.load(path.read_bytes())
        except (OSError, safetensors.SafetensorError, ValueError, KeyError) as error:
            raise DamagedFileError(f"{path}: cannot be read ({error}).") from None

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "checkpoint.safetensors", checkpoints.to_bytes(checkpoint))

    def read_checkpoint(self) -> Checkpoint | None:
        """The checkpoint, or None if there is none. Raises DamagedFileError if it cannot be believed."""
        path = self.path / "checkpoint.safetensors"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        return checkpoints.from_bytes(data, path)

    def set_aside(self, name: str) -> None:
        """Renames a file that cannot be believed, so that it is neither read again nor lost."""
        for number in itertools.count(1):
            aside = self.path / f"{name}.damaged-{number}"
            if not aside.exists():
                (self.path / name).rename(aside)
                return

    def write_failure(self, error: str, epoch: int) -> None:
        """Leaves what went wrong with a trial that has no record, to be shown by `status`; the next run tries again.

        Where even that cannot be written (a full disk, say), the trial stays missing, and is counted so.
        """
        if not self.has_record():
            with contextlib.suppress(OSError):
                self.path.mkdir(parents=True, exist_ok=True)
                write_json(self.path / "failure.json", formats.FAILURE, {"error": error, "epoch": epoch})

    def forget_failure(self) -> None:
        """Makes room for another try: what goes wrong now is not what went wrong before."""
        (self.path / "failure.json").unlink(missing_ok=True)

    def note_death(self, error: str) -> None:
        """Leaves a failure for a trial whose worker could not leave its own."""
        if self.read_failure() is None:
            self.write_failure(error, 0)

    def read_failure(self) -> dict[str, Any] | None:
        try:
            return read_json(self.path / "failure.json", formats.FAILURE)
        except StoreError as error:
            return {"error": str(error), "epoch": 0}


RUNS = "tensorboard"
"""The folder of TensorBoard's runs, in a sweep's folder and in that of a single trial."""


def run_path(config: TrialConfig, axes: Iterable[str] = ()) -> Path:
    """A trial's TensorBoard run, under `RUNS`: <activation>/k<width>/[<setting>=<value>/...]seed<seed>.

    axes: by dotted name, what a sweep's trials differ in beyond these three, so that no two of them share a run.
    """
    flat = config.flat()
    more = [f"{name.split('.')[1]}={str(flat[name]).removesuffix('.0')}" for name in axes]
    return Path(config.model.activation, f"k{config.model.hidden_dim}", *more, f"seed{config.training.seed}")


_TRIAL_NAMES = (
    "record.json",
    "history.csv",
    "weights.safetensors",
    "checkpoint.safetensors",
    "config.yaml",
    "environment.json",
    "failure.json",
    "lock",
    RUNS,
)
