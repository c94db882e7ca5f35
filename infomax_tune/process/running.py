"""Whether the process that left a note on this machine still runs, and not another that was given its number since."""

from __future__ import annotations

from pathlib import Path

import psutil


def begun(pid: int) -> float:
    """When a process began: on Linux in ticks since the machine started, which no setting of its clock changes. Raises
    psutil.NoSuchProcess; a process that has ended, and that its parent has not asked after yet, is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return psutil.Process(pid).create_time()  # no such process, or no Linux
    fields = stat.rpartition(")")[2].split()  # after the program's name, which may hold anything
    if fields[0] in "ZX":
        raise psutil.NoSuchProcess(pid)
    return int(fields[19])


def is_running(pid: int, since: float) -> bool:
    """Whether the process of that number is the one that began then."""
    try:
        return begun(pid) == since
    except psutil.NoSuchProcess:
        return False
