"""The command infomax-tune as a person runs it, in a process of its own; and, quicker, as a call in this one."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from infomax_tune import cli
from infomax_tune.process.faults import FAULT
from tests import warm

COMMAND = [sys.executable, "-m", "infomax_tune"]
DASHBOARD = Path(sys.prefix) / "cluster/lib" / f"python3.{sys.version_info.minor}" / "site-packages"
"""Where `make test` installs the packages of Ray's dashboard: apart, since with them every Ray starts its servers too."""


def infomax_tune(*arguments: object, ok: bool = True, report: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end; with `ok`, checks that it succeeded. A sweep ends without its report, to be quick."""
    if arguments[0] in ("sweep", "resume") and not report:
        arguments = (*arguments, "--no-report")
    words = [warm.python(), *COMMAND[1:], *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    assert not ok or done.returncode == 0, done.stdout + done.stderr
    return done


def call(*arguments: object, ok: bool = True) -> subprocess.CompletedProcess[str]:
    """As `infomax_tune`, in this process: for a command that starts no Ray, where no process is under test."""
    words = ["infomax-tune", *map(str, arguments)]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with mock.patch.object(sys, "argv", words), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    assert not ok or code == 0, out.getvalue() + err.getvalue()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def dies(fault: str, *arguments: object, by: Callable[..., object] = call) -> bool:
    """Calls a command in a process forked from this one, to be killed at a point (see `process.faults`); whether it was.

    As real a death as any, without the seconds that a new Python would import for. by: `call`, or what calls it.
    """

    def act() -> int:
        os.environ[FAULT] = fault
        by(*arguments, ok=False)
        return 0

    return os.waitpid(fork(act), 0)[1] == signal.SIGKILL


def fork(act: Callable[[], int]) -> int:
    """The id of a process forked from this one, which acts and exits with the code that it returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads of this process wait for messages only
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = act()
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(code)
    return child


def start(*arguments: object) -> subprocess.Popen[str]:
    """Starts a command and goes on."""
    return subprocess.Popen(
        [*warm.forking(), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(condition: Callable[[], bool], seconds: float = 600) -> None:
    """Returns as soon as the condition holds; fails after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < end, "waited in vain"
        time.sleep(max(0.02, 3 * (now - asked)))  # what is waited for needs the CPU


def tables(out: Path) -> dict[str, bytes]:
    """The bytes that must never differ: the tables, and every trial's history and weights."""
    tables = [out / name for name in ("results.csv", "results.parquet", "history.parquet", "units.parquet")]
    of_trials = [
        path for name in ("history.csv", "weights.safetensors") for path in sorted(out.glob(f"trials/*/{name}"))
    ]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in (*tables, *of_trials)}


def free_port() -> int:
    """A port that nothing listens at now."""
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]
