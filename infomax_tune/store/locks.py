"""One process at a time in a folder: the operating system's lock on a disk, a lease in an object store."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, TextIO

from pydantic import Field, TypeAdapter

from infomax_tune.errors import LockedError, StoreError, TakenOverError
from infomax_tune.process.running import begun, is_running
from infomax_tune.process.signals import calling
from infomax_tune.store import objects
from infomax_tune.store.files import guarded, link_problems, make_folder

LOCK = "lock"
"""The file of a folder's lock; in an object store, the prefix of the numbered leases."""

_PATIENCE_S = 60.0
"""Seconds that a process waits for brief work of another in a folder."""

_LOOK_S = 0.2
"""Seconds after which a lock is sure to be held by more than a look of `is_locked`, beside the name of a holder that died."""

_LEASE_S = 30.0
"""Seconds that the holder of a lease may be silent before it counts as dead."""

_RENEW_S = 5.0
"""Seconds between two renewals of a lease."""

TAKEN_OVER = "another process has taken over this folder; this one stops."

_held_here: set[str] = set()
"""The tokens of the leases that this process holds or is about to take."""


_locks_here: set[TextIO] = set()
"""The open locks that this process holds. A fork closes its copies, with which it would hold them too."""

os.register_at_fork(after_in_child=lambda: [handle.close() for handle in _locks_here])


class Work(str, Enum):
    """What a process does while it holds a folder's lock."""

    SWEEP = "another sweep is running here"
    TRIAL = "the trial is being trained"
    RUNS = "the TensorBoard runs are being written"
    TABLES = "the tables are being written"

    @property
    def is_brief(self) -> bool:
        """Whether it is worth waiting for."""
        return self in (Work.RUNS, Work.TABLES)


@contextlib.contextmanager
def locked(folder: Path, work: Work, files: Iterable[Path] = ()) -> Iterator[None]:
    """Holds a folder for one process, and creates the folder if necessary. Once it has lost the folder, what this process
    would write there raises TakenOverError.

    On a disk this is the operating system's lock on FOLDER/lock, which ends with its holder. In an object store it is a
    lease, see `_lease`. Waits for a process that holds it for brief work. files: what it may write. Raises LockedError,
    with the holder's host and pid, if another process holds it, StoreError if the folder cannot be written or locked, or
    if a link is among the files or below them.
    """
    for problem in link_problems([folder / LOCK, *files]):
        raise StoreError(problem)
    with _lease(folder, work) if objects.is_object(folder) else _file_lock(folder, work) as loss:

        def require() -> None:
            if why := loss():
                raise TakenOverError(f"{folder}: {why}")

        with guarded(folder, require):
            yield


