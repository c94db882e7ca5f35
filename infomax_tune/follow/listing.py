"""The sweeps and runs under a folder: state, progress, last change and size of each."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infomax_tune.errors import InfomaxTuneError, StoreError
from infomax_tune.follow.folder_status import read_driver, read_run
from infomax_tune.store.objects import is_object
from infomax_tune.store.outputs import find_outputs, size_and_time
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.trial_status import TrialStatus


@dataclass(frozen=True)
class Listed:
    """One sweep or run. out: its folder. kind: sweep or run. state: running, finished, unfinished or damaged.

    trials, ended: how many trials it has, and how many of them have a record. changed: local time when its latest file was
    written. size: in bytes.
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
    """Every sweep and run in `root` or below. Raises StoreError if the folder does not exist or is in an object store."""
    if is_object(root):
        raise StoreError(
            f"{root}: only folders on a disk can be listed; `status` shows a single sweep in an object store."
        )
    if not root.is_dir():
        raise StoreError(f"{root}: not a folder; give a folder that contains sweeps or runs.")
    return [_sweep(output) if isinstance(output, SweepFolder) else _run(output) for output in find_outputs(root)]


def _sweep(folder: SweepFolder) -> Listed:
    try:
        plan = folder.read_space().plan()
    except InfomaxTuneError:
        return _listed(folder.root, "sweep", "damaged", 0, 0)
    ended = sum(folder.trial(config.trial_id).has_record() for config in plan)
    state = "finished" if ended == len(plan) else "unfinished"
    if read_driver(folder):
        state = "running"
    return _listed(folder.root, "sweep", state, ended, len(plan))


def _run(folder: TrialFolder) -> Listed:
    status = read_run(folder)
    if status is None or status.damaged:
        return _listed(folder.path, "run", "damaged", 0, 1)
    state = "unfinished"
    if folder.has_record():
        state = "finished"
    elif status.counts[TrialStatus.RUNNING]:
        state = "running"
    return _listed(folder.path, "run", state, int(state == "finished"), 1)


def _listed(root: Path, kind: str, state: str, ended: int, trials: int) -> Listed:
    size, changed = size_and_time(root)
    return Listed(str(root), kind, state, ended, trials, datetime.datetime.fromtimestamp(changed), size)


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
            _size(each.size),
        )
        for each in listed
    ]


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"
