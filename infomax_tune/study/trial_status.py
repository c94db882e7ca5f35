"""Every status a trial can have, and which of them tables and displays show."""

from __future__ import annotations

from enum import Enum


class TrialStatus(str, Enum):
    """The status of a trial. Each is equal to its text, which is what files and tables hold."""

    DONE = "done"
    """Trained to its last epoch."""
    DIVERGED = "diverged"
    """Its loss or its weights stopped being finite; that is its result."""
    FAILED = "failed"
    """It raised, or its worker died; resuming the sweep retries it."""
    DAMAGED = "damaged"
    """Its record is damaged; resuming the sweep trains it again."""
    RUNNING = "running"
    """In a pack that is being trained now."""
    LEFT = "left"
    """Not started, or not finished: what progress and `status` call a trial that is still to be trained."""
    MISSING = "missing"
    """It has no record: the status of such a trial in a results table."""

    def __str__(self) -> str:
        return self.value

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to train."""
        return self in ENDED


ENDED = (TrialStatus.DONE, TrialStatus.DIVERGED)
"""The statuses of a trial that has its record."""

IN_TABLES = (*ENDED, TrialStatus.FAILED, TrialStatus.MISSING)
"""The statuses a results table can hold."""

IN_PROGRESS = (*ENDED, TrialStatus.FAILED, TrialStatus.RUNNING, TrialStatus.LEFT)
"""The statuses that a running sweep counts."""

IN_FOLDER = (*ENDED, TrialStatus.FAILED, TrialStatus.DAMAGED, TrialStatus.RUNNING, TrialStatus.LEFT)
"""The statuses that `status` counts in an output folder."""
