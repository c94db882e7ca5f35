"""The kinds of file in an output folder, each with its own version number and a reader for each version.

To change a format: give it the next version here, with readers that turn the content of earlier versions into that of
the new one, and write the new one where this kind of file is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infomax_tune.errors import DamagedFileError, StoreError

Content = dict[str, Any]
Reader = Callable[[Content], Content]
"""Turns the content of a file of one version into that of the newest version."""


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

        Raises StoreError if a newer infomax-tune wrote it (it is not damaged and must be left alone), else
        DamagedFileError if its version is unknown.
        """
        version = content.get("schema")
        if isinstance(version, int) and version > self.version:
            raise StoreError(
                f"{path}: written by a newer infomax-tune ({self.name} version {version}, this one knows {self.version}); "
                "upgrade to go on."
            )
        if not isinstance(version, int) or version not in self.readers:
            raise DamagedFileError(f"{path}: is no {self.name} that infomax-tune wrote (version {version!r}).")
        return self.readers[version](content)


SWEEP = Format("sweep file")
RECORD = Format("record")
CHECKPOINT = Format("checkpoint")
FAILURE = Format("failure")
ENVIRONMENT = Format("environment")
PROGRESS = Format("progress")
TRACKER_NOTE = Format("tracker's note")
