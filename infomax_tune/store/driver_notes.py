"""What a sweep's driver tells other processes through its folder: progress for `status`, a stop request for its workers."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infomax_tune.errors import StoreError
from infomax_tune.store.files import read_json, write_atomically, write_json
from infomax_tune.store.formats import PROGRESS as PROGRESS_FORMAT

PROGRESS = "progress.json"
STOP = "stop"


class DriverNotes:
    """The notes of the driver that works in a folder."""

    def __init__(self, root: Path) -> None:
        self._progress = root / PROGRESS
        self._stop = root / STOP

    def write_progress(self, content: Mapping[str, Any]) -> None:
        """Writes progress.json for `status` in another terminal. Does nothing if it cannot be written."""
        with contextlib.suppress(StoreError):
            write_json(self._progress, PROGRESS_FORMAT, content, durably=False)

    def read_progress(self) -> dict[str, Any] | None:
        """The progress that the driver last wrote; None if there is none, or it cannot be read."""
        with contextlib.suppress(StoreError):
            return read_json(self._progress, PROGRESS_FORMAT)
        return None

    def clear_progress(self) -> None:
        self._progress.unlink(missing_ok=True)

    def ask_to_stop(self) -> None:
        """Asks the workers, on whatever machine, to finish their epochs, leave checkpoints and stop."""
        write_atomically(self._stop, b"")

    def stop_asked(self) -> bool:
        return self._stop.exists()

    def clear_stop(self) -> None:
        self._stop.unlink(missing_ok=True)
