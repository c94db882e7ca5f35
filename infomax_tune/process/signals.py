"""Handles Ctrl-C: the first asks to stop where nothing is lost, the second stops immediately."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from infomax_tune.errors import InfomaxTuneError

EXIT_INTERRUPTED = 130
_PATIENCE_S = 1.0


@contextlib.contextmanager
def kept_from_threads() -> Iterator[None]:
    """Threads that are started while entered get no signals: those are the main thread's, which has the handlers."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def calling(act: Callable[[], bool | None], every_s: float, name: str) -> Iterator[None]:
    """While entered, calls `act` every so many seconds in a thread that gets no signals, until it returns True."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(every_s) and not act():
            pass

    thread = threading.Thread(target=work, name=name, daemon=True)
    with kept_from_threads():
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class Interrupt:
    """While entered, notes the first SIGINT, SIGTERM or SIGHUP in `asked` and lets the program continue; a second ends it.

    A signal may arrive while a message is being written, so the handler only notes it, and a thread does the rest.
    SIGHUP, sent when a connection drops, is left alone if it is ignored already, as under nohup.

    say: called with messages for the user. on_ask: called at the first signal; on_leave: before the second ends the program.
    hard: whether that ends it at once, whatever it is doing; otherwise it raises KeyboardInterrupt, as a library should.
    Outside the main thread, where Python allows no signal handlers, it does nothing.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        on_ask: Callable[[], None] = lambda: None,
        on_leave: Callable[[], None] = lambda: None,
        *,
        hard: bool = False,
    ) -> None:
        self.asked = False
        self._say = say
        self._on_ask = on_ask
        self._on_leave = on_leave
        self._hard = hard
        self._before: dict[int, Any] = {}
        self._steps: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()  # a handler may put into it
        self._thread = threading.Thread(target=self._work, name="signals", daemon=True)

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            with kept_from_threads():
                self._thread.start()
            numbers = [signal.SIGINT, signal.SIGTERM]
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                numbers.append(signal.SIGHUP)
            self._before = {number: signal.signal(number, self._on_signal) for number in numbers}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            self._steps.put(None)
            self._thread.join(_PATIENCE_S)  # no longer: it may wait for someone to read its message

    def ask(self) -> None:
        """Requests a stop without a signal, for example after a request in the sweep's folder."""
        if not self.asked:
            self.asked = True
            self._say("stop requested; finishing the current epochs")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked = True
            self._steps.put(self._ask)
        elif self._hard:
            timer = threading.Timer(_PATIENCE_S, os._exit, [EXIT_INTERRUPTED])  # in case nobody reads the message
            timer.daemon = True
            timer.start()
            self._steps.put(self._leave)
        else:
            raise KeyboardInterrupt

    def _work(self) -> None:
        while (step := self._steps.get()) is not None:
            step()

    def _ask(self) -> None:
        try:
            self._on_ask()
        except InfomaxTuneError as error:  # a full disk
            self._say(str(error))
        self._say("Finishing the current epochs; press Ctrl-C again to stop now")

    def _leave(self) -> None:
        self._say("stopped immediately")
        self._on_leave()
        sys.stdout.flush()
        os._exit(EXIT_INTERRUPTED)
