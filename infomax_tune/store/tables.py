"""The tables of a sweep, made from its records: results, history, timings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.store.files import read_text_table, write_atomically
from infomax_tune.store.record import Finding
from infomax_tune.store.sweep_folder import HISTORY_PARQUET, RESULTS_CSV, RESULTS_PARQUET, TIMINGS_CSV, SweepFolder
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from infomax_tune.study.trial_status import TrialStatus

_TEXT = ("trial_id", "status", "dataset", "objective", "activation", "head", "optimizer")
_RESULT_TYPES: dict[str, Any] = (
    dict.fromkeys(columns.RESULTS, "float64")
    | dict.fromkeys(_TEXT, "str")
    | dict.fromkeys(("hidden_dim", "batch_size", "epochs", "seed"), "int64")
    | {"diverged_epoch": "Int64"}
)
_HISTORY_TYPES: dict[str, Any] = {"trial_id": "str", "epoch": "int64"} | dict.fromkeys(columns.HISTORY[1:], "float64")


@dataclass(frozen=True)
class Tables:
    """The tables of a sweep. results: one row a planned trial; files: the bytes of every table, by its file's name."""

    results: pd.DataFrame
    files: dict[str, bytes]


def write_tables(folder: SweepFolder, plan: Plan) -> pd.DataFrame:
    """Assembles results.csv, results.parquet, history.parquet and timings.csv from the records; returns the results.

    One row a planned trial, sorted by its settings; status is done, diverged, failed or missing. Stable columns
    only: the same records give the same bytes, whatever was killed, packed, reordered or extended.
    """
    tables = make_tables(folder, plan)
    for name, data in tables.files.items():
        path = folder.root / name
        if not path.exists() or path.read_bytes() != data:
            write_atomically(path, data)
    return tables.results


def make_tables(folder: SweepFolder, plan: Plan) -> Tables:
    """The tables that the records there are make. Raises DamagedFileError."""
    trials = sorted(plan, key=_table_order)
    findings = folder.find(trials)
    rows = [_result_row(config, findings[config.trial_id]) for config in trials]
    results = pd.DataFrame(rows, columns=list(columns.RESULTS)).astype(_RESULT_TYPES)
    records = {trial_id: finding.record for trial_id, finding in findings.items() if finding.record}
    histories = [folder.trial(trial_id).read_history().assign(trial_id=trial_id) for trial_id in records]
    timings = pd.DataFrame(
        [{"trial_id": trial_id, **record.timing} for trial_id, record in records.items()],
        columns=list(columns.TIMINGS),
    )
    files = {
        RESULTS_CSV: _csv(results),
        RESULTS_PARQUET: _parquet(results),
        HISTORY_PARQUET: _parquet(_stack(histories)),
        TIMINGS_CSV: _csv(timings),
    }
    return Tables(results, files)


def read_results(folder: SweepFolder) -> pd.DataFrame:
    """The results table as last assembled; a column that did not exist then is empty. Raises StoreError."""
    path = folder.results_csv
    try:
        return read_text_table(path, _RESULT_TYPES, needed=("trial_id", "status", "activation", "hidden_dim", "seed"))
    except FileNotFoundError:
        raise StoreError(
            f"{folder.root}: has no results.csv; make it with: infomax-tune results {folder.root}"
        ) from None
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise DamagedFileError(
            f"{path}: cannot be read ({error}); make it anew with: infomax-tune results {folder.root}"
        ) from None


def _table_order(config: TrialConfig) -> tuple[Any, ...]:
    flat = config.flat()
    return (*(flat[name] for name in columns.SETTINGS.values()), config.trial_id)


def _result_row(config: TrialConfig, finding: Finding) -> dict[str, Any]:
    """The trial's settings, what became of it, and what it is summed up by."""
    flat = config.flat()
    row: dict[str, Any] = {"trial_id": config.trial_id}
    row |= {column: flat[name] for column, name in columns.SETTINGS.items()}
    record = finding.record
    if record is None:
        status = TrialStatus.MISSING if finding.status == TrialStatus.DAMAGED else finding.status
        return row | {"status": status.value, "diverged_epoch": None}
    diverged = record.status == TrialStatus.DIVERGED
    return row | record.result | {"status": record.status.value, "diverged_epoch": record.epoch if diverged else None}


def _stack(histories: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The histories of all trials below each other, with the same types however many there are."""
    names = list(_HISTORY_TYPES)
    table = pd.concat(histories, ignore_index=True) if histories else pd.DataFrame(columns=names)
    return pd.DataFrame(table, columns=names).astype(_HISTORY_TYPES)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
