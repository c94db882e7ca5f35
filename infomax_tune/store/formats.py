"""The kinds of file in an output folder, each with its own version number, a reader for each version, and its content.

Whatever is read back is checked here: a checksum says that a file is as it was written, not that infomax-tune wrote it.
To change a format: give it the next version here, with a reader in place of the last `as_it_is` that turns that
version's content into the new one's, and write the new one where this kind of file is written.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from infomax_tune.errors import DamagedFileError, NewerVersionError
from infomax_tune.study.config import MAX_EPOCHS, Nested, Scalar

Content = dict[str, Any]
Reader = Callable[[Content], Content]
"""Turns the content of a file of one version into that of the next version."""


def as_it_is(content: Content) -> Content:
    """The reader of the newest version."""
    return content


@dataclass(frozen=True)
class Format:
    """One kind of file. A new version gets the next number; the readers of earlier versions are never removed.

    readers: one for each version ever written. In a file, the version is under the key `schema`. content: the type of what
    is in a file of the newest version.
    """

    name: str
    readers: Mapping[int, Reader] = field(default_factory=lambda: {1: as_it_is})
    content: Any = Content

    @functools.cached_property
    def _checked(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.content)

    @property
    def version(self) -> int:
        """The version that is written now."""
        return max(self.readers)

    def read(self, content: Content, path: Path) -> Content:
        """The content of a file of this kind, as the newest version would hold it.

        Raises NewerVersionError if a newer infomax-tune wrote it (it is not damaged and must be left alone), else
        DamagedFileError if its version is unknown, or it has another content.
        """
        version = content.get("schema")
        if isinstance(version, int) and version > self.version:
            raise NewerVersionError(
                f"{path}: written by a newer infomax-tune ({self.name} version {version}; this one knows {self.version}); "
                "upgrade to continue."
            )
        if not isinstance(version, int) or version not in self.readers:
            raise DamagedFileError(f"{path}: infomax-tune did not write this {self.name} (version {version!r}).")
        try:
            for each in range(version, self.version + 1):
                content = self.readers[each](content)
            return self._checked.validate_python(content)
        except ValidationError as error:
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:100]}"
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            problem = repr(error)
        raise DamagedFileError(f"{path}: infomax-tune did not write this {self.name} ({problem}).")


def _checkpoint_1(content: Content) -> Content:
    """Version 1 had the epochs' seconds as a column of its history."""
    names, history = list(content["columns"]), content["tensors"]["history"]
    place = names.index("epoch_s")
    trained = history[:, names.index("epoch")] > 0
    return content | {
        "columns": [name for name in names if name != "epoch_s"],
        "tensors": content["tensors"] | {"history": np.delete(history, place, axis=1)},
        "timing": content["timing"] | {"epoch_s": history[trained, place].tolist()},
    }


def _sweep_1(content: Content) -> Content:
    """In version 1 the ids of all sweeps had 8 hex digits of their hash."""
    return content | {"id_digits": 8}


_Epoch = Annotated[int, Field(ge=0, le=MAX_EPOCHS)]
_Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float that JSON holds as null if it is NaN."""


def _with_history(files: dict[str, str]) -> dict[str, str]:
    if "history.csv" not in files:
        raise ValueError("a record has a history")
    return files


def _of_the_same_units(units: dict[str, list[float]]) -> dict[str, list[float]]:
    if len({len(values) for values in units.values()}) > 1:
        raise ValueError("they are of different numbers of units")
    return units


class _Timing(TypedDict, total=False):
    """In seconds, and how it was trained. epoch_s: of each epoch trained, from epoch 1 on."""

    __pydantic_config__ = ConfigDict(extra="allow", allow_inf_nan=False)  # pyright: ignore[reportGeneralTypeIssues]

    train_s: float
    evaluate_s: float
    store_s: float
    tensorboard_s: float
    epoch_s: list[float]
    epochs_trained: int
    pack_size: int
    device: str
    threads: Annotated[int, Field(ge=1, le=2**16)]
    host: str
    environment: str
    finished: str


class _OfTrial(TypedDict):
    """What a record and a checkpoint have in common. See `Record`."""

    trial_id: Annotated[str, Field(pattern=r"^\w+-k\d+-s\d+-[0-9a-f]+$")]
    epoch: _Epoch
    config: NotRequired[Nested]
    timing: _Timing
    data: NotRequired[str]
    arithmetic: NotRequired[int]


class _Record(_OfTrial):
    status: Literal["done", "diverged"]
    result: dict[str, _Number]
    units: NotRequired[Annotated[dict[str, list[_Number]], AfterValidator(_of_the_same_units)]]
    files: Annotated[dict[Literal["history.csv", "weights.safetensors"], str], AfterValidator(_with_history)]


class _Checkpoint(_OfTrial):
    """columns: the names of the history's columns. tensors: the history, and the state's tensors as `state.<name>`."""

    columns: list[str]
    tensors: Any


class _Sweep(TypedDict):
    name: str
    description: str
    base: Nested
    axes: dict[str, Annotated[list[Scalar], Field(min_length=1)]]
    id_digits: Annotated[int, Field(ge=1, le=64)]


class _Failure(TypedDict):
    error: str
    epoch: int
    cause: NotRequired[list[str]]


class _TrackerNote(TypedDict):
    record: str | None
    run: NotRequired[str | None]
    whole: NotRequired[bool]


class _TablesNote(TypedDict):
    files: dict[str, str]
    records: str


class _ReportNote(TypedDict):
    made_of: dict[str, str | None]
    report: str | None
    finding: NotRequired[str]


SWEEP = Format("sweep file", {1: _sweep_1, 2: as_it_is}, _Sweep)
RECORD = Format("record", {1: as_it_is, 2: as_it_is}, _Record)
"""Version 1 had the epochs' seconds in its history.csv: see `TrialFolder.epoch_seconds`."""
CHECKPOINT = Format("checkpoint", {1: _checkpoint_1, 2: as_it_is}, _Checkpoint)
FAILURE = Format("failure", content=_Failure)
ENVIRONMENT = Format("environment", content=dict[str, Scalar | dict[str, str | dict[str, str]]])
PROGRESS = Format("progress")
DRIVER = Format("driver's id")
TRACKER_NOTE = Format("tracker's note", content=_TrackerNote)
TABLES_NOTE = Format("note on the tables", content=_TablesNote)
REPORT_NOTE = Format("note on the report", content=_ReportNote)
