"""The status of a sweep from its folder: the trials of each cell by status, and what a running driver reports. No Ray."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infomax_tune.follow.progress import SweepState
from infomax_tune.store.driver_notes import BEAT_S
from infomax_tune.store.locks import is_locked
from infomax_tune.store.record import Finding
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.plan import Plan
from infomax_tune.study.trial_status import IN_FOLDER, TrialStatus

_PATIENCE_S, _LOOK_S = BEAT_S + 2.0, 0.2
"""Seconds in which a running driver reports again, and between two looks."""

_UNFINISHED = {TrialStatus.MISSING: TrialStatus.LEFT, TrialStatus.FAILED: TrialStatus.FAILED}
"""The status shown for a trial without a record, unless it is running."""


@dataclass(frozen=True)
class FolderStatus:
    """The status of a sweep. cells: trials by status, per cell; problems: a trial's damage or failure, by its id.

    driver: the progress that its driver reports; None if no driver is running. labels: a readable name for each cell.
    cut_off: whether the last driver was ended before it could say so: killed, or with its machine.
    """

    cells: dict[str, Counter[TrialStatus]]
    problems: dict[str, str]
    driver: SweepState | None
    labels: dict[str, str]
    cut_off: bool = False

    @property
    def counts(self) -> Counter[TrialStatus]:
        return sum(self.cells.values(), Counter())

    @property
    def damaged(self) -> bool:
        """Whether any trial's record is damaged."""
        return self.counts[TrialStatus.DAMAGED] > 0

    def as_dict(self) -> dict[str, Any]:
        """For scripts: `counts` and `cells` hold every one of `trial_status.IN_FOLDER`."""

        def full(counts: Counter[TrialStatus]) -> dict[str, int]:
            return {status.value: counts[status] for status in IN_FOLDER}

        return {
            "total": self.counts.total(),
            "counts": full(self.counts),
            "cells": {cell: full(counts) for cell, counts in self.cells.items()},
            "problems": self.problems,
            "driver": self.driver.as_dict() if self.driver else None,
        }

    def lines(self, *, full: bool = False) -> list[str]:
        """For people: a table of the cells, its last line for all of them, and the problems.

        full: include all-zero columns, and use the cells' names as in files and tables.
        """
        counts = self.counts
        columns = [status for status in IN_FOLDER if full or counts[status] or status == TrialStatus.DONE]
        rows = {cell if full else self.labels[cell]: by_status for cell, by_status in self.cells.items()}
        width = max(map(len, rows))
        lines = [f"{'cell':{width}}" + "".join(f"{status.value:>10}" for status in columns)]
        lines += [
            f"{name:{width}}" + "".join(f"{by_status[status]:>10}" for status in columns)
            for name, by_status in [*rows.items(), ("all", counts)]
        ]
        return [*lines, *(f"{trial_id}: {problem}" for trial_id, problem in self.problems.items())]


class StatusReader:
    """Reads the status of a folder at each call; does not reread records it has already checked."""

    def __init__(self, folder: SweepFolder, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._ended: dict[str, Finding] = {}
        self._labels = plan.cell_labels()

    def __call__(self) -> FolderStatus:
        driver = read_driver(self._folder)
        running = {(pack.cell, seed) for pack in driver.packs for seed in pack.seeds} if driver else set()
        cells: dict[str, Counter[TrialStatus]] = {}
        problems: dict[str, str] = {}
        found = self._folder.find(trial for trial in self._plan if trial.trial_id not in self._ended)
        self._ended |= {trial_id: finding for trial_id, finding in found.items() if finding.record}
        for trial in self._plan:
            finding = self._ended.get(trial.trial_id) or found[trial.trial_id]
            status = finding.status
            if status in _UNFINISHED:
                is_running = (trial.cell, trial.training.seed) in running
                status = TrialStatus.RUNNING if is_running else _UNFINISHED[status]
            cells.setdefault(trial.cell, Counter())[status] += 1
            if finding.problem:
                problems[trial.trial_id] = f"{finding.status}: {finding.problem}"
        cut_off = driver is None and self._folder.driver.read_progress() is not None
        return FolderStatus(cells, problems, driver, self._labels, cut_off)


def read_run(folder: TrialFolder) -> FolderStatus | None:
    """The status of a trial that is not part of a sweep; None if the folder holds none that can be read."""
    config = folder.read_config()
    if config is None:
        return None
    finding = folder.find(config)
    status = finding.status
    if status in _UNFINISHED:
        status = TrialStatus.RUNNING if is_locked(folder.path) else _UNFINISHED[status]
    problems = {config.trial_id: f"{finding.status}: {finding.problem}"} if finding.problem else {}
    return FolderStatus({config.cell: Counter([status])}, problems, None, Plan([config]).cell_labels())


def read_driver(folder: SweepFolder) -> SweepState | None:
    """What the driver running in the folder last reported; None if none is running.

    If only its machine's clock speaks against a driver, waits for its next report, up to a few seconds.
    """
    state = _last_report(folder)
    if state is None or state.is_alive():
        return state
    until = time.monotonic() + _PATIENCE_S
    while state.may_be_alive() and time.monotonic() < until:
        time.sleep(_LOOK_S)
        later = _last_report(folder)
        if later is None or later.updated != state.updated:
            return later
    return None


def _last_report(folder: SweepFolder) -> SweepState | None:
    content = folder.driver.read_progress()
    if content is None:
        return None
    try:
        return SweepState.from_dict(content)
    except (KeyError, ValueError):  # written by another version
        return None


def watch(read: StatusReader, every_s: float) -> Iterator[FolderStatus]:
    """Yields the status repeatedly, until no driver is running."""
    while True:
        status = read()
        yield status
        if status.driver is None:
            return
        time.sleep(every_s)
