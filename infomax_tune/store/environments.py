"""The environments that a sweep's trials were trained in: the latest in environment.json, each one in environments/."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infomax_tune.errors import DamagedFileError
from infomax_tune.store.files import MAX_TEXT, exists, make_folder, matching, read_bytes, read_json, write_json
from infomax_tune.store.formats import ENVIRONMENT

LATEST = "environment.json"
USED = "environments"
_FINGERPRINT = re.compile(r"[0-9a-f]{8}")


class Environments:
    """The environments of the sweep in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write_latest(self, environment: Mapping[str, Any]) -> None:
        """Writes environment.json: where and how the sweep was last trained."""
        write_json(self._root / LATEST, ENVIRONMENT, environment)

    def complete_latest(self, environment: Mapping[str, Any]) -> None:
        """Adds to environment.json what is missing there. One that is lost or damaged is left for `resume` to see to."""
        with contextlib.suppress(DamagedFileError):
            latest = read_json(self._root / LATEST, ENVIRONMENT)
            if latest is not None and not environment.keys() <= latest.keys():
                self.write_latest({**environment, **latest})

    def begun_by(self) -> str | None:
        """The command that started the sweep, if environment.json has it."""
        with contextlib.suppress(DamagedFileError):
            return (read_json(self._root / LATEST, ENVIRONMENT) or {}).get("command")
        return None

    def latest_as_written(self) -> dict[str, Any] | None:
        """All of environment.json, version and checksum included, unchecked; None if there is none.

        For readers who only show it. Raises StoreError or ValueError if it cannot be read.
        """
        path = self._root / LATEST
        try:
            content = json.loads(read_bytes(path, MAX_TEXT))
        except FileNotFoundError:
            return None
        except RecursionError as error:
            raise ValueError(str(error)) from None
        return content if isinstance(content, dict) else {}

    def note_used(self, environment: Mapping[str, Any], fingerprint: str) -> None:
        """Writes environments/<fingerprint>.json, which timings.csv names, unless it is there."""
        path = self._root / USED / f"{fingerprint}.json"
        if not exists(path):
            make_folder(path.parent)
            write_json(path, ENVIRONMENT, environment)

    def has_latest(self) -> bool:
        return exists(self._root / LATEST)

    def read_used(self) -> dict[str, dict[str, Any]]:
        """Every environment in which trials of this sweep were trained, by fingerprint. Raises DamagedFileError."""
        return {path.stem: read_json(path, ENVIRONMENT) or {} for path in self._used()}

    def damage(self) -> dict[Path, str]:
        """The damaged files among these, each with what is wrong with it."""
        problems: dict[Path, str] = {}
        for path in (self._root / LATEST, *self._used()):
            try:
                read_json(path, ENVIRONMENT)
            except DamagedFileError as error:
                problems[path] = str(error)
        return problems

    def _used(self) -> list[Path]:
        return [path for path in matching(self._root / USED, "*.json") if _FINGERPRINT.fullmatch(path.stem)]
