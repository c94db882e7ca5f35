"""signals.py: the first signal asks, the second ends, and neither breaks what is being written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infomax_tune.errors import StoreError
from infomax_tune.process.signals import EXIT_INTERRUPTED, Interrupt

STOPPING = "Finishing the current epochs; press Ctrl-C again to stop now"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_asks_and_is_told(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    said: list[str] = []
    asked: list[bool] = []
    with Interrupt(said.append, on_ask=lambda: asked.append(True)) as interrupt:
        assert not interrupt.asked
        os.kill(os.getpid(), number)
        assert interrupt.asked
    assert (said, asked) == ([STOPPING], [True])
    assert signal.getsignal(number) == before


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt(print) as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_raises_in_a_library() -> None:
    said: list[str] = []
    with Interrupt(said.append):
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert said == [STOPPING]


def test_a_request_that_cannot_be_left_is_told() -> None:
    def on_ask() -> None:
        raise StoreError("stop: cannot be written (No space left on device).")

    said: list[str] = []
    with Interrupt(said.append, on_ask=on_ask):
        os.kill(os.getpid(), signal.SIGINT)
    assert said == ["stop: cannot be written (No space left on device).", STOPPING]


def program(body: str) -> subprocess.Popen[str]:
    head = "import os, signal, sys, time\nfrom infomax_tune.process.signals import Interrupt\n"
    return subprocess.Popen([sys.executable, "-c", head + body], stdout=subprocess.PIPE, text=True)


WRITES = """
from infomax_tune.process.streams import write_line
def say(text):
    write_line(sys.stdout, text)
with Interrupt(say) as interrupt:
    while not interrupt.asked:
        say("x" * 99)
say("done")
"""


def test_a_signal_in_the_middle_of_a_write_breaks_nothing() -> None:
    """The pipe is full: the program hangs in the middle of its message."""
    with program(WRITES) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == "x"
        while not is_asleep(process.pid):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        lines = process.stdout.read().splitlines()
    assert process.returncode == 0
    assert lines[0] == "x" * 98  # one was read above
    assert set(lines[1:]) == {"x" * 99, STOPPING, "done"}
    assert (lines.count(STOPPING), lines[-1]) == (1, "done")


def is_asleep(pid: int) -> bool:
    """Whether a process waits in the kernel."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "S"


LEAVES = """
def leave():
    print("left", flush=True)
with Interrupt(lambda text: print(text, flush=True), on_leave=leave, hard=True):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        time.sleep(1)
"""


def test_a_second_signal_ends_a_command_at_once() -> None:
    with program(LEAVES) as process:
        assert process.stdout is not None
        assert process.stdout.read().splitlines() == [STOPPING, "stopped immediately", "left"]
    assert process.returncode == EXIT_INTERRUPTED


HANGS = LEAVES.replace('print("left", flush=True)', "time.sleep(600)")


def test_a_second_signal_ends_a_command_that_cannot_even_leave() -> None:
    with program(HANGS) as process:
        assert process.wait(60) == EXIT_INTERRUPTED
