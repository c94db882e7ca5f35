"""The sweeps and runs under a folder: state, progress, last change and size of each."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infomax_tune.errors import ConfigError, DamagedFileError, NewerVersionError, StoreError
from infomax_tune.follow.folder_status import read_driver, read_run
from infomax_tune.store.objects import is_object
from infomax_tune.store.outputs import find_outputs, size_and_time
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.trial_status import TrialStatus

_LATEST = datetime.datetime(9999, 1, 1, tzinfo=datetime.timezone.utc).timestamp()


@dataclass(frozen=True)
class Listed:
    """One sweep or run. out: its folder. kind: sweep or run, or folder for one that cannot be looked into.

    state: running, finished, unfinished, damaged, unreadable, or newer: a newer infomax-tune wrote it. trials, ended: how
    many trials it has, and how many of them have a record. changed: when its latest file was written, in local time with its
    offset. size: in bytes.
    """

    out: str
    kind: str
    state: str
    ended: int
    trials: int
    changed: datetime.datetime
    size: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data; the time as ISO text."""
        return {**asdict(self), "changed": self.changed.isoformat(timespec="seconds")}


def default_folder() -> Path:
    """The default folder for sweeps and runs; the current folder if that does not exist."""
    return Path("results") if Path("results").is_dir() else Path()


def list_outputs(root: Path) -> list[Listed]:
    """Every sweep and run in `root` or below. Raises StoreError if the folder does not exist."""
    if not is_object(root) and not root.is_dir():
        raise StoreError(f"{root}: not a folder; give a folder that contains sweeps or runs.")
    return [_listed(kind, path) for kind, path in find_outputs(root)]


def _listed(kind: str, path: Path) -> Listed:
    state, ended, trials = "unreadable", 0, int(kind == "run")
    try:
        if kind == "sweep":
            state, ended, trials = _sweep(SweepFolder(path))
        elif kind == "run":
            state = _run(TrialFolder(path))
            ended = int(state == "finished")
    except NewerVersionError:
        state = "newer"
    except (DamagedFileError, ConfigError):
        state = "damaged"
    except (StoreError, OSError):
        pass
    size, changed = size_and_time(path)
    when = datetime.datetime.fromtimestamp(min(changed, _LATEST)).astimezone()
    return Listed(str(path), kind, state, ended, trials, when, size)


def _sweep(folder: SweepFolder) -> tuple[str, int, int]:
    plan = folder.read_plan()
    ended = sum(folder.trial(config.trial_id).has_record() for config in plan)
    state = "finished" if ended == len(plan) else "unfinished"
    return "running" if read_driver(folder) else state, ended, len(plan)


def _run(folder: TrialFolder) -> str:
    status = read_run(folder)
    if status is None or status.damaged:
        return "damaged"
    if folder.has_record():
        return "finished"
    return "running" if status.counts[TrialStatus.RUNNING] else "unfinished"


HEADINGS = ("folder", "kind", "state", "last change", "trials", "size")


def rows(listed: Iterable[Listed]) -> list[tuple[str, ...]]:
    """For people: a row of text for each, under `HEADINGS`."""
    return [
        (
            each.out,
            each.kind,
            each.state,
            f"{each.changed:%Y-%m-%d %H:%M}",
            f"{each.ended}/{each.trials}",
            size(each.size),
        )
        for each in listed
    ]


def size(count: float) -> str:
    """Bytes in words, such as `3.25 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
