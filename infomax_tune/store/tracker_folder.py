"""The folder of a tracker in a sweep's folder: the files it keeps here, and a note of each trial that it was given."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from infomax_tune.errors import DamagedFileError
from infomax_tune.store import formats
from infomax_tune.store.files import read_json, write_json


class TrackerFolder:
    """The folder of one tracker. May be deleted: the tracker is then given all trials again."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def files_of(self, trial_id: str) -> Path:
        """Where the tracker's own files of a trial go."""
        return self.path / trial_id

    def note(self, trial_id: str, record: str | None, *, run: str | None = None, whole: bool = True) -> None:
        """Notes that the tracker has the trial, as the record of that sha256 tells it; not `whole`, that its run was begun."""
        path = self._note(trial_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, formats.TRACKER_NOTE, {"record": record, "run": run, "whole": whole})

    def has(self, trial_id: str, record: str | None) -> bool:
        """Whether it was noted whole, and of this record; not if the note is damaged."""
        noted = self._read(trial_id)
        return record is not None and noted.get("whole", False) and noted["record"] == record

    def unfinished_run(self, trial_id: str) -> str | None:
        """The run that a hand-over began which did not come to its end."""
        noted = self._read(trial_id)
        return None if noted.get("whole") else noted.get("run")

    def _read(self, trial_id: str) -> dict[str, Any]:
        with contextlib.suppress(DamagedFileError):
            return read_json(self._note(trial_id), formats.TRACKER_NOTE) or {}
        return {}

    def _note(self, trial_id: str) -> Path:
        return self.path / "given" / f"{trial_id}.json"
