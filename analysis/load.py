"""Loads a study from a sweep's folder and checks that its results table can be analyzed.

Only the store's readers open files; this module decides what is an error and what only makes a smaller report.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.metrics import METRICS
from analysis.schema import CONFIG_COLUMNS, OPTIONAL_COLUMNS, REQUIRED_COLUMNS, STATUSES, TEXT_COLUMNS, config_columns
from infomax_tune.errors import ConfigError, DamagedFileError, InfomaxTuneError, StoreError
from infomax_tune.parts import catalogue
from infomax_tune.parts.activations import Activation
from infomax_tune.store import tables
from infomax_tune.store.environments import LATEST
from infomax_tune.store.files import exists
from infomax_tune.store.locks import is_locked
from infomax_tune.store.objects import is_object, location
from infomax_tune.store.sweep_folder import HISTORY_PARQUET, RESULTS_CSV, SWEEP_FILE, SweepFolder
from infomax_tune.study import columns
from infomax_tune.study.config import part_names

Weights = tuple[np.ndarray, np.ndarray]

REBUILD = "Run the sweep again: it keeps finished trials and rewrites the table."


class AnalysisError(InfomaxTuneError):
    """A study cannot be analyzed; the message says what is wrong and what to do next."""


@dataclass(frozen=True)
class OwnPart:
    """What a part that is not ours says of itself; "" is nothing."""

    color: str = ""
    marker: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class Study:
    """One sweep's output, in memory.

    results: one row per planned trial. history: one row per trial and epoch, or None. environment, space: the contents of
    `environment.json` and `sweep.yaml`, or empty. notes: sentences for the report about what the folder lacks.
    load_weights: trial id -> (weight of shape (k, d), bias of shape (k,)), or None if that trial has no weights.
    """

    name: str
    results: pd.DataFrame
    history: pd.DataFrame | None = None
    environment: dict[str, Any] = field(default_factory=dict)
    space: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    load_weights: Callable[[str], Weights | None] = lambda _: None

    def own_parts(self) -> dict[str, OwnPart]:
        """The parts that are not ours, by the names that the table gives them. What cannot be shown of them is left out."""
        own = {}
        parts = self.environment.get("parts")
        for reference, said in parts.items() if isinstance(parts, dict) else ():
            name, _, digest = reference.partition("@")
            with contextlib.suppress(ConfigError, TypeError):  # the file may be anybody's
                own[f"{catalogue.short(name)}.{digest}"] = own[catalogue.short(name)] = _own_part(**said)
        return own


def _own_part(color: str = "", marker: str = "", explanation: str = "") -> OwnPart:
    Activation(str, color=color, marker=marker)  # raises if they are none
    return OwnPart(color, marker, str(explanation))


def load_study(out: str | os.PathLike[str]) -> Study:
    """Read a sweep's output folder.

    Only `results.csv` is needed. If the history, space, environment or a weight file is missing, or the tables were written
    before a column existed, the report is smaller and has a note. Raises AnalysisError if the folder or its results table
    is missing, torn, or not a results table.
    """
    folder = SweepFolder(location(out))
    results = _read_results(folder)
    notes = [
        f"The results table has no column {column}; anything that needs it is omitted."
        for column in (*CONFIG_COLUMNS, *METRICS)
        if column not in results.columns and column not in OPTIONAL_COLUMNS
    ]
    return Study(
        name=Path(folder.address).name,
        results=results,
        history=_read_history(folder, results, notes),
        environment=_read_or_note(LATEST, folder.environments.latest_as_written, notes),
        space=_read_or_note(SWEEP_FILE, folder.space_as_written, notes),
        notes=tuple(notes),
        load_weights=functools.partial(_read_weights, folder.address),  # pickled for the processes that draw
    )


def check_results(results: pd.DataFrame, source: str = "results table") -> pd.DataFrame:
    """The table with typed columns (config and metrics numeric). Raises AnalysisError if the table has a problem."""
    _require_columns(results, source)
    if results.empty:
        raise AnalysisError(f"{source} has no rows: the sweep planned no trials. Check its search space.")
    table = results.copy()
    for column in table.columns.intersection(list(TEXT_COLUMNS)):
        table[column] = table[column].astype("string").astype(object)
    unknown = sorted(set(table["status"].map(str)) - set(STATUSES))
    if unknown:
        raise AnalysisError(f"{source}: status {unknown[0]!r} is unknown; expected one of {', '.join(STATUSES)}.")
    _require_plain_names(table, source)
    numeric = [c for c in (*CONFIG_COLUMNS, *METRICS, "seed", "diverged_epoch") if c not in TEXT_COLUMNS]
    for column in table.columns.intersection(numeric):
        table[column] = _to_numbers(table[column], column, source)
    for column in ("hidden_dim", "seed", "activation"):
        if table[column].isna().any():
            line = int(np.flatnonzero(table[column].isna())[0]) + 2
            raise AnalysisError(f"{source}, line {line}: {column} is empty; every planned trial needs a value.")
    for column in ("hidden_dim", "seed"):
        is_whole = (table[column] % 1 == 0) & (table[column].abs() < 2.0**63)
        if not is_whole.all():
            line = int(np.flatnonzero(~is_whole)[0])
            raise AnalysisError(
                f"{source}, line {line + 2}: {column} is {table[column].iloc[line]}, which is not a whole number. {REBUILD}"
            )
        table[column] = table[column].astype(np.int64)
    _require_distinct_trials(table, source)
    for column, setting in (columns.SETTINGS | columns.LATER).items():
        if column in table and setting in dict(part_names()):
            table[column] = _without_digests(table[column], dict(part_names())[setting].kind)
    return table


def _without_digests(names: pd.Series, kind: str) -> pd.Series:
    """A user's own part as `swish`, of `swish.3f2a9c1b4d5e`, if nothing else of the column, or of ours, has that name."""
    short = {name: re.sub(r"\.[0-9a-f]{12}$", "", name) for name in names.dropna().unique()}
    changed = [new for name, new in short.items() if new != name]
    if len(set(short.values())) < len(short) or set(changed) & {"none", *catalogue.ours(kind)}:
        return names
    return names.map(short) if changed else names


