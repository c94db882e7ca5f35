"""What a trial leaves, and the folder it leaves it in: record, history, weights, checkpoint, failure."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.store.files import SCHEMA, locked, read_csv, read_json, write_atomically, write_json
from infomax_tune.study import columns, yaml_document
from infomax_tune.study.config import TrialConfig

HistoryRow = dict[str, float]
"""One epoch: `columns.HISTORY`, and `epoch_s`. A metric that was not evaluated is missing or NaN."""


@dataclass(frozen=True)
class Record:
    """What a finished trial leaves. status: done or diverged; epoch: the last one trained."""

    trial_id: str
    status: str
    epoch: int
    config: dict[str, Any]
    result: dict[str, float]
    timing: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    """sha256 of the files beside the record."""


@dataclass(frozen=True)
class Checkpoint:
    """A trial on its way: the epochs behind it, the tensors training needs to go on, its history so far."""

    trial_id: str
    epoch: int
    tensors: dict[str, NDArray[np.float32]]
    history: list[HistoryRow]
    timing: dict[str, float]


@dataclass(frozen=True)
class Finding:
    """What a trial's folder says of it. status: done, diverged, failed, missing or damaged."""

    status: str
    record: Record | None = None
    problem: str = ""
    """The damage, or the last line of the failure's traceback."""


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
        if path.exists() and path.read_bytes() != _config_yaml(config):
            raise StoreError(
                f"{path}: is not the config of {config.trial_id}, and is not overwritten; choose another --out."
            )

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
            return Finding("damaged", problem=str(error))
        failure = self.read_failure()
        if failure is not None:
            return Finding("failed", problem=str(failure["error"]).strip().splitlines()[-1])
        return Finding("missing")

    def damage(self) -> list[str]:
        """All that cannot be believed in the folder of a trial of a sweep."""
        finding = self.find(self.path.name)
        problems = [finding.problem] if finding.status == "damaged" else []
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
        content = read_json(self.path / "record.json")
        if content is None:
            return None
        try:
            return Record(
                content["trial_id"],
                content["status"],
                content["epoch"],
                content["config"],
                {name: math.nan if value is None else value for name, value in content["result"].items()},
                content["timing"],
                content["files"],
            )
        except (KeyError, AttributeError, TypeError):
            raise DamagedFileError(f"{self.path / 'record.json'}: not a record of this version.") from None

    def write_record(
        self, record: Record, history: Sequence[HistoryRow], weights: Mapping[str, NDArray[np.float32]] | None
    ) -> None:
        """Leaves the trial's history, weights and, last, its record; then drops its checkpoint and any old failure."""
        self.path.mkdir(parents=True, exist_ok=True)
        files = {"history.csv": _history_csv(history)}
        if weights is not None:
            files["weights.safetensors"] = safetensors.numpy.save(dict(weights))
        for name, data in files.items():
            write_atomically(self.path / name, data)
        content = {
            "trial_id": record.trial_id,
            "status": record.status,
            "epoch": record.epoch,
            "config": record.config,
            "result": {name: value if math.isfinite(value) else None for name, value in record.result.items()},
            "timing": record.timing,
            "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        }
        write_json(self.path / "record.json", content)
        for leftover in ("checkpoint.safetensors", "failure.json"):
            (self.path / leftover).unlink(missing_ok=True)

    def write_config(self, config: TrialConfig) -> None:
        """Leaves config.yaml, from which `run` can repeat the trial."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", _config_yaml(config))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Leaves environment.json, for a trial that is not part of a sweep."""
        write_json(self.path / "environment.json", environment)

    def read_history(self) -> pd.DataFrame:
        """The history as a table: `columns.HISTORY` and epoch_s. Raises DamagedFileError."""
        try:
            return read_csv(
                self.path / "history.csv",
                {"epoch": "int64"} | dict.fromkeys((*columns.HISTORY[1:], "epoch_s"), "float64"),
            )
        except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
            raise DamagedFileError(f"{self.path / 'history.csv'}: cannot be read ({error}).") from None

    def read_weights(self) -> dict[str, NDArray[np.float32]]:
        """weight (K, D), bias (K,), and offset (D,) for reconstruction. Raises DamagedFileError."""
        path = self.path / "weights.safetensors"
        try:
            return safetensors.numpy.load(path.read_bytes())
        except (OSError, safetensors.SafetensorError, ValueError, KeyError) as error:
            raise DamagedFileError(f"{path}: cannot be read ({error}).") from None

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        names = (*columns.HISTORY, "epoch_s")
        history = np.array(
            [[row.get(name, math.nan) for name in names] for row in checkpoint.history], dtype=np.float64
        )
        tensors = {**{f"state.{name}": value for name, value in checkpoint.tensors.items()}, "history": history}
        about = {
            "schema": SCHEMA,
            "trial_id": checkpoint.trial_id,
            "epoch": checkpoint.epoch,
            "timing": checkpoint.timing,
        }
        text = json.dumps(about | {"columns": names}, sort_keys=True)
        metadata = {"about": text, "sha256": _tensor_digest(tensors, text)}
        write_atomically(self.path / "checkpoint.safetensors", safetensors.numpy.save(tensors, metadata))

    def read_checkpoint(self) -> Checkpoint | None:
        """The checkpoint, or None if there is none. Raises DamagedFileError if it cannot be believed."""
        path = self.path / "checkpoint.safetensors"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            tensors = safetensors.numpy.load(data)
            metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
            about = json.loads(metadata["about"])
            if metadata["sha256"] != _tensor_digest(tensors, metadata["about"]) or about["schema"] != SCHEMA:
                raise ValueError("its checksum is wrong")
            rows = [dict(zip(about["columns"], row, strict=True)) for row in tensors["history"].tolist()]
            state = {name.removeprefix("state."): value for name, value in tensors.items() if name != "history"}
            return Checkpoint(about["trial_id"], about["epoch"], state, rows, about["timing"])
        except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedFileError(f"{path}: cannot be believed ({error}).") from None

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
                write_json(self.path / "failure.json", {"error": error, "epoch": epoch})

    def forget_failure(self) -> None:
        """Makes room for another try: what goes wrong now is not what went wrong before."""
        (self.path / "failure.json").unlink(missing_ok=True)

    def note_death(self, error: str) -> None:
        """Leaves a failure for a trial whose worker could not leave its own."""
        if self.read_failure() is None:
            self.write_failure(error, 0)

    def read_failure(self) -> dict[str, Any] | None:
        try:
            return read_json(self.path / "failure.json")
        except DamagedFileError as error:
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


def _config_yaml(config: TrialConfig) -> bytes:
    return yaml_document.dump(config.nested()).encode()


def _history_csv(history: Sequence[HistoryRow]) -> bytes:
    names = (*columns.HISTORY, "epoch_s")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in history:
        values = [row.get(name, math.nan) for name in names]
        writer.writerow([int(values[0]), *("" if math.isnan(value) else repr(float(value)) for value in values[1:])])
    return text.getvalue().encode()


def _tensor_digest(tensors: Mapping[str, NDArray[Any]], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()
