"""The status of a sweep from its folder: the trials of each cell by status, and what a driver at work reports. No Ray."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infomax_tune.follow.progress import SweepState
from infomax_tune.store.record import Finding
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.plan import Plan
from infomax_tune.study.trial_status import IN_FOLDER, TrialStatus

_UNFINISHED = {TrialStatus.MISSING: TrialStatus.LEFT, TrialStatus.FAILED: TrialStatus.FAILED}
"""The status shown for a trial without a record, unless it is running."""


@dataclass(frozen=True)
class FolderStatus:
    """The status of a sweep. cells: trials by status, per cell; problems: a trial's damage or failure, by its id.

    driver: where the sweep stands, as its driver reports it; None if none is at work.
    """

    cells: dict[str, Counter[TrialStatus]]
    problems: dict[str, str]
    driver: SweepState | None

    @property
    def counts(self) -> Counter[TrialStatus]:
        return sum(self.cells.values(), Counter())

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

    def lines(self) -> list[str]:
        """For people: a table of the cells, and the problems."""
        width = max(map(len, self.cells))
        lines = [f"{'cell':{width}}" + "".join(f"{status.value:>10}" for status in IN_FOLDER)]
        lines += [self._line(cell, counts) for cell, counts in self.cells.items()]
        return [*lines, self.total_line(), *(f"{trial_id}: {problem}" for trial_id, problem in self.problems.items())]

    def total_line(self) -> str:
        """The line with the counts of all cells together."""
        return self._line("all", self.counts)

    def _line(self, name: str, counts: Counter[TrialStatus]) -> str:
        width = max(map(len, self.cells))
        return f"{name:{width}}" + "".join(f"{counts[status]:>10}" for status in IN_FOLDER)


class StatusReader:
    """Reads the status of a folder each time it is called; a record that was checked once is not read again."""

    def __init__(self, folder: SweepFolder, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._ended: dict[str, Finding] = {}

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
        return FolderStatus(cells, problems, driver)


def read_driver(folder: SweepFolder) -> SweepState | None:
    """What the driver at work in the folder last reported; None if none is at work."""
    content = folder.driver.read_progress()
    if content is None:
        return None
    try:
        state = SweepState.from_dict(content)
    except (KeyError, TypeError, AttributeError):  # written by another version
        return None
    return state if state.is_alive() else None


def watch(read: StatusReader, every_s: float) -> Iterator[FolderStatus]:
    """Yields the status, again and again until no driver is at work any more."""
    while True:
        status = read()
        yield status
        if status.driver is None:
            return
        time.sleep(every_s)
