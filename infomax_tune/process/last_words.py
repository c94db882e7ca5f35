"""A last line for a process that may be ended without a chance to say one: by the system, or by a library."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def last_words(line: str) -> Iterator[None]:
    """While entered, a shell waits beside this process, and prints the line to stderr if this process ends, however it ends.

    Does nothing on a system without /bin/sh.
    """
    wait_and_print = 'trap "" HUP INT TERM; read -r left || printf "%s\\n" "$0" >&2'
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            # in a session of its own, so that Ctrl-C and a terminal that is closed do not end it
            shell = subprocess.Popen(
                ["/bin/sh", "-c", wait_and_print, line],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
            stack.callback(shell.communicate, b"left\n")
        yield
