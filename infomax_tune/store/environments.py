"""Where and how the trials of a sweep were trained: environment.json, and environments/ with each that was used."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infomax_tune.errors import DamagedFileError
from infomax_tune.store.files import read_json, write_json
from infomax_tune.store.formats import ENVIRONMENT

LATEST = "environment.json"
USED = "environments"


class Environments:
    """The environments of the sweep in a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write_latest(self, environment: Mapping[str, Any]) -> None:
        """Leaves environment.json: where and how the sweep was last run."""
        write_json(self._root / LATEST, ENVIRONMENT, environment)

    def begun_by(self) -> str | None:
        """The command that began the sweep, if environment.json tells."""
        with contextlib.suppress(DamagedFileError):
            return (read_json(self._root / LATEST, ENVIRONMENT) or {}).get("command")
        return None

    def note_used(self, environment: Mapping[str, Any], fingerprint: str) -> None:
        """Leaves environments/<fingerprint>.json, which timings.csv names, unless it is there."""
        path = self._root / USED / f"{fingerprint}.json"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            write_json(path, ENVIRONMENT, environment)

    def read_used(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Every environment that trials of this sweep were trained in, and what was damaged and is set aside."""
        found: list[dict[str, Any]] = []
        problems: list[str] = []
        for path in sorted((self._root / USED).glob("*.json")):
            try:
                found.append(read_json(path, ENVIRONMENT) or {})
            except DamagedFileError as error:
                path.rename(path.with_name(f"{path.name}.damaged"))
                problems.append(str(error))
        return found, problems

    def damage(self) -> list[str]:
        """What cannot be believed of all these files."""
        problems: list[str] = []
        for path in (self._root / LATEST, *sorted((self._root / USED).glob("*.json"))):
            try:
                read_json(path, ENVIRONMENT)
            except DamagedFileError as error:
                problems.append(str(error))
        return problems