def _require_plain_names(table: pd.DataFrame, source: str) -> None:
    """A name from someone else's table becomes a file name and part of a page: it must be a plain name."""
    for column in table.columns.intersection([*TEXT_COLUMNS, *config_columns(table)]):
        odd = ~table[column].map(lambda name: pd.isna(name) or bool(re.fullmatch(r"[\w.+-]+", str(name))))
        if odd.any():
            line = int(np.flatnonzero(odd)[0]) + 2
            raise AnalysisError(
                f"{source}, line {line}: {column} is {table[column][odd].iloc[0]!r}; a name may contain only letters, digits "
                "and _ . + -. Only analyze tables from a source you trust."
            )


def _require_columns(results: pd.DataFrame, source: str) -> None:
    absent = [column for column in REQUIRED_COLUMNS if column not in results.columns]
    if not absent:
        return
    there = [str(column) for column in results.columns]
    hints = ""
    for name in absent:
        near = difflib.get_close_matches(name, there, n=1, cutoff=0.75)
        if near:
            hints += f" Is {near[0]!r} meant to be {name!r}?"
    raise AnalysisError(
        f"{source} lacks the column{'s' if len(absent) > 1 else ''} {', '.join(absent)}; "
        f"it has {', '.join(there)}.{hints} Rebuild the table by running the sweep again."
    )


def _require_distinct_trials(table: pd.DataFrame, source: str) -> None:
    twice = table["trial_id"][table["trial_id"].duplicated()]
    if len(twice):
        raise AnalysisError(
            f"{source}: trial {twice.iloc[0]} has more than one row. Rebuild the table by running the sweep again."
        )
    settings = [*config_columns(table), "seed"]
    again = table["trial_id"][table.duplicated(settings)]
    if len(again):
        raise AnalysisError(
            f"{source}: trial {again.iloc[0]} has the same settings and seed as another trial; pairing by seed needs each "
            "combination only once."
        )


def _to_numbers(column: pd.Series, name: str, source: str) -> pd.Series:
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError, OverflowError) as error:
        bad = int(np.argmax([not _is_number(value) for value in column]))
        raise AnalysisError(
            f"{source}, line {bad + 2}: {name} is {column.iloc[bad]!r}, which is not a number. {REBUILD}"
        ) from error


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, OverflowError):
        return False
    return True


def _read_results(folder: SweepFolder) -> pd.DataFrame:
    if not folder.exists():
        raise AnalysisError(f"{folder.root}: no such folder; give the output folder of a sweep.")
    if not exists(folder.results_csv):
        if folder.has_sweep():
            make = f"make it with: {folder.command('results')}"
            how = "its sweep writes it when it ends." if is_locked(folder.root) else make
            raise AnalysisError(f"{folder.root} has no {RESULTS_CSV} yet; {how}")
        raise AnalysisError(
            f"{folder.root} has no {RESULTS_CSV}, so it is not the output folder of a sweep"
            f"{_sibling_hint(folder)}; run `infomax-tune sweep` first, or give the folder it wrote."
        )
    try:
        table = tables.read_results_as_written(folder)
    except DamagedFileError as error:
        raise AnalysisError(f"{error} {REBUILD}") from error
    except StoreError as error:
        raise AnalysisError(str(error)) from error
    return check_results(table, str(folder.results_csv))


def _sibling_hint(folder: SweepFolder) -> str:
    """The location of a results table one folder up or down, if there is one."""
    if is_object(folder.root):
        return ""
    parent = folder.root.parent
    if SweepFolder(parent).results_csv.is_file():
        return f" (its parent {parent} has one)"
    within = sorted(path.parent.name for path in folder.root.glob(f"*/{RESULTS_CSV}"))
    return f" (but {folder.root / within[0]} has one)" if within else ""


def _read_history(folder: SweepFolder, results: pd.DataFrame, notes: list[str]) -> pd.DataFrame | None:
    try:
        history = tables.read_history_table(folder)
    except DamagedFileError as error:
        raise AnalysisError(f"{error} Delete it and run the sweep again to rewrite it.") from error
    if history is None:
        notes.append(f"{HISTORY_PARQUET} is missing: training curves and the comparison with epoch 0 are omitted.")
        return None
    history["trial_id"] = history["trial_id"].astype(object)
    known = history["trial_id"].isin(results["trial_id"])
    if not known.all():
        notes.append(f"{int((~known).sum())} rows of {HISTORY_PARQUET} belong to no planned trial and are ignored.")
    return history[known].sort_values(["trial_id", "epoch"], kind="stable", ignore_index=True)


def _read_or_note(name: str, read: Callable[[], dict[str, Any] | None], notes: list[str]) -> dict[str, Any]:
    """The contents of a file that the report can do without; if it cannot be read, adds a note."""
    try:
        content = read()
    except (OSError, StoreError, ValueError) as error:
        notes.append(f"{name} cannot be read ({type(error).__name__}); its contents are omitted.")
        return {}
    if content is None:
        notes.append(f"{name} is missing; its contents are omitted.")
        return {}
    return content


def _read_weights(out: str, trial_id: str) -> Weights | None:
    try:
        tensors = SweepFolder(location(out)).trial(trial_id).read_weights()
        return tensors["weight"], tensors["bias"]
    except (StoreError, KeyError):
        return None
