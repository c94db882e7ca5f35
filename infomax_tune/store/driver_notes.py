"""What a sweep's driver tells other processes through its folder: which driver runs, progress for `status`, a stop
request."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from infomax_tune.errors import DamagedFileError, NewerVersionError, StoreError, TakenOverError
from infomax_tune.process.signals import calling
from infomax_tune.store import objects
from infomax_tune.store.files import exists, guarded, read_bytes, read_json, remove, write_atomically, write_json
from infomax_tune.store.formats import DRIVER as DRIVER_FORMAT
from infomax_tune.store.formats import PROGRESS as PROGRESS_FORMAT
from infomax_tune.store.locks import TAKEN_OVER

DRIVER = "driver.json"
PROGRESS = "progress.json"
STOP = "stop"

BEAT_S = 5.0
"""Seconds between two notes of a driver that has nothing new to report."""

_GLANCE_S = 1.0
"""Seconds for which a worker trusts what it last read from an object store."""


class DriverNotes:
    """The notes of the driver that runs in a folder.

    id: of the driver that the caller is, works for, or has found there; None for none.
    """

    def __init__(self, root: Path) -> None:
        self.id: str | None = None
        self._root = root
        self._driver = root / DRIVER
        self._progress = root / PROGRESS
        self._stop = root / STOP
        self._writing = threading.Lock()
        self._latest: Mapping[str, Any] | None = None
        self._in_objects = objects.is_object(root)
        self._glances: dict[str, tuple[float, bool]] = {}

    def latest(self) -> str | None:
        """The id of the folder's latest driver; None if there was none, or its note is damaged. Raises StoreError."""
        with contextlib.suppress(DamagedFileError):
            return (read_json(self._driver, DRIVER_FORMAT) or {}).get("id")
        return None

    @contextlib.contextmanager
    def heeded(self, driver: str | None) -> Iterator[None]:
        """While entered, what this process would write into the folder raises TakenOverError once another driver than the one
        of that id has taken over.

        A lock may not hold everywhere: on some network file systems it is known to one machine only, and a driver on a
        machine that was cut off may come back. The workers of a driver hold no lock.
        """

        def require() -> None:
            if not self.is_driven_by(self.id, afresh=True):
                raise TakenOverError(f"{self._root}: {TAKEN_OVER}")

        self.id = driver
        with guarded(self._root, require):
            yield

    def take_over(self) -> str:
        """Makes the caller, who holds the folder's lock, its driver. Returns the id by which its workers know it.

        From then on, all other drivers and their workers write nothing more. Raises StoreError.
        """
        with self._writing:
            self.latest()  # raises if a newer version wrote it: that is left alone
            driver = uuid.uuid4().hex
            write_json(self._driver, DRIVER_FORMAT, {"id": driver})
            self.id = driver
        return driver

    def strangers(self) -> list[str]:
        """The files that have the names of its notes, and that this program did not write."""
        found = []
        for path, kind in ((self._driver, DRIVER_FORMAT), (self._progress, PROGRESS_FORMAT)):
            try:
                read_json(path, kind)
            except DamagedFileError:
                found.append(path.name)
        with contextlib.suppress(FileNotFoundError):
            found += [self._stop.name] if read_bytes(self._stop) else []
        return found

    def step_down(self) -> None:
        """Removes the id of a driver whose sweep has not begun."""
        with contextlib.suppress(TakenOverError):
            remove(self._driver)
            self.id = None

    def is_ours(self) -> bool:
        """Whether no other driver has taken over. See `_glance`."""
        with self._writing:
            return self.is_driven_by(self.id)

    def is_driven_by(self, driver: str | None, *, afresh: bool = False) -> bool:
        """Whether the driver of that id is the latest; not if its note is gone, as where the folder was moved.

        afresh: see `_glance`.
        """

        def read() -> bool:
            try:
                content = read_json(self._driver, DRIVER_FORMAT)
            except NewerVersionError:
                return False  # this version does not write it
            except StoreError:
                return True  # what cannot be read says nothing
            return (content or {}).get("id") == driver

        return self._glance("driver", read, afresh=afresh)

    def write_progress(self, content: Mapping[str, Any]) -> None:
        """Writes progress.json for `status` in another terminal. Does nothing if it cannot be written.

        In an object store the heartbeat writes it: the caller, who has packs to schedule, does not wait for an answer.
        """
        if self._in_objects:
            self._latest = content  # without the lock, which the heartbeat holds while it waits for an answer
            return
        with self._writing:
            self._latest = content
            self._write_latest()

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """While entered, rewrites the last progress every few seconds: a waiting driver counts as running."""

        def beat() -> None:
            with self._writing:
                self._write_latest()

        with calling(beat, BEAT_S, "heartbeat"):
            yield

    def _write_latest(self) -> None:
        if self._latest is not None:
            with contextlib.suppress(StoreError):
                write_json(self._progress, PROGRESS_FORMAT, {**self._latest, "updated": time.time()}, durably=False)

    def read_progress(self) -> dict[str, Any] | None:
        """The progress that the driver last wrote, and when (`updated`, Unix seconds); None if there is none, or it
        cannot be read."""
        with contextlib.suppress(StoreError):
            return read_json(self._progress, PROGRESS_FORMAT)
        return None

    def clear_progress(self) -> None:
        with self._writing:
            self._latest = None
            with contextlib.suppress(TakenOverError):  # it is its successor's
                remove(self._progress)

    def ask_to_stop(self) -> None:
        """Asks the workers, on any machine, to finish their epochs, write checkpoints and stop."""
        with contextlib.suppress(TakenOverError):
            write_atomically(self._stop, b"")

    def stop_asked(self) -> bool:
        """Whether the workers are asked to stop. See `_glance`."""
        return self._glance("stop", lambda: exists(self._stop))

    def clear_stop(self) -> None:
        with contextlib.suppress(TakenOverError):
            remove(self._stop)

    def _glance(self, name: str, look: Callable[[], bool], *, afresh: bool = False) -> bool:
        """The answer of `look`; in an object store it is asked at most once a second, since an epoch may be shorter.

        afresh: ask now, however short ago it was asked.
        """
        if not self._in_objects:
            return look()
        now = time.time()  # the monotonic clock may stand still while the machine sleeps
        looked, answer = self._glances.get(name, (float("-inf"), False))
        if afresh or abs(now - looked) > _GLANCE_S:
            answer = look()
            self._glances[name] = now, answer
        return answer
