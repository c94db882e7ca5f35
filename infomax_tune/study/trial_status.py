"""What can have become of a trial: one list, of which tables and displays show a part."""

from __future__ import annotations

from enum import Enum


class TrialStatus(str, Enum):
    """What has become of a trial. Equal to its text, which is what files and tables hold."""

    DONE = "done"
    """Trained to its last epoch."""
    DIVERGED = "diverged"
    """Its loss or its weights stopped being finite; that is its result."""
    FAILED = "failed"
    """It raised, or its worker died; the next run tries it again."""
    DAMAGED = "damaged"
    """It left a record that cannot be believed; the next run trains it again."""
    RUNNING = "running"
    """In a pack that is being trained now."""
    LEFT = "left"
    """Not begun, or begun and to be continued, as a sweep's progress counts it."""
    MISSING = "missing"
    """The same, as a table says it: there is no record."""

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
"""The statuses that an output folder shows."""
