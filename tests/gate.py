"""Holds a sweep in the middle of an epoch, for as long as a test needs: no test waits for the right moment of a fast one."""

from __future__ import annotations

import array
import contextlib
import fcntl
import mmap
import os
import termios
from pathlib import Path

from infomax_tune.process.faults import TRACE

_LINE = 40
"""Bytes of a line of a trace at most: a trial's id and the number of its epoch."""


class Gate:
    """Holds all that writes this trace as soon as it has written so many lines, until `open`.

    A worker writes a line for each epoch of a trial. The trace is a pipe with room for those lines alone: who writes another
    waits, and nothing else does. `environment` is what a sweep needs to trace there.
    """

    def __init__(self, trace: Path, lines: int = 2) -> None:
        self._trace = trace
        self.environment = {TRACE: str(trace)}
        trace.unlink(missing_ok=True)
        os.mkfifo(trace)
        self._pipe = os.open(trace, os.O_RDWR | os.O_NONBLOCK)
        # two pages: in a pipe of one, a write after `open` would wake no other that waits
        size = fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 2 * mmap.PAGESIZE)
        self._filled = os.write(self._pipe, b"." * (size - lines * _LINE))

    def has_come(self) -> bool:
        """Whether something has come to the gate, and trained an epoch."""
        there = array.array("i", [0])
        fcntl.ioctl(self._pipe, termios.FIONREAD, there)
        return there[0] > self._filled

    def open(self) -> None:
        """Lets go of all that waits. From here on the trace is a file."""
        self._trace.unlink(missing_ok=True)
        with contextlib.suppress(BlockingIOError):
            while os.read(self._pipe, 65536):
                pass

    def close(self) -> None:
        """What still waits at the pipe gets an error."""
        os.close(self._pipe)
