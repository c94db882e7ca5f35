"""The only code that names files in an output folder: records, checkpoints, the sweep file, the lock, the tables.

Every file is written whole to a temporary name, fsynced and renamed, so it is there whole or not at all, and carries
a checksum, so that what was damaged later is noticed. Imports config, columns and errors of this project only.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import itertools
import json
import math
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from infomax_tune import columns, documents, faults
from infomax_tune.config import TrialConfig
from infomax_tune.errors import ConfigError, DamagedFileError, LockedError, StoreError

SCHEMA = 1
"""Version of everything in the folder; a folder of a newer one is refused."""

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


@dataclass(frozen=True)
class Verification:
    """What `Store.verify` found. damage: what must not be believed; notes: what is only left over."""

    checked: int
    damage: list[str]
    notes: list[str]


class TrialFolder:
    """The folder of one trial: record.json, history.csv, weights.safetensors; checkpoint.safetensors while it trains."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def has_record(self) -> bool:
        return (self.path / "record.json").exists()

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
        """Holds the folder for one process, as `Store.lock` does."""
        with _lock(self.path):
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
        content = _read_json(self.path / "record.json")
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
        _write_json(self.path / "record.json", content)
        for leftover in ("checkpoint.safetensors", "failure.json"):
            (self.path / leftover).unlink(missing_ok=True)

    def write_config(self, config: TrialConfig) -> None:
        """Leaves config.yaml, from which `run` can repeat the trial."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "config.yaml", _config_yaml(config))

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Leaves environment.json, for a trial that is not part of a sweep."""
        _write_json(self.path / "environment.json", environment)

    def read_history(self) -> pd.DataFrame:
        """The history as a table: `columns.HISTORY` and epoch_s. Raises DamagedFileError."""
        try:
            return _read_csv(
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
                _write_json(self.path / "failure.json", {"error": error, "epoch": epoch})

    def forget_failure(self) -> None:
        """Makes room for another try: what goes wrong now is not what went wrong before."""
        (self.path / "failure.json").unlink(missing_ok=True)

    def note_death(self, error: str) -> None:
        """Leaves a failure for a trial whose worker could not leave its own."""
        if self.read_failure() is None:
            self.write_failure(error, 0)

    def read_failure(self) -> dict[str, Any] | None:
        try:
            return _read_json(self.path / "failure.json")
        except DamagedFileError as error:
            return {"error": str(error), "epoch": 0}


class Store:
    """An output folder: sweep.yaml, trials/, the tables, timings.csv, environment.json, lock, ray/."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def trial(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.root / "trials" / trial_id)

    @property
    def ray_folder(self) -> Path:
        """Where Tune keeps its own files; disposable."""
        return self.root / "ray"

    def create(self) -> None:
        """Makes the folder. Raises StoreError if it cannot be written, or holds something that is not a sweep."""
        try:
            if self.root.is_dir() and not (self.root / "sweep.yaml").exists():
                strangers = sorted(path.name for path in self.root.iterdir() if not _is_own(path.name))
                if strangers:
                    raise StoreError(
                        f"{self.root}: not a sweep, and not empty (it holds {strangers[0]}); choose another --out."
                    )
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / "trials").mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.root}: cannot be written ({error.strerror}); choose another --out.") from None

    def remove_unused(self, *, root: bool) -> None:
        """Removes what a sweep that could not begin left; `root`: the folder itself too."""
        with contextlib.suppress(OSError):  # it holds a trial, or something that is not ours
            (self.root / "trials").rmdir()
            shutil.rmtree(self.root / "environments", ignore_errors=True)
            for name in ("sweep.yaml", "environment.json", "stop", "lock"):
                (self.root / name).unlink(missing_ok=True)
            if root:
                self.root.rmdir()

    def read_sweep(self) -> dict[str, Any]:
        """The sweep file: the space as run. Raises StoreError if the folder is not a sweep, or one of a newer schema."""
        path = self.root / "sweep.yaml"
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            problem = (
                "is not a sweep's output folder (it has no sweep.yaml)" if self.root.exists() else "does not exist"
            )
            raise StoreError(f"{self.root}: {problem}; give the --out of a sweep.") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DamagedFileError(f"{path}: cannot be read ({error}). {_HOW_TO_MEND_SWEEP}") from None
        try:
            content = documents.parse(text, str(path)).content
        except ConfigError as error:
            raise DamagedFileError(f"{error} {_HOW_TO_MEND_SWEEP}") from None
        schema, checksum = content.get("schema"), content.pop("sha256", None)
        if isinstance(schema, int) and schema > SCHEMA:
            raise StoreError(
                f"{path}: written by a newer infomax-tune (schema {schema}, this one knows {SCHEMA}); upgrade to go on."
            )
        try:
            intact = schema == SCHEMA and checksum == _digest(content)
        except (TypeError, ValueError):  # what JSON does not know, such as a date, was not written here
            intact = False
        if not intact:
            raise DamagedFileError(f"{path}: damaged or edited (its checksum is wrong). {_HOW_TO_MEND_SWEEP}")
        return content

    def write_sweep(self, content: Mapping[str, Any]) -> None:
        content = {"schema": SCHEMA, **content}
        write_atomically(self.root / "sweep.yaml", documents.dump({**content, "sha256": _digest(content)}).encode())

    def has_sweep(self) -> bool:
        return (self.root / "sweep.yaml").exists()

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Leaves environment.json: where and how the sweep was last run."""
        _write_json(self.root / "environment.json", environment)

    def note_environment(self, environment: Mapping[str, Any], fingerprint: str) -> None:
        """Leaves environments/<fingerprint>.json, which timings.csv names, unless it is there."""
        path = self.root / "environments" / f"{fingerprint}.json"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            _write_json(path, environment)

    def read_environments(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Every environment that trials of this sweep were trained in, and what was damaged and is set aside."""
        found: list[dict[str, Any]] = []
        problems: list[str] = []
        for path in sorted((self.root / "environments").glob("*.json")):
            try:
                found.append(_read_json(path) or {})
            except DamagedFileError as error:
                path.rename(path.with_name(f"{path.name}.damaged"))
                problems.append(str(error))
        return found, problems

    def tidy(self) -> None:
        """Removes the temporary files that a crash left. The caller holds the lock."""
        for pattern in (f".*{_TEMPORARY}", f"trials/*/.*{_TEMPORARY}", f"environments/.*{_TEMPORARY}"):
            for leftover in self.root.glob(pattern):
                leftover.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Asks the workers, wherever they are, to leave checkpoints after their epochs and stop."""
        write_atomically(self.root / "stop", b"")

    def stop_asked(self) -> bool:
        return (self.root / "stop").exists()

    def clear_stop(self) -> None:
        (self.root / "stop").unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for one driver. The system frees it when its holder ends, however it ends.

        Raises LockedError, with the holder's host and pid, if another driver holds it.
        """
        with _lock(self.root):
            yield

    def find(self, plan: Sequence[TrialConfig]) -> dict[str, Finding]:
        """What is there of each planned trial, by trial id."""
        return {config.trial_id: self.trial(config.trial_id).find(config.trial_id) for config in plan}

    def write_tables(self, plan: Sequence[TrialConfig]) -> pd.DataFrame:
        """Assembles results.csv, results.parquet, history.parquet and timings.csv from the records; returns the results.

        One row a planned trial, sorted by its settings; status is done, diverged, failed or missing. Stable columns
        only: the same records give the same bytes, whatever was killed, packed, reordered or extended.
        """
        results, tables = self._tables(plan)
        for name, data in tables.items():
            path = self.root / name
            if not path.exists() or path.read_bytes() != data:
                write_atomically(path, data)
        return results

    def _tables(self, plan: Sequence[TrialConfig]) -> tuple[pd.DataFrame, dict[str, bytes]]:
        """The results, and the bytes of every table by its file's name."""
        plan = sorted(plan, key=_table_order)
        findings = self.find(plan)
        rows = [_result_row(config, findings[config.trial_id]) for config in plan]
        results = pd.DataFrame(rows, columns=list(columns.RESULTS)).astype(_RESULT_TYPES)
        records = {trial_id: finding.record for trial_id, finding in findings.items() if finding.record}
        histories = [self.trial(trial_id).read_history().assign(trial_id=trial_id) for trial_id in records]
        history = _stack(histories, ["trial_id", *columns.HISTORY])
        timings = pd.DataFrame(
            [{"trial_id": trial_id, **record.timing} for trial_id, record in records.items()],
            columns=list(columns.TIMINGS),
        )
        return results, {
            "results.csv": _csv(results),
            "results.parquet": _parquet(results),
            "history.parquet": _parquet(history),
            "timings.csv": _csv(timings),
        }

    def verify(self, plan: Sequence[TrialConfig]) -> Verification:
        """Checks every record, the files it vouches for, every checkpoint, and the tables against the records."""
        damage: list[str] = []
        notes: list[str] = []
        planned = {config.trial_id for config in plan}
        folders = sorted(path for path in (self.root / "trials").glob("*") if path.is_dir())
        for path in folders:
            damage += self.trial(path.name).damage()
        others = sum(path.name not in planned for path in folders)
        if others:
            notes.append(f"{others} trial folders are of other axes than the sweep has now; they are kept")
        notes += [f"{path}: left over by a crash, harmless" for path in sorted(self.root.glob(f"**/.*{_TEMPORARY}"))]
        notes += [f"{path}: was damaged, and set aside" for path in sorted(self.root.glob("trials/*/*.damaged-*"))]
        for name in (
            "environment.json",
            *(f"environments/{path.name}" for path in self.root.glob("environments/*.json")),
        ):
            try:
                _read_json(self.root / name)
            except DamagedFileError as error:
                damage.append(str(error))
        newest = max((path.stat().st_mtime_ns for path in self.root.glob("trials/*/record.json")), default=0)
        for name, data in self._tables(plan)[1].items():
            path = self.root / name
            if not path.exists():
                notes.append(f"{path}: not there yet; make it with: infomax-tune results {self.root}")
            elif path.read_bytes() != data:
                stale = path.stat().st_mtime_ns <= newest  # a sweep that was stopped has records its tables do not
                reason = "older than the records" if stale else "not what the records say"
                (notes if stale else damage).append(
                    f"{path}: {reason}; make it anew with: infomax-tune results {self.root}"
                )
        return Verification(len(folders), damage, notes)

    def report_is_current(self) -> bool:
        """Whether the report there is was made after the tables last changed."""
        report, results = self.root / "analysis" / "report.html", self.root / "results.csv"
        return report.exists() and results.exists() and report.stat().st_mtime_ns >= results.stat().st_mtime_ns

    def read_results(self) -> pd.DataFrame:
        """The results table as last assembled. Raises StoreError."""
        path = self.root / "results.csv"
        try:
            return _read_csv(path, _RESULT_TYPES)
        except FileNotFoundError:
            raise StoreError(
                f"{self.root}: has no results.csv; make it with: infomax-tune results {self.root}"
            ) from None
        except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
            raise DamagedFileError(
                f"{path}: cannot be read ({error}); make it anew with: infomax-tune results {self.root}"
            ) from None


_TEMPORARY = ".tmp"
_TABLES = ("results.csv", "results.parquet", "history.parquet", "timings.csv")
_OWN_NAMES = {"trials", "lock", "stop", "ray", "environment.json", "environments", "analysis", "tensorboard", *_TABLES}
_TRIAL_NAMES = (
    "record.json",
    "history.csv",
    "weights.safetensors",
    "checkpoint.safetensors",
    "config.yaml",
    "environment.json",
    "failure.json",
    "lock",
)
_HOW_TO_MEND_SWEEP = (
    "The trials are safe: move this file away and repeat the `infomax-tune sweep` command that made the folder."
)
_RESULT_TYPES: dict[str, Any] = (
    {"diverged_epoch": "Int64", "hidden_dim": "int64", "batch_size": "int64", "epochs": "int64", "seed": "int64"}
    | dict.fromkeys(("lambda_tc", "lambda_wr", "variance_eps", "lr"), "float64")
    | dict.fromkeys(columns.FINAL, "float64")
)


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all, and durably: temporary name, fsync, rename, fsync of the folder.

    Raises StoreError if it cannot be written (a full disk, a read-only folder); the file is then what it was.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{_TEMPORARY}")
    try:
        with temporary.open("wb") as handle:
            handle.write(data[: len(data) // 2])
            faults.point(f"{path.name}:half")
            handle.write(data[len(data) // 2 :])
            handle.flush()
            os.fsync(handle.fileno())
        faults.point(f"{path.name}:written")
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        faults.point(f"{path.name}:renamed")
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreError(f"{path}: cannot be written ({error.strerror or error}).") from error
        raise


def _is_own(name: str) -> bool:
    """Whether a file may stand in a sweep's folder, a damaged sweep file that was moved away included."""
    return name in _OWN_NAMES or name.startswith("sweep.yaml") or name.endswith(_TEMPORARY)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """An operating system's lock on FOLDER/lock. Raises LockedError if another process holds it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); choose another --out.") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise LockedError(
                f"{folder}: another sweep is at work here ({holder}); wait for it, or stop it first."
            ) from None
        except OSError as error:
            raise StoreError(
                f"{folder}: its file system has no locks ({error.strerror}); choose another --out."
            ) from None
        handle.truncate(0)
        handle.write(f"host {socket.gethostname()}, pid {os.getpid()}\n")
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)


def _config_yaml(config: TrialConfig) -> bytes:
    return documents.dump(config.nested()).encode()


def _table_order(config: TrialConfig) -> tuple[Any, ...]:
    flat = config.flat()
    return (*(flat[name] for name in columns.SETTINGS.values()), config.trial_id)


def _result_row(config: TrialConfig, finding: Finding) -> dict[str, Any]:
    flat = config.flat()
    row = {"trial_id": config.trial_id, **{column: flat[name] for column, name in columns.SETTINGS.items()}}
    record = finding.record
    if record is None:
        return row | {"status": "missing" if finding.status == "damaged" else finding.status, "diverged_epoch": None}
    return (
        row
        | record.result
        | {"status": record.status, "diverged_epoch": record.epoch if record.status == "diverged" else None}
    )


def _stack(histories: Sequence[pd.DataFrame], names: list[str]) -> pd.DataFrame:
    """The histories of all trials below each other, with the same types however many there are."""
    table = pd.concat(histories, ignore_index=True) if histories else pd.DataFrame(columns=names)
    types: dict[str, Any] = {"trial_id": "str", "epoch": "int64"} | dict.fromkeys(columns.HISTORY[1:], "float64")
    return pd.DataFrame(table, columns=names).astype(types)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _read_csv(path: Path, types: Mapping[str, Any]) -> pd.DataFrame:
    """A table with every bit of its numbers: read as text, since pandas' own float parser may round."""
    return pd.read_csv(path, dtype=str).astype(dict(types))


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _history_csv(history: Sequence[HistoryRow]) -> bytes:
    names = (*columns.HISTORY, "epoch_s")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in history:
        values = [row.get(name, math.nan) for name in names]
        writer.writerow([int(values[0]), *("" if math.isnan(value) else repr(float(value)) for value in values[1:])])
    return text.getvalue().encode()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _tensor_digest(tensors: Mapping[str, NDArray[Any]], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    content = {"schema": SCHEMA, **content}
    text = json.dumps({**content, "sha256": _digest(content)}, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n")


def _read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file that `_write_json` wrote; None if there is none. Raises DamagedFileError."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: cannot be read ({error}).") from None
    checksum = content.pop("sha256", None) if isinstance(content, dict) else None
    if checksum is None or checksum != _digest(content):
        raise DamagedFileError(f"{path}: damaged (its checksum is wrong).")
    if content["schema"] != SCHEMA:
        raise DamagedFileError(f"{path}: of schema {content['schema']}, this version knows {SCHEMA}.")
    return content
