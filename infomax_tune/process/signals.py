"""Ctrl-C with manners: the first asks to stop where nothing is lost, the second stops at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

EXIT_INTERRUPTED = 130
_PATIENCE_S = 1.0


class Interrupt:
    """While entered, notes the first SIGINT or SIGTERM in `asked` and lets the program go on; a second one ends it.

    say: told what happens. on_ask: called at the first signal, on_leave before the second ends the program.
    hard: whether that ends it at once, whatever it is doing; else it raises KeyboardInterrupt, as a library should.
    Outside the main thread, where Python allows no signal handlers, it does nothing.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        on_ask: Callable[[], None] = lambda: None,
        on_leave: Callable[[], None] = lambda: None,
        *,
        hard: bool = True,
    ) -> None:
        self.asked = False
        self._say = say
        self._on_ask = on_ask
        self._on_leave = on_leave
        self._hard = hard
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked and not self._hard:
            raise KeyboardInterrupt
        if self.asked:
            timer = threading.Timer(_PATIENCE_S, os._exit, [EXIT_INTERRUPTED])  # should nobody read what is said
            timer.daemon = True
            timer.start()
            self._say("stopped at once")
            self._on_leave()
            sys.stdout.flush()
            os._exit(EXIT_INTERRUPTED)
        self.asked = True
        self._on_ask()
        self._say("stopping after the epochs under way; once more to stop at once")
