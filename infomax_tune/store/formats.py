"""The kinds of file that an output folder holds, each with a version of its own and a reader for each version.

To change a format: give it the next version here, with a reader that turns what the version before held into what the
new one holds, and write the new one where the kind is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infomax_tune.errors import DamagedFileError, StoreError

Content = dict[str, Any]
Reader = Callable[[Content], Content]
"""Turns what a file of one version holds into what a file of the newest would hold."""


def as_it_is(content: Content) -> Content:
    """The reader of the newest version."""
    return content


@dataclass(frozen=True)
class Format:
    """One kind of file. A new version gets the next number; the readers of the earlier ones stay, for good.

    readers: for each version ever written. In a file, the version stands under the key `schema`.
    """

    name: str
    readers: Mapping[int, Reader] = field(default_factory=lambda: {1: as_it_is})

    @property
    def version(self) -> int:
        """The one that is written now."""
        return max(self.readers)

    def read(self, content: Content, path: Path) -> Content:
        """What a file of this kind holds, whatever its version.

        Raises StoreError if a newer infomax-tune wrote it: it is not damaged, and must be left as it is.
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
