"""The checkpoint of an unfinished trial, and its file format.

A safetensors file: the state's tensors as `state.<name>`, the history as one float64 matrix, and in the metadata
a JSON text about them and a checksum over everything.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from infomax_tune.errors import DamagedFileError
from infomax_tune.store import formats
from infomax_tune.store.record import HistoryRow, history_columns


@dataclass(frozen=True)
class Checkpoint:
    """An unfinished trial: its last epoch, the tensors that training needs to resume, and its history so far.

    config: empty if an older version did not save it. data, arithmetic: as in a `Record`.
    """

    trial_id: str
    epoch: int
    tensors: dict[str, NDArray[np.float32]]
    history: list[HistoryRow]
    timing: dict[str, Any]
    config: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    arithmetic: int = 1


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as the bytes of its file."""
    names = history_columns(checkpoint.history)
    history = np.array([[row.get(name, math.nan) for name in names] for row in checkpoint.history], dtype=np.float64)
    tensors = {**{f"state.{name}": value for name, value in checkpoint.tensors.items()}, "history": history}
    about = {
        "schema": formats.CHECKPOINT.version,
        "trial_id": checkpoint.trial_id,
        "epoch": checkpoint.epoch,
        "timing": checkpoint.timing,
        "columns": names,
        "config": checkpoint.config,
        "data": checkpoint.data,
        "arithmetic": checkpoint.arithmetic,
    }
    text = json.dumps(about, sort_keys=True)
    return safetensors.numpy.save(tensors, {"about": text, "sha256": _digest(tensors, text)})


def from_bytes(data: bytes, path: Path) -> Checkpoint:
    """The checkpoint in a file of any version. Its reader in `formats` gets the parsed JSON text, with `tensors` added.

    path: names the file in messages. Raises DamagedFileError, or StoreError if a newer infomax-tune wrote it.
    """
    try:
        tensors = safetensors.numpy.load(data)
        metadata = _metadata(data)
        if metadata["sha256"] != _digest(tensors, metadata["about"]):
            raise ValueError("its checksum is wrong")
        parsed = json.loads(metadata["about"], parse_constant=_finite, parse_float=_finite)
        about = formats.CHECKPOINT.read({**parsed, "tensors": tensors}, path)
        tensors, names = about.pop("tensors"), about.pop("columns")
        history = [dict(zip(names, row, strict=True)) for row in tensors.pop("history").tolist()]
        if [row["epoch"] for row in history] != [*range(len(history))]:
            raise ValueError("its history is not that of the epochs from 0 on")
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFileError(f"{path}: damaged ({error}).") from None
    state = {name.removeprefix("state."): value for name, value in tensors.items()}
    return Checkpoint(tensors=state, history=history, **about)


def _finite(number: str) -> float:
    if not math.isfinite(float(number)):
        raise ValueError(f"it has {number} among its numbers")
    return float(number)


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file. Parsed here because the library reads it only from a path: the file begins with
    the length of a JSON header, then the header."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"]


def _digest(tensors: Mapping[str, NDArray[Any]], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()
