"""The command infomax-tune as a person runs it: a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

COMMAND = [sys.executable, "-m", "infomax_tune"]


def infomax_tune(*arguments: object, ok: bool = True, report: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; with `ok`, checks that it succeeded. A sweep ends without its report, to be quick."""
    if arguments[0] in ("sweep", "resume") and not report:
        arguments = (*arguments, "--no-report")
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done


def start(*arguments: object) -> subprocess.Popen[str]:
    """Starts a command and goes on."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Returns as soon as the condition holds; fails after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def tables(out: Path) -> dict[str, bytes]:
    """The bytes that must never differ: the tables, and every trial's weights."""
    names = ("results.csv", "results.parquet", "history.parquet")
    weights = sorted(out.glob("trials/*/weights.safetensors"))
    return {name: (out / name).read_bytes() for name in names} | {
        path.parent.name: path.read_bytes() for path in weights
    }


def free_port() -> int:
    """A port that nothing listens at now."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]
