"""The record of a finished trial, its history, and the state found in a trial's folder."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from infomax_tune.errors import DamagedFileError
from infomax_tune.store.files import read_text_table
from infomax_tune.study import columns
from infomax_tune.study.trial_status import TrialStatus

HistoryRow = dict[str, float]
"""One epoch: `columns.HISTORY`. A metric that was not evaluated is missing or NaN."""

EPOCH_S = "epoch_s"
"""The entry of a record's and a checkpoint's timing with the seconds of each epoch trained, from epoch 1 on."""

RecordFile = Literal["history.csv", "weights.safetensors"]
"""A file that a record vouches for. A record from elsewhere may name others, such as ../../.profile."""


@dataclass(frozen=True)
class Record:
    """The record of a finished trial. status: done or diverged. epoch: the last epoch trained. result: the final numbers.

    files: the sha256 of each file that belongs to the record, by name. data: the digest of its dataset, "" if an older
    version did not save it. arithmetic: the number of the arithmetic it was trained with.
    """

    trial_id: str
    status: TrialStatus
    epoch: int
    config: dict[str, Any]
    result: dict[str, float]
    timing: dict[str, Any]
    files: dict[RecordFile, str] = field(default_factory=dict)
    data: str = ""
    arithmetic: int = 1

    @property
    def has_weights(self) -> bool:
        """Whether the trial's weights were saved."""
        return "weights.safetensors" in self.files

    def to_dict(self) -> dict[str, Any]:
        """The content of record.json."""
        result = {name: value if math.isfinite(value) else None for name, value in self.result.items()}
        return {**vars(self), "status": str(self.status), "result": result}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Record:
        """The inverse of `to_dict`, of a content that `formats.RECORD` has read."""
        known: dict[str, Any] = content | {"status": TrialStatus(content["status"])}
        return cls(**known)


@dataclass(frozen=True)
class Finding:
    """The state in which a trial's folder is found. status: done, diverged, failed, missing or damaged.

    problem: the damage, or the last line of the failure's traceback. digest: the sha256 of record.json; "" without a record.
    """

    status: TrialStatus
    record: Record | None = None
    problem: str = ""
    digest: str = ""


def history_columns(history: Sequence[HistoryRow]) -> tuple[str, ...]:
    """`columns.HISTORY`, and what else these rows have."""
    others = (name for row in history for name in row if name != EPOCH_S)  # which is of the timing
    return tuple(dict.fromkeys((*columns.HISTORY, *others)))


def history_to_csv(history: Sequence[HistoryRow]) -> bytes:
    """The bytes of history.csv, its numbers exact to the last bit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = history_columns(history)
    writer.writerow(names)
    for row in history:
        numbers = [row.get(name, math.nan) for name in names[1:]]
        writer.writerow([int(row["epoch"]), *("" if math.isnan(value) else repr(float(value)) for value in numbers)])
    return text.getvalue().encode()


def read_history(path: Path) -> pd.DataFrame:
    """history.csv as a table with all of `columns.HISTORY`, one that did not exist when it was written empty, and with what
    else it has.

    Raises DamagedFileError, also if there is none, or StoreError if it cannot be read.
    """
    table = _read_columns(path, columns.HISTORY, rest={}).drop(columns=EPOCH_S, errors="ignore")
    if table["epoch"].tolist() != [*range(len(table))]:
        raise DamagedFileError(f"{path}: its epochs are not those from 0 on.")
    return table


def read_epoch_seconds(path: Path) -> list[float]:
    """The seconds of each epoch from 1 on, from the history.csv of a record of version 1. Raises like `read_history`."""
    table = _read_columns(path, ("epoch", EPOCH_S))
    return table[EPOCH_S][table["epoch"] > 0].tolist()


def _read_columns(path: Path, names: Sequence[str], rest: Mapping[str, Any] | None = None) -> pd.DataFrame:
    types = dict.fromkeys(names, "float64") | {"epoch": "int64"}
    try:
        table = read_text_table(path, types, needed=("epoch",), rest=rest)
        return table.astype(dict.fromkeys(table.columns[1:], "float64"))
    except (FileNotFoundError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise DamagedFileError(f"{path}: cannot be read ({error}).") from None
