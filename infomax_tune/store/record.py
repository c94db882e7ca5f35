"""The record of a finished trial, its history, and the state found in a trial's folder."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from infomax_tune.errors import DamagedFileError
from infomax_tune.store.files import read_bytes
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

    units: what was measured of each unit, by name; a version before did not save it. files: the sha256 of each file that
    belongs to the record, by name. data: the digest of its dataset, "" if an older
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
    units: dict[str, list[float]] = field(default_factory=dict)

    @property
    def has_weights(self) -> bool:
        """Whether the trial's weights were saved."""
        return "weights.safetensors" in self.files

    def to_dict(self) -> dict[str, Any]:
        """The content of record.json."""
        result = {name: _or_none(value) for name, value in self.result.items()}
        units = {name: [_or_none(value) for value in values] for name, values in self.units.items()}
        return {**vars(self), "status": str(self.status), "result": result, "units": units}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Record:
        """The inverse of `to_dict`, of a content that `formats.RECORD` has read."""
        known: dict[str, Any] = content | {"status": TrialStatus(content["status"])}
        return cls(**known)


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


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
    numbers = _read_numbers(path)
    numbers.pop(EPOCH_S, None)
    epochs = np.arange(len(numbers["epoch"]))
    if not np.array_equal(numbers["epoch"], epochs):
        raise DamagedFileError(f"{path}: its epochs are not those from 0 on.")
    empty = dict.fromkeys(columns.HISTORY, np.full(len(epochs), np.nan))
    return pd.DataFrame(empty | numbers | {"epoch": epochs})


def read_epoch_seconds(path: Path) -> list[float]:
    """The seconds of each epoch from 1 on, from the history.csv of a record of version 1. Raises like `read_history`."""
    numbers = _read_numbers(path)
    if EPOCH_S not in numbers:
        raise DamagedFileError(f"{path}: cannot be read (no column {EPOCH_S}).")
    return numbers[EPOCH_S][numbers["epoch"] > 0].tolist()


def _read_numbers(path: Path) -> dict[str, NDArray[np.float64]]:
    """The columns of a history.csv, exact to the last bit."""
    try:
        names, *rows = csv.reader(io.StringIO(read_bytes(path).decode(), newline=""))
        if "epoch" not in names:
            raise ValueError("no column epoch")
        texts = zip(*rows, strict=True) if rows else [()] * len(names)
        return {
            name: np.array([float(text or "nan") for text in column]) for name, column in zip(names, texts, strict=True)
        }
    except (FileNotFoundError, ValueError, csv.Error) as error:
        raise DamagedFileError(f"{path}: cannot be read ({error}).") from None
