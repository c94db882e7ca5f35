"""The kinds of file in an output folder, each with its own version number and a reader for each version.

To change a format: give it the next version here, with a reader in place of the last `as_it_is` that turns that
version's content into the new one's, and write the new one where this kind of file is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infomax_tune.errors import DamagedFileError, NewerVersionError

Content = dict[str, Any]
Reader = Callable[[Content], Content]
"""Turns the content of a file of one version into that of the next version."""


def as_it_is(content: Content) -> Content:
    """The reader of the newest version."""
    return content


@dataclass(frozen=True)
class Format:
    """One kind of file. A new version gets the next number; the readers of earlier versions are never removed.

    readers: one for each version ever written. In a file, the version is under the key `schema`.
    """

    name: str
    readers: Mapping[int, Reader] = field(default_factory=lambda: {1: as_it_is})

    @property
    def version(self) -> int:
        """The version that is written now."""
        return max(self.readers)

    def read(self, content: Content, path: Path) -> Content:
        """The content of a file of this kind, as the newest version would hold it.

        Raises NewerVersionError if a newer infomax-tune wrote it (it is not damaged and must be left alone), else
        DamagedFileError if its version is unknown.
        """
        version = content.get("schema")
        if isinstance(version, int) and version > self.version:
            raise NewerVersionError(
                f"{path}: written by a newer infomax-tune ({self.name} version {version}; this one knows {self.version}); "
                "upgrade to continue."
            )
        if not isinstance(version, int) or version not in self.readers:
            raise DamagedFileError(f"{path}: infomax-tune did not write this {self.name} (version {version!r}).")
        for each in range(version, self.version + 1):
            content = self.readers[each](content)
        return content


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


SWEEP = Format("sweep file", {1: _sweep_1, 2: as_it_is})
RECORD = Format("record", {1: as_it_is, 2: as_it_is})
"""Version 1 had the epochs' seconds in its history.csv: see `TrialFolder.epoch_seconds`."""
CHECKPOINT = Format("checkpoint", {1: _checkpoint_1, 2: as_it_is})
FAILURE = Format("failure")
ENVIRONMENT = Format("environment")
PROGRESS = Format("progress")
DRIVER = Format("driver's id")
TRACKER_NOTE = Format("tracker's note")
TABLES_NOTE = Format("note on the tables")
REPORT_NOTE = Format("note on the report")
