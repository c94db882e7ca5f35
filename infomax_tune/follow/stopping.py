"""Asks a running sweep to stop, from another process or another machine that sees its folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from infomax_tune.errors import StoreError
from infomax_tune.follow.folder_status import read_driver
from infomax_tune.process.signals import calling
from infomax_tune.store.sweep_folder import SweepFolder

_LOOK_S = 0.5
"""Seconds between two checks."""


def stop_sweep(folder: SweepFolder, *, wait: bool = True) -> None:
    """Asks the sweep that is running in the folder to write checkpoints and stop. wait: return only after it has stopped.

    Raises StoreError if the folder holds no sweep, or none is running.
    """
    folder.require_sweep()
    if read_driver(folder) is None:
        raise StoreError(f"{folder.root}: no sweep is running here; check its status with: {folder.command('status')}")
    folder.driver.ask_to_stop()
    while wait and read_driver(folder) is not None:
        time.sleep(_LOOK_S)


@contextlib.contextmanager
def heeding(folder: SweepFolder, on_ask: Callable[[], None]) -> Iterator[None]:
    """While entered, calls `on_ask` once when somebody asks the sweep in the folder to stop, or it is no longer the caller's."""

    def look() -> bool:
        asked = folder.driver.stop_asked() or not folder.driver.is_ours()
        if asked:
            on_ask()
        return asked

    with calling(look, _LOOK_S, "stop"):
        yield
