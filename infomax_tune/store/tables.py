"""The tables of a sweep, made from its records: results, history, timings."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.parts.catalogue import short
from infomax_tune.store import formats
from infomax_tune.store.files import (
    digest,
    file_digest,
    for_each,
    read_bytes,
    read_json,
    read_text_table,
    remove,
    write_atomically,
    write_json,
)
from infomax_tune.store.record import Finding, Record
from infomax_tune.store.sweep_folder import (
    HISTORY_PARQUET,
    RESULTS_CSV,
    RESULTS_PARQUET,
    TABLES,
    TABLES_NOTE,
    TIMINGS_CSV,
    UNITS_PARQUET,
    SweepFolder,
)
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from infomax_tune.study.trial_status import TrialStatus

_DEFAULTS = {column: TrialConfig().flat()[name] for column, name in (columns.SETTINGS | columns.LATER).items()}
_TEXT = ("trial_id", "status", *(column for column, value in _DEFAULTS.items() if isinstance(value, str)))
_TYPES = {str: "str", bool: "bool", int: "int64", float: "float64"}
"""The type of a column, by that of the setting it shows."""
_RESULT_TYPES: dict[str, Any] = (
    dict.fromkeys(columns.RESULTS, "float64")
    | dict.fromkeys(_TEXT[:2], "str")
    | {column: _TYPES[type(value)] for column, value in _DEFAULTS.items() if column in columns.SETTINGS}
    | {"diverged_epoch": "Int64"}
)
_LATER_TYPES = {column: _TYPES[type(value)] for column, value in _DEFAULTS.items() if column in columns.LATER}
_HISTORY_TYPES: dict[str, Any] = {"trial_id": "str", "epoch": "int64"} | dict.fromkeys(columns.HISTORY[1:], "float64")

_MAX_ROWS = 10**8
"""Of a parquet file, where many equal rows take few bytes: the histories of 100,000 trials of 1,000 epochs."""


@dataclass(frozen=True)
class Tables:
    """The tables of a sweep. results: one row per trial of the plan; files: the bytes of each table, by file name.

    records: see `digest_of_records`.
    """

    results: pd.DataFrame
    files: dict[str, bytes]
    records: str


def write_tables(folder: SweepFolder, plan: Plan) -> pd.DataFrame:
    """Assembles results.csv, results.parquet, history.parquet, units.parquet and timings.csv from the records; returns the
    results.

    One row per trial of the plan, sorted by settings; status is done, diverged, failed or missing. Except for timings.csv,
    columns are stable: the same records give the same bytes, whatever was killed, packed, reordered or extended.
    """
    tables = make_tables(folder, plan)
    noted = None
    with contextlib.suppress(DamagedFileError):
        noted = read_note(folder)
    files = noted["files"] if noted else {}
    # without a note, nothing says that other bytes with the same rows are whole: a parquet file holds more than its rows
    noted_or_new = {name: files.get(name, hashlib.sha256(data).hexdigest()) for name, data in tables.files.items()}
    changed = [name for name, data in tables.files.items() if not holds(folder.root / name, data, noted_or_new[name])]
    if changed:
        # a crash between two tables must not look like damage; the first write reports what cannot be removed
        with contextlib.suppress(OSError, StoreError):
            remove(folder.root / TABLES_NOTE)
        noted = None
    for name in changed:
        write_atomically(folder.root / name, tables.files[name])
    note = {"files": {name: file_digest(folder.root / name) or "" for name in TABLES}, "records": tables.records}
    if note != noted:
        write_json(folder.root / TABLES_NOTE, formats.TABLES_NOTE, note)
    return tables.results


def read_note(folder: SweepFolder) -> dict[str, Any] | None:
    """tables.json: the sha256 of each table in `files`, and `records`, see `digest_of_records`; None if there is none.

    Raises DamagedFileError.
    """
    return read_json(folder.root / TABLES_NOTE, formats.TABLES_NOTE)


def digest_of_records(findings: Mapping[str, Finding]) -> str:
    """One sha256 of all that tables are made of: the trials of the plan, their statuses, their records."""
    return digest(
        {trial_id: [_status(finding).value, finding.digest or None] for trial_id, finding in findings.items()}
    )


def holds(path: Path, data: bytes, noted: str | None = None) -> bool:
    """Whether a table's file has the same content as these bytes. noted: the sha256 that it was written with.

    The bytes of a parquet file also depend on the versions of its writers, so its rows are compared.
    """
    try:
        there = read_bytes(path)
    except FileNotFoundError:
        return False
    if there == data:
        return True
    if path.suffix != ".parquet" or noted not in (None, hashlib.sha256(there).hexdigest()):
        return False
    return _same_rows(there, data)


def _same_rows(one: bytes, other: bytes) -> bool:
    import pyarrow as pa

    try:
        return _read_parquet(one).equals(_read_parquet(other))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):  # one of them is not a complete parquet file
        return False


def make_tables(folder: SweepFolder, plan: Plan) -> Tables:
    """The tables of the records that exist. Raises DamagedFileError if a history is damaged."""
    trials = sorted(plan, key=_table_order)
    findings = folder.find(trials)
    settings = columns.settings_of(trials)
    rows = [_result_row(config, findings[config.trial_id], settings) for config in trials]
    types = _result_types(trials, settings)
    results = pd.DataFrame(rows, columns=list(types)).astype(types)
    records = {trial_id: finding.record for trial_id, finding in findings.items() if finding.record}
    histories = list(for_each(lambda trial_id: _history(folder, trial_id), records, folder.root))
    timings = pd.DataFrame(
        [{"trial_id": trial_id, **record.timing} for trial_id, record in records.items()],
        columns=list(columns.TIMINGS),
    )
    files = {
        RESULTS_CSV: _csv(results),
        RESULTS_PARQUET: _parquet(results),
        HISTORY_PARQUET: _parquet(_stack(histories, columns.further_of(trials))),
        UNITS_PARQUET: _parquet(_units(records)),
        TIMINGS_CSV: _csv(timings),
    }
    return Tables(results, files, digest_of_records(findings))


def _history(folder: SweepFolder, trial_id: str) -> pd.DataFrame:
    trial = folder.trial(trial_id)
    try:
        return trial.read_history().assign(trial_id=trial_id)
    except DamagedFileError as error:  # though the record vouches for it: somebody else wrote both
        raise DamagedFileError(
            f"{error} Move {trial.path / 'record.json'} away, then train it again with: {folder.command('resume')}"
        ) from None


def read_results(folder: SweepFolder) -> pd.DataFrame:
    """The results table as last written; a column that did not exist then is empty. Raises StoreError."""
    path = folder.results_csv
    try:
        return read_text_table(
            path, _RESULT_TYPES, needed=("trial_id", "status", "activation", "hidden_dim", "seed"), rest=_LATER_TYPES
        )
    except FileNotFoundError:
        folder.require_sweep()
        raise StoreError(f"{folder.root}: has no results.csv; create it with: {folder.command('results')}") from None
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise DamagedFileError(
            f"{path}: cannot be read ({error}); recreate it with: {folder.command('results')}"
        ) from None


def read_results_as_written(folder: SweepFolder) -> pd.DataFrame:
    """The results table with the columns it has, whichever version or tool wrote it.

    Text columns are text; pandas infers the type of the others. Raises StoreError if it cannot be opened, and
    DamagedFileError if it is torn (naming the line) or has another number of rows than results.parquet.
    """
    path = folder.results_csv
    # `head` is often "none", which pandas would take for a missing value
    types = dict.fromkeys(_TEXT, str)
    try:
        text = read_bytes(path).decode("utf-8")
        _require_whole(text, path)
        table = pd.read_csv(io.StringIO(text), dtype=types, keep_default_na=False, na_values=["", "nan", "NaN"])
    except FileNotFoundError as error:
        raise StoreError(f"{path}: cannot be read ({error}).") from None
    except (ValueError, csv.Error) as error:
        raise DamagedFileError(f"{path}: cannot be read ({error}).") from None
    twin = folder.root / RESULTS_PARQUET
    twin_rows = _parquet_rows(twin)
    if twin_rows is not None and twin_rows != len(table):
        raise DamagedFileError(
            f"{path} has {len(table)} rows and {twin.name} has {twin_rows}; they must hold the same trials."
        )
    return table


def read_history_table(folder: SweepFolder) -> pd.DataFrame | None:
    """The histories of all trials as last written, with the columns they had then; None if there is no such file.

    Columns: trial_id, and those of `columns.HISTORY` that existed. Raises DamagedFileError.
    """
    import pyarrow as pa

    path = folder.root / HISTORY_PARQUET
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        return None
    try:
        history = _read_parquet(data)
        lacking = [name for name in ("trial_id", "epoch") if name not in history]
        if lacking:
            raise DamagedFileError(f"{path}: has no column {', '.join(lacking)}.")
        history = history.astype({name: _HISTORY_TYPES.get(name, "float64") for name in history.columns})
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise DamagedFileError(f"{path}: not a complete parquet file of histories ({error}).") from None
    if history.duplicated(["trial_id", "epoch"]).any():
        raise DamagedFileError(f"{path}: has an epoch of a trial twice.")
    return history


def _read_parquet(data: bytes) -> pd.DataFrame:
    """The table in a parquet file. Raises OSError, ValueError or ArrowException."""
    from pyarrow import parquet

    rows = parquet.read_metadata(io.BytesIO(data)).num_rows
    if rows > _MAX_ROWS:
        raise ValueError(f"{rows} rows are more than infomax-tune writes")
    table = parquet.read_table(io.BytesIO(data))
    return table.replace_schema_metadata(None).to_pandas()  # what pandas notes there may be wrong


def _require_whole(text: str, path: Path) -> None:
    """Raises DamagedFileError if a CSV file is torn: pandas pads a short row, so a torn file would pass for one with gaps."""
    if not text.strip():
        raise DamagedFileError(f"{path} is empty.")
    rows = csv.reader(io.StringIO(text))
    width = len(next(rows))
    for row in rows:
        if len(row) != width:
            raise DamagedFileError(
                f"{path}, line {rows.line_num}: {len(row)} fields where the header has {width}; "
                "the file is cut off or was edited."
            )
    if not text.endswith("\n"):
        raise DamagedFileError(f"{path} ends in the middle of a line; the file is cut off.")


def _parquet_rows(path: Path) -> int | None:
    """The number of rows, from the file's footer; None if there is no whole file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_metadata(io.BytesIO(read_bytes(path))).num_rows
    except (OSError, pa.ArrowException):
        return None


