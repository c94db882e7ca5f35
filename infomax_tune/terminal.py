"""The terminal: what other libraries print is kept out of it. Imports the standard library only."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def diverted(log: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """While entered, all that this process prints goes to the end of `log`, what its libraries print below Python
    included; yields the stdout and stderr it had, to write to on purpose.

    Where Python's streams are not the process's own (a notebook, a test), nothing is diverted.
    """
    if not (_is(sys.stdout, 1) and _is(sys.stderr, 2)):
        yield sys.stdout, sys.stderr
        return
    sys.stdout.flush()
    sys.stderr.flush()
    out, err = (_duplicate(stream) for stream in (sys.stdout, sys.stderr))
    with log.open("ab") as chatter:
        os.dup2(chatter.fileno(), 1)
        os.dup2(chatter.fileno(), 2)
    try:
        yield out, err
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # the disk is full
                stream.flush()
        with contextlib.suppress(OSError):  # nobody reads any more
            out.flush()
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        with contextlib.suppress(OSError):
            out.close()
        err.close()


def _is(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (AttributeError, OSError, ValueError):
        return False


def _duplicate(stream: TextIO) -> TextIO:
    return os.fdopen(
        os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="replace", buffering=1, newline="\n"
    )
