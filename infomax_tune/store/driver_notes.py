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

from infomax_tune.errors import DamagedFileError, NewerVersionError, StoreError
from infomax_tune.process.signals import calling
from infomax_tune.store import objects
from infomax_tune.store.files import exists, read_json, remove, write_atomically, write_json
from infomax_tune.store.formats import DRIVER as DRIVER_FORMAT
from infomax_tune.store.formats import PROGRESS as PROGRESS_FORMAT

DRIVER = "driver.json"
PROGRESS = "progress.json"
STOP = "stop"

BEAT_S = 5.0
"""Seconds between two notes of a driver that has nothing new to report."""

_GLANCE_S = 1.0
"""Seconds for which a worker trusts what it last read from an object store."""


class DriverNotes:
    """The notes of the driver that runs in a folder. holds_lock: whether the caller still has the lock that it took."""

    def __init__(self, root: Path) -> None:
        self.holds_lock: Callable[[], bool] = lambda: True
        self._root = root
        self._driver = root / DRIVER
        self._progress = root / PROGRESS
        self._stop = root / STOP
        self._writing = threading.Lock()
        self._latest: Mapping[str, Any] | None = None
        self._in_objects = objects.is_object(root)
        self._glances: dict[str, tuple[float, bool]] = {}
        self._id: str | None = None

    def take_over(self) -> str:
        """Makes the caller, who holds the folder's lock, its driver. Returns the id by which its workers know it.

        A lock may not hold everywhere: on some network file systems it is known to one machine only, and a driver on a
        machine that was cut off may come back. By the id, the workers of all drivers but the last notice that another
        has taken over. Raises StoreError, also if the caller has lost the lock.
        """
        self._require_lock()
        with contextlib.suppress(DamagedFileError):
            read_json(self._driver, DRIVER_FORMAT)  # raises if a newer version wrote it: that is left alone
        self._id = uuid.uuid4().hex
        write_json(self._driver, DRIVER_FORMAT, {"id": self._id})
        return self._id

    def _require_lock(self) -> None:
        if not self.holds_lock():
            raise self._taken_over()

    def _taken_over(self) -> StoreError:
        return StoreError(f"{self._root}: another driver has taken over this sweep; this one stops.")

    def require_ours(self) -> None:
        """Raises StoreError if another driver has taken over, or the caller has lost the lock."""
        if self._is_another_s():
            raise self._taken_over()
        self._require_lock()

    def _is_another_s(self) -> bool:
        """Whether the caller was the driver and another has taken over, which then owns the notes."""
        return self._id is not None and not self.is_driven_by(self._id)

    def is_driven_by(self, driver: str, *, afresh: bool = False) -> bool:
        """Whether no other driver has taken over since the one of that id. afresh: see `_glance`."""

        def read() -> bool:
            try:
                content = read_json(self._driver, DRIVER_FORMAT)
            except NewerVersionError:
                return False  # this version does not write it
            except StoreError:
                return True  # what cannot be read says nothing
            return content is None or content.get("id") == driver

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
        if self._latest is not None and not self._is_another_s():
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
            if not self._is_another_s():
                remove(self._progress)

    def ask_to_stop(self) -> None:
        """Asks the workers, on any machine, to finish their epochs, write checkpoints and stop."""
        if not self._is_another_s():
            write_atomically(self._stop, b"")

    def stop_asked(self) -> bool:
        """Whether the workers are asked to stop. See `_glance`."""
        return self._glance("stop", lambda: exists(self._stop))

    def clear_stop(self) -> None:
        if not self._is_another_s():
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
