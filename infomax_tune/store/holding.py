"""Creates and locks a sweep's folder, and removes again what was made for a sweep that does not start."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from infomax_tune.errors import LockedError, StoreError
from infomax_tune.store.files import remove
from infomax_tune.store.sweep_folder import SweepFolder


@contextlib.contextmanager
def held(folder: SweepFolder) -> Iterator[Callable[[], None]]:
    """Creates and locks the sweep's folder. Yields a function to call once the sweep has started: if a new sweep ends before
    that, everything created for it is removed."""
    made, begun = folder.yet_to_make(), threading.Event()
    with contextlib.ExitStack() as stack:
        try:
            folder.create()
            stack.enter_context(folder.lock())
        except LockedError:
            raise  # what is there is its holder's
        except StoreError:
            _remove(made)
            raise
        if folder.has_sweep():
            begun.set()
        try:
            yield begun.set
        except Exception:
            if not begun.is_set():
                folder.driver.step_down()
                _remove(made)
            raise


def _remove(paths: Iterable[Path]) -> None:
    """Removes files, and folders that are empty."""
    for path in paths:
        with contextlib.suppress(OSError, StoreError):
            path.rmdir() if path.is_dir() else remove(path)
