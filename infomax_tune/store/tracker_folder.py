"""A tracker's folder within a sweep's: the files that the tracker keeps here, and a note on each trial it was given."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from infomax_tune.errors import StoreError
from infomax_tune.store import formats
from infomax_tune.store.files import make_folder, read_json, write_json


class TrackerFolder:
    """The folder of one tracker. It may be deleted: all trials are then logged again."""

    def __init__(self, path: Path, files: Path | None = None) -> None:
        self.path = path
        self._files = files or path

    def files_of(self, trial_id: str) -> Path:
        """The folder for the tracker's own files on a trial: on this machine, wherever the notes are."""
        return self._files / trial_id

    def note(self, trial_id: str, record: str | None, *, run: str | None = None, whole: bool = True) -> None:
        """Notes that the tracker has the trial. record: its record's sha256; run: the tracker's name for it; whole: False if
        the run was only begun."""
        path = self._note(trial_id)
        make_folder(path.parent)
        write_json(path, formats.TRACKER_NOTE, {"record": record, "run": run, "whole": whole})

    def has(self, trial_id: str, record: str | None) -> bool:
        """Whether the trial was noted as whole, with this record; False if the note is damaged."""
        noted = self._read(trial_id)
        return record is not None and noted.get("whole", False) and noted["record"] == record

    def unfinished_run(self, trial_id: str) -> str | None:
        """The run that was started but not finished; None if there is none."""
        noted = self._read(trial_id)
        return None if noted.get("whole") else noted.get("run")

    def _read(self, trial_id: str) -> dict[str, Any]:
        with contextlib.suppress(StoreError):  # damaged, or it cannot be read
            return read_json(self._note(trial_id), formats.TRACKER_NOTE) or {}
        return {}

    def _note(self, trial_id: str) -> Path:
        return self.path / "given" / f"{trial_id}.json"
