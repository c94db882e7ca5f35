"""The output folder of a sweep: the sweep file, the lock, the environments, the tables made of the records.

With `records` (a trial's folder), `tracker_folder` and `files` (how a file is written), the only code that names
files in an output folder. Every file is there whole or not at all, and what was damaged later is noticed.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from infomax_tune.errors import ConfigError, DamagedFileError, StoreError
from infomax_tune.store.files import (
    SCHEMA,
    TEMPORARY,
    digest,
    locked,
    read_csv,
    read_json,
    write_atomically,
    write_json,
)
from infomax_tune.store.tracker_folder import TrackerFolder
from infomax_tune.store.trial_folder import RUNS, Checkpoint, Finding, HistoryRow, Record, TrialFolder, run_path
from infomax_tune.study import columns, yaml_document
from infomax_tune.study.config import TrialConfig

__all__ = [
    "Checkpoint",
    "Finding",
    "HistoryRow",
    "Record",
    "SweepFolder",
    "TrackerFolder",
    "TrialFolder",
    "Verification",
]


@dataclass(frozen=True)
class Verification:
    """What `SweepFolder.verify` found. damage: what must not be believed; notes: what is only left over."""

    checked: int
    damage: list[str]
    notes: list[str]


class SweepFolder:
    """An output folder: sweep.yaml, trials/, the tables, timings.csv, environment.json, lock, tensorboard/, ray/."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def trial(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.root / "trials" / trial_id)

    @property
    def ray_folder(self) -> Path:
        """Where Tune keeps its own files; disposable."""
        return self.root / "ray"

    @property
    def ray_log(self) -> Path:
        """Where all goes that Ray and other libraries print during a sweep."""
        return self.root / "ray.log"

    @property
    def runs_folder(self) -> Path:
        """What TensorBoard reads: one run a trial."""
        return self.root / RUNS

    def run_folder(self, config: TrialConfig, axes: Iterable[str]) -> Path:
        """Where TensorBoard finds a trial; axes: what the sweep's trials differ in, see `run_path`."""
        return self.runs_folder / run_path(config, axes)

    def create(self) -> None:
        """Makes the folder. Raises StoreError if it cannot be written, or holds something that is not a sweep."""
        self.refuse_strangers()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            (self.root / "trials").mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.root}: cannot be written ({error.strerror}); choose another --out.") from None

    def refuse_strangers(self) -> None:
        """Raises StoreError if this is no folder, or one that holds something and is not a sweep."""
        if not self.root.exists() or self.has_sweep():
            return
        try:
            strangers = sorted(path.name for path in self.root.iterdir() if not _is_own(path.name))
        except OSError as error:
            raise StoreError(f"{self.root}: cannot be written ({error.strerror}); choose another --out.") from None
        if strangers:
            raise StoreError(
                f"{self.root}: not a sweep, and not empty (it holds {strangers[0]}); choose another --out."
            )

    def remove_unused(self, *, root: bool) -> None:
        """Removes what a sweep that could not begin left; `root`: the folder itself too."""
        with contextlib.suppress(OSError):  # it holds a trial, or something that is not ours
            (self.root / "trials").rmdir()
            shutil.rmtree(self.root / "environments", ignore_errors=True)
            for name in ("sweep.yaml", "environment.json", "progress.json", "ray.log", "stop", "lock"):
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
            content = yaml_document.parse(text, str(path)).content
        except ConfigError as error:
            raise DamagedFileError(f"{error} {_HOW_TO_MEND_SWEEP}") from None
        schema, checksum = content.get("schema"), content.pop("sha256", None)
        if isinstance(schema, int) and schema > SCHEMA:
            raise StoreError(
                f"{path}: written by a newer infomax-tune (schema {schema}, this one knows {SCHEMA}); upgrade to go on."
            )
        try:
            intact = schema == SCHEMA and checksum == digest(content)
        except (TypeError, ValueError):  # what JSON does not know, such as a date, was not written here
            intact = False
        if not intact:
            raise DamagedFileError(f"{path}: damaged or edited (its checksum is wrong). {_HOW_TO_MEND_SWEEP}")
        return content

    def write_sweep(self, content: Mapping[str, Any]) -> None:
        content = {"schema": SCHEMA, **content}
        write_atomically(self.root / "sweep.yaml", yaml_document.dump({**content, "sha256": digest(content)}).encode())

    def has_sweep(self) -> bool:
        return (self.root / "sweep.yaml").exists()

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Leaves environment.json: where and how the sweep was last run."""
        write_json(self.root / "environment.json", environment)

    def begun_by(self) -> str | None:
        """The command that began the sweep, if environment.json tells."""
        with contextlib.suppress(DamagedFileError):
            return (read_json(self.root / "environment.json") or {}).get("command")
        return None

    def tracker(self, name: str) -> TrackerFolder:
        """What a tracker was given of this sweep."""
        return TrackerFolder(self.root / "trackers" / name)

    def note_environment(self, environment: Mapping[str, Any], fingerprint: str) -> None:
        """Leaves environments/<fingerprint>.json, which timings.csv names, unless it is there."""
        path = self.root / "environments" / f"{fingerprint}.json"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_json(path, environment)

    def read_environments(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Every environment that trials of this sweep were trained in, and what was damaged and is set aside."""
        found: list[dict[str, Any]] = []
        problems: list[str] = []
        for path in sorted((self.root / "environments").glob("*.json")):
            try:
                found.append(read_json(path) or {})
            except DamagedFileError as error:
                path.rename(path.with_name(f"{path.name}.damaged"))
                problems.append(str(error))
        return found, problems

    def tidy(self) -> None:
        """Removes the temporary files that a crash left. The caller holds the lock."""
        folders = ("", "trials/*/", "environments/", f"{RUNS}/**/", "trackers/*/", "trackers/*/given/")
        for pattern in (f"{folder}.*{TEMPORARY}*" for folder in folders):
            for leftover in self.root.glob(pattern):
                leftover.unlink(missing_ok=True)

    def write_progress(self, content: Mapping[str, Any]) -> None:
        """Leaves progress.json, where the sweep stands, for `status` in another terminal. A disk that is full is no matter."""
        with contextlib.suppress(StoreError):
            write_json(self.root / "progress.json", content, durably=False)

    def read_progress(self) -> dict[str, Any] | None:
        """What a driver last told; None if none is at work, or what it told cannot be read."""
        with contextlib.suppress(DamagedFileError):
            return read_json(self.root / "progress.json")
        return None

    def clear_progress(self) -> None:
        (self.root / "progress.json").unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Asks the workers, wherever they are, to leave checkpoints after their epochs and stop."""
        write_atomically(self.root / "stop", b"")

    def stop_asked(self) -> bool:
        return (self.root / "stop").exists()

    def clear_stop(self) -> None:
        (self.root / "stop").unlink(missing_ok=True)

    def room_problem(self) -> str | None:
        """Why the folder cannot take a megabyte more (a full disk, a quota, a disk gone read-only); None if it can."""
        probe = self.root / f".room{TEMPORARY}"
        try:
            probe.write_bytes(bytes(2**20))
        except OSError as error:
            return f"{self.root}: cannot be written ({error.strerror or error})"
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
        return None

    def require_room(self) -> None:
        """Raises StoreError, which says how to go on, if there is a `room_problem`."""
        problem = self.room_problem()
        if problem:
            again = shlex.join(["infomax-tune", "resume", str(self.root)])
            raise StoreError(f"{problem}. What was trained is kept: make room there, then go on with: {again}")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for one driver. The system frees it when its holder ends, however it ends.

        Raises LockedError, with the holder's host and pid, if another driver holds it.
        """
        with locked(self.root):
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
        notes += [f"{path}: left over by a crash, harmless" for path in sorted(self.root.glob(f"**/.*{TEMPORARY}"))]
        notes += [f"{path}: was damaged, and set aside" for path in sorted(self.root.glob("trials/*/*.damaged-*"))]
        for path in sorted(self.root.glob("trackers/*/given/*.json")):
            try:
                read_json(path)
            except DamagedFileError as error:
                notes.append(f"{error} The trial is handed over again by the next run with that --logger.")
        for name in (
            "environment.json",
            *(f"environments/{path.name}" for path in self.root.glob("environments/*.json")),
        ):
            try:
                read_json(self.root / name)
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
            return read_csv(path, _RESULT_TYPES)
        except FileNotFoundError:
            raise StoreError(
                f"{self.root}: has no results.csv; make it with: infomax-tune results {self.root}"
            ) from None
        except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
            raise DamagedFileError(
                f"{path}: cannot be read ({error}); make it anew with: infomax-tune results {self.root}"
            ) from None


_TABLES = ("results.csv", "results.parquet", "history.parquet", "timings.csv")


_OWN_NAMES = {
    "trials",
    "lock",
    "stop",
    "ray",
    "ray.log",
    "environment.json",
    "environments",
    "progress.json",
    "analysis",
    RUNS,
    "trackers",
    *_TABLES,
}


_HOW_TO_MEND_SWEEP = (
    "The trials are safe: move this file away and repeat the `infomax-tune sweep` command that made the folder."
)


_RESULT_TYPES: dict[str, Any] = (
    {"diverged_epoch": "Int64", "hidden_dim": "int64", "batch_size": "int64", "epochs": "int64", "seed": "int64"}
    | dict.fromkeys(("lambda_tc", "lambda_wr", "variance_eps", "lr"), "float64")
    | dict.fromkeys(columns.FINAL, "float64")
)


def _is_own(name: str) -> bool:
    """Whether a file may stand in a sweep's folder, a damaged sweep file that was moved away included."""
    return name in _OWN_NAMES or name.startswith("sweep.yaml") or name.endswith(TEMPORARY)


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


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
