"""The only module of the analysis that touches files: a study is loaded from a folder, and outputs are written to one."""

from __future__ import annotations

import csv
import difflib
import io
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.schema import CONFIG_COLUMNS, METRICS, REQUIRED_COLUMNS, STATUSES, TEXT_COLUMNS
from infomax_tune.errors import InfomaxTuneError

Weights = tuple[np.ndarray, np.ndarray]


class AnalysisError(InfomaxTuneError):
    """A study cannot be analysed as it stands; the message says what is wrong with it and what to do next."""


@dataclass(frozen=True)
class Study:
    """One sweep's output, in memory.

    results: one row a planned trial. history: one row a trial and epoch, or None. environment, space: what
    `environment.json` and `sweep.yaml` hold, or empty. notes: sentences on what the folder lacks, for the report.
    load_weights: trial id -> (weight of shape (k, d), bias of shape (k,)), or None where that trial left none.
    """

    name: str
    results: pd.DataFrame
    history: pd.DataFrame | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    load_weights: Callable[[str], Weights | None] = lambda _: None


def load_study(out: str | os.PathLike[str]) -> Study:
    """Read a sweep's output folder.

    Only `results.csv` is needed; a missing history, space, environment or weight file makes a smaller report and a
    note in it. Raises AnalysisError where the folder or its results table is absent, torn or not a results table.
    """
    folder = Path(out)
    if not folder.is_dir():
        raise AnalysisError(f"{folder}: no such folder; give the output folder of a sweep.")
    table = folder / "results.csv"
    if not table.is_file():
        raise AnalysisError(
            f"{folder} holds no results.csv, so it is not the output folder of a sweep"
            f"{_sibling_hint(folder)}; run `infomax-tune sweep` first, or give the folder that it wrote."
        )
    results = _read_results(table)
    notes = [
        f"The results table has no column {column}; what needs it is left out."
        for column in (*CONFIG_COLUMNS, *METRICS)
        if column not in results.columns
    ]
    return Study(
        name=folder.resolve().name,
        results=results,
        history=_read_history(folder / "history.parquet", results, notes),
        environment=_read_mapping(folder / "environment.json", json.loads, notes),
        space=_read_mapping(folder / "sweep.yaml", _parse_yaml, notes),
        notes=tuple(notes),
        load_weights=lambda trial_id: _read_weights(folder / "trials" / trial_id / "weights.safetensors"),
    )


def check_results(results: pd.DataFrame, source: str = "results table") -> pd.DataFrame:
    """The table with its columns typed (config and metrics numeric), or AnalysisError with every problem found."""
    absent = [column for column in REQUIRED_COLUMNS if column not in results.columns]
    if absent:
        near = {name: difflib.get_close_matches(name, map(str, results.columns), 1, 0.75) for name in absent}
        hints = "".join(f" Is {found[0]!r} meant to be {name!r}?" for name, found in near.items() if found)
        raise AnalysisError(
            f"{source} lacks the column{'s' * (len(absent) > 1)} {', '.join(absent)}; "
            f"it has {', '.join(map(str, results.columns))}.{hints} Rebuild the table by running the sweep again."
        )
    if results.empty:
        raise AnalysisError(f"{source} has no rows: the sweep planned no trial. Check its search space.")
    table = results.copy()
    for column in table.columns.intersection(list(TEXT_COLUMNS)):
        table[column] = table[column].astype("string").astype(object)
    unknown = sorted(set(table["status"].map(str)) - set(STATUSES))
    if unknown:
        raise AnalysisError(f"{source}: status {unknown[0]!r} is unknown; one of {', '.join(STATUSES)}.")
    numeric = [c for c in [*CONFIG_COLUMNS, *METRICS, "seed", "diverged_epoch"] if c not in TEXT_COLUMNS]
    for column in table.columns.intersection(numeric):
        table[column] = _to_numbers(table[column], column, source)
    for column in ("hidden_dim", "seed", "activation"):
        if table[column].isna().any():
            line = int(np.flatnonzero(table[column].isna())[0]) + 2
            raise AnalysisError(f"{source}, line {line}: {column} is empty; every planned trial has one.")
    for column in ("hidden_dim", "seed"):
        table[column] = table[column].astype(np.int64)
    twice = table["trial_id"][table["trial_id"].duplicated()]
    if len(twice):
        raise AnalysisError(f"{source}: trial {twice.iloc[0]} has more than one row; rebuild it by running the sweep.")
    cell = [column for column in (*CONFIG_COLUMNS, "seed") if column in table]
    again = table["trial_id"][table.duplicated(cell)]
    if len(again):
        raise AnalysisError(
            f"{source}: trial {again.iloc[0]} has the same settings and seed as another; a pairing by seed needs one of each."
        )
    return table


