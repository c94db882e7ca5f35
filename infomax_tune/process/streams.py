"""Keeps what other libraries print out of the terminal."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def diverted(log: Path) -> Iterator[tuple[TextIO, TextIO]]:
    """While entered, appends everything that this process prints to `log`, including what libraries print below Python;
    yields the original stdout and stderr, for output meant to be seen.

    Diverts nothing if Python's streams are not the process's own (a notebook, a test), or outside the main thread, where
    it would divert the output of other threads.
    """
    main = threading.current_thread() is threading.main_thread()
    if not (main and _is(sys.stdout, 1) and _is(sys.stderr, 2)):
        yield sys.stdout, sys.stderr
        return
    _flush(sys.stdout, sys.stderr)
    out, err = (_duplicate(stream) for stream in (sys.stdout, sys.stderr))
    with log.open("ab") as chatter:
        os.dup2(chatter.fileno(), 1)
        os.dup2(chatter.fileno(), 2)
    try:
        yield out, err
    finally:
        _flush(sys.stdout, sys.stderr, out, err)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        for stream in (out, err):
            with contextlib.suppress(OSError):
                stream.close()


_writing = threading.Lock()


def write_line(stream: TextIO, text: str) -> None:
    """Writes a line as a whole, even if other threads write too: Python's streams lose text when two threads write at once.

    Does nothing if the line cannot be written, to a closed pipe for example. Writes a question mark for what the stream's
    encoding lacks.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, "replace").decode(encoding)
    with _writing, contextlib.suppress(OSError):
        stream.write(f"{text}\n")
        stream.flush()


def prepare_streams() -> None:
    """Gives a process that was started without stdout or stderr (`>&-`) one that discards its output: Ray needs both.
    Lets stdout print a question mark for what its encoding lacks; stderr prints a code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _flush(*streams: TextIO) -> None:
    for stream in streams:
        with contextlib.suppress(OSError):  # a full disk, a pipe that nobody reads
            stream.flush()


def _is(stream: TextIO, descriptor: int) -> bool:
    try:
        return stream.fileno() == descriptor
    except (AttributeError, OSError, ValueError):
        return False


def _duplicate(stream: TextIO) -> TextIO:
    return os.fdopen(
        os.dup(stream.fileno()), "w", encoding=stream.encoding, errors="replace", buffering=1, newline="\n"
    )
