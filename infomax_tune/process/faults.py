"""What the kill tests need inside a sweep: points at which to kill its processes, and a trace of what was trained.

Does nothing unless $INFOMAX_TUNE_FAULT or $INFOMAX_TUNE_TRACE is set.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

FAULT = "INFOMAX_TUNE_FAULT"
TRACE = "INFOMAX_TUNE_TRACE"

_passed: Counter[str] = Counter()


def point(name: str) -> None:
    """SIGKILLs this process when it passes the point `name` for the n-th time, if $INFOMAX_TUNE_FAULT is name:n."""
    wanted, _, count = os.environ.get(FAULT, "").rpartition(":")
    if wanted != name:
        return
    _passed[name] += 1
    if _passed[name] == int(count):
        os.kill(os.getpid(), signal.SIGKILL)


def trace(line: str) -> None:
    """Appends a line to the file that $INFOMAX_TUNE_TRACE names, in one write: several processes may trace at once."""
    if path := os.environ.get(TRACE):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, f"{line}\n".encode())
        finally:
            os.close(descriptor)
