"""The folder of a trial: its record, history, weights, checkpoint and failure."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from infomax_tune.errors import ConfigError, DamagedFileError, StoreError
from infomax_tune.store import checkpoint as checkpoints
from infomax_tune.store import formats, objects
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.files import (
    MAX_TEXT,
    exists,
    file_digest,
    make_folder,
    names_in,
    parse_json,
    read_bytes,
    read_json,
    remove,
    set_aside,
    write_atomically,
    write_json,
)
from infomax_tune.store.locks import LOCK, Work, locked
from infomax_tune.store.part_copies import PARTS, keep
from infomax_tune.store.record import (
    EPOCH_S,
    Finding,
    HistoryRow,
    Record,
    RecordFile,
    history_to_csv,
    read_epoch_seconds,
    read_history,
)
from infomax_tune.study import yaml_document
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_config import from_nested
from infomax_tune.study.space import SWEEP_FILE
from infomax_tune.study.trial_status import TrialStatus


class TrialFolder:
    """The folder of one trial: record.json, history.csv and weights.safetensors; until then, checkpoint.safetensors."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def runs_folder(self) -> Path:
        """Where the trial's run is, if the trial is not part of a sweep."""
        return self.path / RUNS

    def has_record(self) -> bool:
        return exists(self.path / "record.json")

    def record_digest(self) -> str | None:
        """The sha256 of record.json; None if there is none. It changes if the trial is trained again."""
        return file_digest(self.path / "record.json")

    def has_begun(self) -> bool:
        """Whether there is a record or a checkpoint."""
        return self.has_record() or exists(self.path / "checkpoint.safetensors")

    def has_config(self) -> bool:
        """Whether there is a config.yaml, which only trials that are not part of a sweep have."""
        return exists(self.path / "config.yaml")

    def refuse_strangers(self) -> None:
        """Raises StoreError if the path is not a folder, or holds a sweep or a file that a trial would overwrite."""
        try:
            names = names_in(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be used as a folder ({error.strerror}); choose another output folder."
            ) from None
        made_here = "config.yaml" in names or "record.json" in names
        clashing = {SWEEP_FILE} if made_here else {SWEEP_FILE, *_TRIAL_NAMES} - {LOCK, PARTS}
        strangers = [name for name in names if name in clashing]
        if strangers:
            raise StoreError(
                f"{self.path}: holds {strangers[0]}, which no run made; choose another output folder, or move that away."
            )

    def refuse_another(self, config: TrialConfig) -> None:
        """Raises StoreError if the folder holds another trial, finished or not, or a config.yaml that is not this trial's."""
        with contextlib.suppress(DamagedFileError):
            held = self.read_record() or self.read_checkpoint()
            if held is not None:
                if held.trial_id != config.trial_id:
                    raise StoreError(
                        f"{self.path}: holds {held.trial_id}, not {config.trial_id}; choose another output folder."
                    )
                self._refuse_a_namesake(held, config)
                return
        path = self.path / "config.yaml"
        with contextlib.suppress(ConfigError, DamagedFileError):
            if self.read_config() in (None, config):
                return
        raise StoreError(
            f"{path}: not the config of {config.trial_id}, and will not be overwritten; choose another output folder."
        )

    def _refuse_a_namesake(self, held: Record | Checkpoint, config: TrialConfig) -> None:
        """Raises StoreError if the record or checkpoint has this trial's id but other settings: ids can be equal by
        chance."""
        differences = config.differences(held.config) if held.config else []
        if differences:
            raise StoreError(
                f"{self.path}: holds another trial with the same id ({'; '.join(differences)}); choose another output folder."
            )

    def kept(self) -> Record | Checkpoint | None:
        """The trial's record or checkpoint; None if it has neither, or if it is damaged."""
        try:
            return self.read_record() or self.read_checkpoint()
        except DamagedFileError:
            return None

    def read_config(self) -> TrialConfig | None:
        """The config of a trial that is not part of a sweep; None if there is none. Raises ConfigError or StoreError."""
        path = self.path / "config.yaml"
        try:
            text = read_bytes(path, MAX_TEXT).decode("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise DamagedFileError(f"{path}: cannot be read ({error}).") from None
        config = from_nested(yaml_document.parse(text, str(path)).content, str(path))
        kept = self.kept() if config.foreign else None  # see there
        return config.model_copy(update={"known_id": kept.trial_id}) if kept else config

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for one process, like `SweepFolder.lock`."""
        with locked(self.path, Work.TRIAL, [self.path / name for name in _TRIAL_NAMES]):
            yield

    def find(self, trial: TrialConfig | str | None = None) -> Finding:
        """The state of the trial. Reads the record and checks the files it names, so damage is found.

        trial: the trial or id that the record must belong to; None for any. Raises StoreError if a file cannot be read,
        or if the record belongs to another trial with the same id.
        """
        trial_id = trial.trial_id if isinstance(trial, TrialConfig) else trial
        try:
            found = self._read_record()
            if found is not None:
                record, digest = found
                if trial_id not in (None, record.trial_id):
                    raise DamagedFileError(
                        f"{self.path / 'record.json'}: belongs to another trial ({record.trial_id})."
                    )
                if isinstance(trial, TrialConfig):
                    self._refuse_a_namesake(record, trial)
                for name, sha256 in record.files.items():
                    self._check(name, sha256)
                return Finding(record.status, record, digest=digest)
        except DamagedFileError as error:
            return Finding(TrialStatus.DAMAGED, problem=str(error))
        failure = self.read_failure()
        if failure is not None:
            return Finding(TrialStatus.FAILED, problem=failure["error"].strip().rpartition("\n")[2])
        return Finding(TrialStatus.MISSING)

    def damage(self) -> dict[str, str]:
        """The damaged files of a sweep's trial by name, each with what is wrong with it.

        A record counts as damaged if a file that it vouches for is. Beside an intact record nothing else counts: see `leftovers`.
        """
        finding = self.find(self.path.name)
        if finding.record:
            try:
                self.read_history()  # whoever wrote both, its record may vouch for what is none
            except DamagedFileError as error:
                return {"history.csv": str(error)}
            return {}
        problems = {"record.json": finding.problem} if finding.status == TrialStatus.DAMAGED else {}
        try:
            checkpoint = self.read_checkpoint()
            if checkpoint and checkpoint.trial_id != self.path.name:
                path = self.path / "checkpoint.safetensors"
                problems[path.name] = f"{path}: belongs to another trial ({checkpoint.trial_id})."
        except DamagedFileError as error:
            problems["checkpoint.safetensors"] = str(error)
        try:
            read_json(self.path / "failure.json", formats.FAILURE)
        except DamagedFileError as error:
            problems["failure.json"] = str(error)
        return problems

    def leftovers(self) -> list[Path]:
        """What a crash just after writing the record left beside it. The folder must belong to a sweep's trial."""
        left = [self.path / name for name in _UNTIL_THE_RECORD if exists(self.path / name)]
        return left if left and self.find(self.path.name).record else []

    def _check(self, name: str, sha256: str) -> None:
        try:
            data = read_bytes(self.path / name)
        except FileNotFoundError as error:
            raise DamagedFileError(f"{self.path / name}: cannot be read ({error.strerror}).") from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedFileError(f"{self.path / name}: damaged (its checksum is wrong).")

    def read_record(self) -> Record | None:
        """The record, or None if there is none. Raises DamagedFileError."""
        found = self._read_record()
        return found[0] if found else None

    def _read_record(self) -> tuple[Record, str] | None:
        """The record and the sha256 of its file; None if there is none. Raises DamagedFileError."""
        path = self.path / "record.json"
        try:
            data = read_bytes(path, MAX_TEXT)
        except FileNotFoundError:
            return None
        return Record.from_dict(parse_json(data, path, formats.RECORD)), hashlib.sha256(data).hexdigest()

    def write_record(
        self,
        record: Record,
        history: Sequence[HistoryRow],
        weights: Mapping[str, NDArray[np.float32]] | None,
    ) -> None:
        """Writes the trial's history, weights and, last, its record; then removes its checkpoint and any old failure."""
        make_folder(self.path)
        files: dict[RecordFile, bytes] = {"history.csv": history_to_csv(history)}
        if weights is not None:
            files["weights.safetensors"] = safetensors.numpy.save(dict(weights))
        for name, data in files.items():
            write_atomically(self.path / name, data, sync_folder=False)  # once, after the record
        vouched = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        write_json(self.path / "record.json", formats.RECORD, replace(record, files=vouched).to_dict())
        for leftover in _UNTIL_THE_RECORD:
            remove(self.path / leftover)

    def copy_from(self, other: TrialFolder, record: Record) -> None:
        """Copies the files that another folder's record vouches for, then writes this record, which vouches for them
        too.

        Raises DamagedFileError if one of them is damaged.
        """
        make_folder(self.path)
        for name, sha256 in record.files.items():
            other._check(name, sha256)
            if other.path != self.path:
                write_atomically(self.path / name, read_bytes(other.path / name))
        write_json(self.path / "record.json", formats.RECORD, record.to_dict())

    def remove(self) -> None:
        """Removes what a sweep keeps of the trial, its record first. What others put there stays."""
        for name in ("record.json", "history.csv", "weights.safetensors", *_UNTIL_THE_RECORD):
            remove(self.path / name)
        if not objects.is_object(self.path):
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def write_config(self, config: TrialConfig) -> None:
        """Writes config.yaml, from which `run` can repeat the trial."""
        make_folder(self.path)
        keep(self.path, (name for _, name in config.parts()))
        write_atomically(self.path / "config.yaml", yaml_document.dump(config.nested()).encode())

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Writes environment.json, for a trial that is not part of a sweep."""
        write_json(self.path / "environment.json", formats.ENVIRONMENT, environment)

    def read_history(self) -> pd.DataFrame:
        """The history as a table: `columns.HISTORY`. Raises DamagedFileError."""
        return read_history(self.path / "history.csv")

    def epoch_seconds(self, record: Record) -> list[float]:
        """The seconds of each epoch from 1 on. Raises DamagedFileError."""
        if EPOCH_S in record.timing:
            return record.timing[EPOCH_S]
        return read_epoch_seconds(self.path / "history.csv")

    def read_weights(self) -> dict[str, NDArray[np.float32]]:
        """weight (K, D), bias (K,), and offset (D,) for reconstruction. Raises DamagedFileError."""
        path = self.path / "weights.safetensors"
        try:
            weights = safetensors.numpy.load(read_bytes(path))
            if weights["weight"].ndim != 2 or weights["weight"].shape[:1] != weights["bias"].shape:
                raise ValueError("its arrays are not those of a layer")
            return weights
        except (FileNotFoundError, safetensors.SafetensorError, ValueError, KeyError) as error:
            raise DamagedFileError(f"{path}: cannot be read ({error}).") from None

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        make_folder(self.path)
        write_atomically(self.path / "checkpoint.safetensors", checkpoints.to_bytes(checkpoint))

    def read_checkpoint(self) -> Checkpoint | None:
        """The checkpoint, or None if there is none. Raises DamagedFileError."""
        path = self.path / "checkpoint.safetensors"
        try:
            data = read_bytes(path)
        except FileNotFoundError:
            return None
        return checkpoints.from_bytes(data, path)

    def set_record_aside(self) -> None:
        """Renames a damaged record, so it is neither read again nor lost."""
        self.set_aside("record.json")

    def set_checkpoint_aside(self) -> None:
        """Renames a damaged checkpoint, so it is neither read again nor lost."""
        self.set_aside("checkpoint.safetensors")

    def set_aside(self, name: str) -> None:
        """Renames a damaged file of the trial, so it is neither read again nor lost."""
        set_aside(self.path / name)

    def write_failure(self, error: str, epoch: int, cause: Sequence[str] = ()) -> None:
        """Writes what went wrong with a trial that has no record, for `status` to show; resuming the sweep retries it.

        cause: by which the same error is recognized.
        If even that cannot be written (a full disk, a read-only folder), the trial counts as missing.
        """
        if not self.has_record():
            with contextlib.suppress(OSError, StoreError):
                make_folder(self.path)
                write_json(
                    self.path / "failure.json", formats.FAILURE, {"error": error, "epoch": epoch, "cause": [*cause]}
                )

    def forget_failure(self) -> None:
        """Removes the failure of an earlier attempt before the next one."""
        with contextlib.suppress(OSError, StoreError):  # if the folder is read-only, training reports it
            remove(self.path / "failure.json")

    def note_death(self, error: str) -> None:
        """Writes a failure for a trial whose worker could not write its own."""
        if self.read_failure() is None:
            self.write_failure(error, 0)

    def read_failure(self) -> dict[str, Any] | None:
        try:
            return read_json(self.path / "failure.json", formats.FAILURE)
        except StoreError as error:
            return {"error": str(error), "epoch": 0}


RUNS = "tensorboard"
"""The folder of TensorBoard's runs, in a sweep's folder and in a single trial's."""


def run_path(config: TrialConfig, axes: Iterable[str] = ()) -> Path:
    """The path of a trial's run under `RUNS`: <activation>/k<width>/[<setting>=<value>/...]seed<seed>.

    axes: the settings, by dotted name, that a sweep's trials differ in beyond these three, so that no two share a run.
    """
    flat = config.flat()
    more = [f"{name.split('.')[1]}={str(flat[name]).removesuffix('.0')}" for name in axes]
    parts = (config.model.activation, f"k{config.model.hidden_dim}", *more, f"seed{config.training.seed}")
    return Path(
        *(re.sub(r"[/\0]|^\.+$", "_", part) for part in parts)
    )  # a name that only another version knows may be a path


_UNTIL_THE_RECORD = ("checkpoint.safetensors", "failure.json")
"""What a trial has while it has no record. A crash just after the record was written leaves it."""

_TRIAL_NAMES = (
    "record.json",
    "history.csv",
    "weights.safetensors",
    "checkpoint.safetensors",
    "config.yaml",
    "environment.json",
    "failure.json",
    PARTS,
    LOCK,
    RUNS,
)
