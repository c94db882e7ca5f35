"""The processes of a sweep, and how they are killed. Used by `python -m benchmarks.chaos`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

SIGNALS = {
    "kill the driver": signal.SIGKILL,
    "interrupt the driver": signal.SIGINT,
    "terminate the driver": signal.SIGTERM,
    "hang up on the driver": signal.SIGHUP,
}
ALL = "terminate every process"
PROCESSES = {"kill a worker": "ray::ImplicitFunc", "kill the raylet": "raylet", "kill the GCS": "gcs_server"}


def start(
    command: Sequence[str], environment: Mapping[str, str], log: Path, *, live: bool
) -> tuple[subprocess.Popen[bytes], threading.Thread | None]:
    """Starts a command that prints to a log; live: through a pseudo-terminal, which the thread reads until all have left it."""
    with log.open("ab") as plain:
        terminal, end = os.openpty() if live else (None, plain.fileno())
        environment = {**environment, "TERM": "xterm-256color"}
        driver = subprocess.Popen(command, env=environment, stdout=end, stderr=end, start_new_session=True)
    if terminal is None:
        return driver, None
    os.close(end)
    drain = threading.Thread(target=_drain, args=(terminal, log), daemon=True)
    drain.start()
    return driver, drain


def _drain(terminal: int, log: Path) -> None:
    with log.open("ab", buffering=0) as handle, contextlib.suppress(OSError):  # the last one has left
        while data := os.read(terminal, 2**16):
            handle.write(data)
    os.close(terminal)


class Family:
    """The driver and every process that it started, directly or through Ray."""

    def __init__(self, driver: subprocess.Popen[bytes]) -> None:
        self.driver = driver
        self.seen: dict[int, tuple[psutil.Process, str]] = {}

    def watch(self, enough: Callable[[], bool]) -> None:
        """Keeps track of the processes until `enough()`, or until the driver has ended."""
        while self.driver.poll() is None and not enough():
            with contextlib.suppress(psutil.Error):
                for process in psutil.Process(self.driver.pid).children(recursive=True):
                    self.seen[process.pid] = process, " ".join(process.cmdline())
            time.sleep(0.02)

    def lost_one(self) -> bool:
        """Whether a worker that had begun to train is gone, or the driver was killed."""
        if self.driver.poll() is not None:
            return self.driver.returncode == -signal.SIGKILL
        return any(_is(name, "ray::ImplicitFunc") and not process.is_running() for process, name in self.seen.values())

    def strike(self, how: str) -> bool:
        """Sends the signal; False if there was no process left to get it."""
        if how not in PROCESSES:
            if self.driver.poll() is not None:
                return False
            processes = psutil.Process(self.driver.pid).children(recursive=True) if how == ALL else []
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.terminate()
            self.driver.send_signal(SIGNALS.get(how, signal.SIGTERM))
            return True
        for process, name in self.seen.values():
            if _is(name, PROCESSES[how]) and process.is_running():
                with contextlib.suppress(psutil.Error):
                    process.kill()
                    return True
        return False

    def end(self) -> None:
        """Kills the processes that the driver left behind and that have not ended by themselves in two seconds."""
        _, alive = psutil.wait_procs([process for process, _ in self.seen.values()], timeout=2)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=5)


def _is(command: str, program: str) -> bool:
    """Whether a command line is this program's; Ray names its workers after what they run."""
    return command.split(" ", maxsplit=1)[0].rpartition("/")[2].startswith(program)
