"""What an output folder says of its sweep: the trials of each cell by status, and what a driver at work tells. No Ray."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infomax_tune.follow.tally import SweepState
from infomax_tune.store.sweep_folder import Finding, SweepFolder
from infomax_tune.study.space import SearchSpace

STATUSES = ("done", "diverged", "failed", "damaged", "running", "left")
"""What a trial can be. running: in a pack under way now; left: none of the others."""


@dataclass(frozen=True)
class Status:
    """cells: trials by status, per cell; problems: the damage or failure of a trial, by its id.

    driver: where the sweep stands by its own account; None if none is at work.
    """

    cells: dict[str, Counter[str]]
    problems: dict[str, str]
    driver: SweepState | None

    @property
    def counts(self) -> Counter[str]:
        return sum(self.cells.values(), Counter())

    def as_dict(self) -> dict[str, Any]:
        """For scripts: `counts` and `cells` hold every one of `STATUSES`."""

        def full(counts: Counter[str]) -> dict[str, int]:
            return {name: counts[name] for name in STATUSES}

        return {
            "total": self.counts.total(),
            "counts": full(self.counts),
            "cells": {cell: full(counts) for cell, counts in self.cells.items()},
            "problems": self.problems,
            "driver": self.driver.as_dict() if self.driver else None,
        }

    def lines(self) -> list[str]:
        """For people: a table, the problems, and where the sweep stands."""
        width = max(map(len, self.cells))
        lines = [f"{'cell':{width}}" + "".join(f"{name:>10}" for name in STATUSES)]
        lines += [self._line(cell, counts) for cell, counts in self.cells.items()]
        return [*lines, self.total_line(), *(f"{trial_id}: {problem}" for trial_id, problem in self.problems.items())]

    def total_line(self) -> str:
        """The counts of all cells together, as `lines` has them."""
        return self._line("all", self.counts)

    def _line(self, name: str, counts: Counter[str]) -> str:
        width = max(map(len, self.cells))
        return f"{name:{width}}" + "".join(f"{counts[status]:>10}" for status in STATUSES)


class Look:
    """Looks at a folder again and again; a record that was checked once is not read anew."""

    def __init__(self, store: SweepFolder, space: SearchSpace) -> None:
        self._store = store
        self._trials = space.trials()
        self._ended: dict[str, Finding] = {}

    def __call__(self) -> Status:
        driver = read_driver(self._store)
        running = {(pack.cell, seed) for pack in driver.packs for seed in pack.seeds} if driver else set()
        cells: dict[str, Counter[str]] = {}
        problems: dict[str, str] = {}
        for trial in self._trials:
            finding = self._ended.get(trial.trial_id) or self._store.trial(trial.trial_id).find(trial.trial_id)
            if finding.record:
                self._ended[trial.trial_id] = finding
            status = finding.status
            if status in ("missing", "failed") and (trial.cell, trial.training.seed) in running:
                status = "running"
            cells.setdefault(trial.cell, Counter())["left" if status == "missing" else status] += 1
            if finding.problem:
                problems[trial.trial_id] = f"{finding.status}: {finding.problem}"
        return Status(cells, problems, driver)


def read_driver(store: SweepFolder) -> SweepState | None:
    """What the driver at work in the folder last told; None if there is none."""
    content = store.read_progress()
    if content is None:
        return None
    try:
        state = SweepState.from_dict(content)
    except (KeyError, TypeError, AttributeError):  # of another version
        return None
    return state if state.is_alive() else None


def watch(look: Look, every_s: float) -> Iterator[Status]:
    """Looks until no driver is at work any more."""
    while True:
        status = look()
        yield status
        if status.driver is None:
            return
        time.sleep(every_s)