def is_locked(folder: Path) -> bool:
    """Whether a process holds a folder's lock. False for an object store, where it takes seconds to tell."""
    if objects.is_object(folder):
        return False
    try:
        if not (folder / LOCK).is_file():  # a pipe would never open
            return False
        with (folder / LOCK).open(encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def is_ours(folder: Path) -> bool:
    """Whether a folder's lock, if there is one, is a file that this program made, and no user's own."""
    path = folder / LOCK
    if objects.is_object(folder) or not path.exists():
        return True
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if path.is_file() and path.stat().st_size < 1000:
            text = path.read_text(encoding="utf-8")
            return not text or text.startswith("host ")
    return False


def _refusal(folder: Path, work: Work | None, holder: str) -> LockedError:
    what = work.value if work else "another process is using it"
    return LockedError(f"{folder}: {what} ({holder}); wait for it, or stop it first.")


@contextlib.contextmanager
def _file_lock(folder: Path, work: Work) -> Iterator[Callable[[], str]]:
    """Yields what tells why the lock is lost, "" while it is held."""
    try:
        make_folder(folder)
        if (folder / LOCK).exists() and not (folder / LOCK).is_file():  # a pipe would never open
            raise StoreError(f"{folder / LOCK}: not a file; move it away.")
        handle = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        way_out = "" if work.is_brief else "; choose another output folder"
        raise StoreError(f"{folder}: cannot be written ({error.strerror}){way_out}.") from None
    with handle:
        _take_lock(handle, folder)
        _locks_here.add(handle)
        handle.truncate(0)
        with contextlib.suppress(OSError):  # on a full disk the lock still holds, only without its holder's name
            os.write(handle.fileno(), f"host {socket.gethostname()}, pid {os.getpid()}\n{work.name}\n".encode())
        try:
            yield lambda: _loss_of(handle, folder)
        finally:
            _locks_here.discard(handle)
            if not handle.closed:  # as in a fork of this process
                handle.truncate(0)


def _loss_of(handle: TextIO, folder: Path) -> str:
    """Why an open lock is not that of the folder at this path any more; "" if it is."""
    held = os.fstat(handle.fileno())
    try:
        if os.path.samestat(held, (folder / LOCK).stat()):
            return ""
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError:
        return ""  # what cannot be read says nothing
    place = ""
    with contextlib.suppress(OSError):
        now = Path(f"/proc/self/fd/{handle.fileno()}").readlink()
        if os.path.samestat(held, now.stat()):
            place = f" It is now {now.parent}, with all that was written until then."
    return f"the folder was moved, removed or unmounted while this command worked in it; the command stops.{place}"


def _take_lock(handle: TextIO, folder: Path) -> None:
    begun = time.monotonic()
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder, work = _read_holder(handle)
            patience_s = _PATIENCE_S if work is None or work.is_brief else _LOOK_S
            if time.monotonic() - begun >= patience_s:
                raise _refusal(folder, work, holder) from None
            time.sleep(0.1)
        except OSError as error:
            raise StoreError(
                f"{folder}: its file system does not support locks ({error.strerror}); choose another output folder."
            ) from None


def _read_holder(handle: TextIO) -> tuple[str, Work | None]:
    """The holder's host and pid, and its work; None where it has not written that yet."""
    handle.seek(0)
    lines = handle.read().split("\n")
    if len(lines) == 2 and lines[0]:  # version 0.1.0 left out the work
        return lines[0], Work.SWEEP
    return lines[0] or "unknown", Work.__members__.get(lines[1]) if len(lines) > 2 else None


def _this_machine() -> str:
    """Identifies the running system and its process ids, so a pid of one container is not looked up in another; "" if
    unknown."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


@dataclass(frozen=True)
class _Lease:
    """What the holder of a lease writes into its object.

    work: the name of a `Work`; begun: see `process.running`; token: tells it from any other lease; beat: raised by each renewal.
    """

    work: str
    host: str
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    begun: float
    machine: str
    token: str = ""
    beat: int = 0
    released: bool = False

    @classmethod
    def new(cls, work: Work) -> _Lease:
        """A lease of this process."""
        pid = os.getpid()
        return cls(work.name, socket.gethostname(), pid, begun(pid), _this_machine(), uuid.uuid4().hex)

    def to_bytes(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> _Lease:
        """The lease that an object holds. What another version added to it is left out; what cannot be read is held by
        somebody unknown."""
        try:
            content = json.loads(data)
            return _LEASE.validate_python({name: content[name] for name in cls.__dataclass_fields__ if name in content})
        except (ValueError, TypeError, RecursionError):
            return cls(work="", host="", pid=0, begun=0.0, machine="")

    @property
    def holder(self) -> str:
        return f"host {self.host}, pid {self.pid}" if self.host else "unknown"

    def is_held(self) -> bool | None:
        """Whether its holder is running; None if only waiting for a renewal can tell."""
        if self.released:
            return False
        if not self.machine or self.machine != _this_machine():
            return None
        # this process may have left a lease that it could not give back
        return is_running(self.pid, self.begun) and (self.pid != os.getpid() or self.token in _held_here)


_LEASE = TypeAdapter(_Lease)


@contextlib.contextmanager
def _lease(folder: Path, work: Work) -> Iterator[Callable[[], str]]:
    """Holds a folder of an object store by a lease. Yields as `_file_lock` does.

    Leases are objects with numbers, lock/1, lock/2, ...; the highest number holds the folder. Each is made by a put on
    the condition that no such object exists, so only one of two contenders gets it, however old the listing they saw.
    Its holder renews it every few seconds. A lease whose holder stays silent for `_LEASE_S`, by the clock of the
    waiting process, has expired; the next number is then free. The few hundred bytes of each are kept: a number is
    never given twice.
    """
    mine, beats = _Lease.new(work), itertools.count(1)
    with _noted_here(mine):
        number = _take_lease(folder, mine)

        def is_ours() -> bool:
            held = _read_lease(folder, number)
            is_there = held is not None and _Lease.from_bytes(held).token == mine.token
            return is_there and _read_lease(folder, number + 1) is None

        def renew() -> bool:
            with contextlib.suppress(StoreError):  # the next try may get through
                if not is_ours():
                    return True  # this process was silent for too long, and another one holds the folder
                objects.write(_lease_path(folder, number), replace(mine, beat=next(beats)).to_bytes())
            return False

        try:
            with calling(renew, _RENEW_S, "lease"):
                yield lambda: "" if is_ours() else TAKEN_OVER
        finally:
            with contextlib.suppress(StoreError):  # it then ends by itself
                objects.write(_lease_path(folder, number), replace(mine, released=True).to_bytes())


@contextlib.contextmanager
def _noted_here(lease: _Lease) -> Iterator[None]:
    _held_here.add(lease.token)
    try:
        yield
    finally:
        _held_here.discard(lease.token)


def _take_lease(folder: Path, mine: _Lease) -> int:
    """Waits until the folder is free, and returns the number of the lease that then holds it."""
    numbers = [int(name) for name in objects.names(folder / LOCK) if name.isdecimal()]
    number = max(numbers, default=0)  # a listing may be late: a number that is taken is found out by the put
    seen, seen_since, waited_until = None, time.monotonic(), time.monotonic() + _PATIENCE_S
    while True:
        looked = time.monotonic()  # before it reads: it may be suspended after that, while the holder renews the lease
        data = _read_lease(folder, number) if number else None
        held = None if data is None else _Lease.from_bytes(data)
        is_held = held.is_held() if held else False
        if is_held is None and data != seen:
            if seen is not None:
                is_held = True  # it was renewed
            seen, seen_since = data, time.monotonic()
        if held and is_held:
            work_there = Work.__members__.get(held.work)
            if time.monotonic() >= waited_until or not (work_there and work_there.is_brief):
                raise _refusal(folder, work_there, held.holder)
        elif is_held is False or looked - seen_since > _LEASE_S:
            number, seen = number + 1, None
            if _create_lease(folder, number, mine):
                return number
            continue
        time.sleep(0.5)


def _create_lease(folder: Path, number: int, mine: _Lease) -> bool:
    """Whether the lease of that number is now ours; False if another process was first."""
    path = _lease_path(folder, number)
    if not objects.create(path, mine.to_bytes()):
        # a put whose answer was lost is sent again by the store's package, and meets the object that it has made
        return _read_lease(folder, number) == mine.to_bytes()
    if objects.create(path, mine.to_bytes()):
        raise StoreError(
            f"{folder}: this store does not support conditional puts, so it cannot be locked; choose another output folder."
        )
    return True


def _read_lease(folder: Path, number: int) -> bytes | None:
    """What the lease of that number holds; None if there is none."""
    try:
        return objects.read(_lease_path(folder, number))
    except FileNotFoundError:
        return None


def _lease_path(folder: Path, number: int) -> Path:
    return folder / LOCK / str(number)