def _table_order(config: TrialConfig) -> tuple[Any, ...]:
    flat = config.flat()
    return (*(flat[name] for name in (columns.SETTINGS | columns.LATER).values()), config.trial_id)


def _result_row(config: TrialConfig, finding: Finding, settings: Mapping[str, str]) -> dict[str, Any]:
    """The trial's id, settings, status and final numbers."""
    flat, record = config.flat(), finding.record
    row: dict[str, Any] = dict(record.result) if record else {}
    row |= {"trial_id": config.trial_id, "status": _status(finding).value}
    row |= {column: shown(flat.get(name)) for column, name in settings.items()}
    return row | {"diverged_epoch": record.epoch if record and record.status == TrialStatus.DIVERGED else None}


def _status(finding: Finding) -> TrialStatus:
    """The status that a table shows."""
    return TrialStatus.MISSING if finding.status == TrialStatus.DAMAGED else finding.status


def shown(value: Any) -> Any:
    """A setting's value as a table shows it: a part of the user's own is `swish.3f2a9c1b4d5e`, a plain name."""
    parts = value.split() if isinstance(value, str) and "@" in value else []
    return "+".join(f"{short(name)}.{name.rpartition('@')[2]}" for name in parts) or value


def _result_types(trials: Sequence[TrialConfig], settings: Iterable[str]) -> dict[str, Any]:
    """The columns of the results table of these trials, each with its type. settings: the columns for their settings."""
    types = {column: (_RESULT_TYPES | _LATER_TYPES).get(column, "str") for column in settings}
    first = {column: _RESULT_TYPES[column] for column in columns.RESULTS[:3]}
    return first | types | dict.fromkeys((*columns.FINAL, *columns.further_of(trials)), "float64")


def _stack(histories: Sequence[pd.DataFrame], further: Sequence[str]) -> pd.DataFrame:
    """The histories of all trials in one table, with the same types however many there are."""
    types = _HISTORY_TYPES | dict.fromkeys(further, "float64")
    names = list(types)
    table = pd.concat(histories, ignore_index=True) if histories else pd.DataFrame(columns=names)
    return pd.DataFrame(table, columns=names).astype(types)


def _units(records: Mapping[str, Record]) -> pd.DataFrame:
    """What was measured of each unit, one row per trial and unit."""
    of_trials = [
        pd.DataFrame(record.units).assign(trial_id=trial_id, unit=range(len(next(iter(record.units.values())))))
        for trial_id, record in records.items()
        if record.units
    ]
    names = list(columns.UNITS)
    table = pd.concat(of_trials, ignore_index=True) if of_trials else pd.DataFrame(columns=names)
    types = {"trial_id": "str", "unit": "int64"} | dict.fromkeys(columns.OF_UNITS, "float64")
    return pd.DataFrame(table, columns=names).astype(types)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