class Output:
    """The folder an analysis writes to. Every file is written under a temporary name and renamed: whole or not there."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Make the folder if it is not there; AnalysisError where that cannot be done."""
        self.folder = Path(folder)
        self.files: list[Path] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AnalysisError(
                f"{self.folder}: cannot be made a folder ({error}); give another output folder."
            ) from error

    def write(self, name: str, content: bytes | str | pd.DataFrame) -> Path:
        """Write one file: bytes as they are, text as UTF-8, a DataFrame as csv without its index."""
        if isinstance(content, pd.DataFrame):
            content = content.to_csv(index=False, lineterminator="\n")
        data = content.encode() if isinstance(content, str) else content
        path = self.folder / name
        try:
            handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{name}.")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            # mkstemp makes the file private; a report is read by whoever may read the sweep's folder.
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except OSError as error:
            raise AnalysisError(f"{path}: cannot be written ({error}); give another output folder.") from error
        self.files.append(path)
        return path


def _read_results(path: Path) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AnalysisError(f"{path}: cannot be read ({error}).") from error
    rebuild = "Run the sweep again: it keeps finished trials and rewrites the table."
    if not text.strip():
        raise AnalysisError(f"{path} is empty. {rebuild}")
    # pandas pads a short row with NaN, so a torn file would pass for one with missing values.
    rows = csv.reader(io.StringIO(text))
    width = len(next(rows))
    for row in rows:
        if len(row) != width:
            raise AnalysisError(
                f"{path}, line {rows.line_num}: {len(row)} fields where the header has {width}; "
                f"the file is torn or was edited. {rebuild}"
            )
    if not text.endswith("\n"):
        raise AnalysisError(f"{path} ends in the middle of a line; the file is torn. {rebuild}")
    text_types = dict.fromkeys(TEXT_COLUMNS, str)
    # head is often the word "none", which is a value here.
    table = pd.read_csv(io.StringIO(text), dtype=text_types, keep_default_na=False, na_values=["", "nan", "NaN"])
    table = check_results(table, str(path))
    twin = path.with_suffix(".parquet")
    if twin.is_file():
        twin_rows = _parquet_rows(twin)
        if twin_rows is not None and twin_rows != len(table):
            raise AnalysisError(
                f"{path} has {len(table)} rows and {twin.name} has {twin_rows}; they must hold the same trials. {rebuild}"
            )
    return table


def _parquet_rows(path: Path) -> int | None:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_metadata(path).num_rows
    except (OSError, pa.ArrowException):
        return None


def _read_history(path: Path, results: pd.DataFrame, notes: list[str]) -> pd.DataFrame | None:
    if not path.is_file():
        notes.append("There is no history.parquet: training curves and the comparison with epoch 0 are left out.")
        return None
    import pyarrow as pa

    try:
        history = pd.read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise AnalysisError(
            f"{path}: is not a whole parquet file ({error}). Delete it and run the sweep again, which rewrites it."
        ) from error
    lacking = [column for column in ("trial_id", "epoch") if column not in history.columns]
    if lacking:
        raise AnalysisError(f"{path} lacks the column {', '.join(lacking)}; delete it and run the sweep again.")
    history["trial_id"] = history["trial_id"].astype(object)
    known = history["trial_id"].isin(results["trial_id"])
    if not known.all():
        notes.append(f"{int((~known).sum())} rows of history.parquet belong to no planned trial and are left out.")
    return history[known].sort_values(["trial_id", "epoch"], kind="stable", ignore_index=True)


def _read_mapping(path: Path, parse: Callable[[str], Any], notes: list[str]) -> dict[str, Any]:
    if not path.is_file():
        notes.append(f"There is no {path.name}; what it tells is left out.")
        return {}
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        notes.append(f"{path.name} cannot be read ({type(error).__name__}); what it tells is left out.")
        return {}
    return content if isinstance(content, dict) else {}


def _parse_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _read_weights(path: Path) -> Weights | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        return tensors["weight"], tensors["bias"]
    except (OSError, SafetensorError, KeyError):
        return None


def _to_numbers(column: pd.Series, name: str, source: str) -> pd.Series:
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError) as error:
        numbers = pd.to_numeric(column, errors="coerce")
        bad = np.flatnonzero(numbers.isna() & column.notna())[0]
        raise AnalysisError(
            f"{source}, line {bad + 2}: {name} is {column.iloc[bad]!r}, which is not a number. "
            "Run the sweep again: it keeps finished trials and rewrites the table."
        ) from error


def _sibling_hint(folder: Path) -> str:
    if (folder.parent / "results.csv").is_file():
        return f" (its parent {folder.parent} does)"
    within = sorted(path.parent.name for path in folder.glob("*/results.csv"))
    return f" (but {folder / within[0]} does)" if within else ""
