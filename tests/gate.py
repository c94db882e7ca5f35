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

_PAGES = 16
"""Of the pipe. Each writer that waits takes a page of its own once it may write: more than so many must not wait."""


class Gate:
    """Holds all that writes this trace as soon as it is full, until `open`.

    lines: how many it takes at least, or a few more if they are short; a worker writes one for each epoch of a trial. The
    trace is a pipe with that room: who writes another line waits, and nothing else does. `environment` is what a sweep needs
    to trace there.
    """

    def __init__(self, trace: Path, lines: int = 2) -> None:
        self._trace = trace
        self.environment = {TRACE: str(trace)}
        trace.unlink(missing_ok=True)
        os.mkfifo(trace)
        self._pipe = os.open(trace, os.O_RDWR | os.O_NONBLOCK)
        size = fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PAGES * mmap.PAGESIZE)
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
        """What still waits at the pipe gets an error, and what comes later a file."""
        if self._trace.is_fifo():
            self._trace.unlink()
        os.close(self._pipe)
