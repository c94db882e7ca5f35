"""Keeps signals meant for a sweep away from Ray's processes on this machine, and ends those processes.

To stop a whole process group or service, systemd, Slurm or a closing terminal sends SIGTERM or SIGHUP to all of its
processes. If that killed Ray's processes, no pack could write its checkpoint.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import ray

from infomax_tune.on_ray.patches import without_sigterm_handler

_KEPT_AWAY = {signal.SIGTERM, signal.SIGHUP} if sys.platform == "linux" else set()
"""Elsewhere, Ray ends what it started by SIGTERM if its driver dies."""


@contextlib.contextmanager
def kept_from_signals() -> Iterator[list[psutil.Process]]:
    """Processes that are started while entered block SIGTERM and SIGHUP, and this one keeps its own handlers.

    Yields a list that holds what Ray has started, once the block is left, even by an error.
    """
    main = threading.current_thread() is threading.main_thread()
    on_term = signal.getsignal(signal.SIGTERM)
    there = set(psutil.Process().children())
    started: list[psutil.Process] = []
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _KEPT_AWAY)  # children inherit it
    try:
        with without_sigterm_handler():
            yield started
    finally:
        started += [process for process in psutil.Process().children() if process not in there and _is_rays(process)]
        if main:
            signal.signal(signal.SIGTERM, on_term)  # Ray's C++ part has one too, which aborts
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def shut_down(started: list[psutil.Process]) -> None:
    """Leaves Ray's cluster; ends it, if it was started here.

    Ray sends each of its processes SIGTERM, and waits for a second before it kills it. As they block that signal, they
    are killed here as soon as it has been sent.
    """
    is_down = threading.Event()
    killer = threading.Thread(target=_kill_those_told_to_end, args=(started, is_down), daemon=True)
    killer.start()
    ray.shutdown()
    is_down.set()
    killer.join()


def kill(started: list[psutil.Process]) -> None:
    """Kills what a failed start of Ray left behind."""
    for process in started:
        with contextlib.suppress(psutil.Error):
            for each in [*process.children(recursive=True), process]:
                each.kill()


def _kill_those_told_to_end(processes: list[psutil.Process], is_down: threading.Event) -> None:
    while not is_down.wait(0.02):
        for process in processes:
            with contextlib.suppress(psutil.Error, OSError):  # it has ended
                if _sigterm_waits(process):
                    for each in [*process.children(recursive=True), process]:
                        each.kill()


def _sigterm_waits(process: psutil.Process) -> bool:
    """Whether a process was sent SIGTERM and blocks it. False without /proc, where this is unknown."""
    for line in Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "ShdPnd":  # the signals that wait for the whole process, as bits
            return bool(int(value, 16) >> (signal.SIGTERM - 1) & 1)
    return False


def _is_rays(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any("ray" in word for word in process.cmdline())
    return False
