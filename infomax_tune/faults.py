"""A point where the kill tests can end this process for real. Does nothing unless $INFOMAX_TUNE_FAULT is set."""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "INFOMAX_TUNE_FAULT"

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """SIGKILLs this process when it passes the point `name` for the n-th time, as $INFOMAX_TUNE_FAULT=name:n asks."""
    wanted, _, count = os.environ.get(VARIABLE, "").rpartition(":")
    if wanted != name:
        return
    _passed[name] += 1
    if _passed[name] == int(count):
        os.kill(os.getpid(), signal.SIGKILL)
