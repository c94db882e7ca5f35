"""Files written whole or not at all, JSON with a checksum, CSV read exactly, and a folder's lock. Knows no file names."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import itertools
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from infomax_tune.errors import DamagedFileError, LockedError, StoreError
from infomax_tune.process import faults
from infomax_tune.store.formats import Format

_PATIENCE_S = 60.0
"""How long a process waits for the brief work of another in a folder."""

TEMPORARY = ".tmp"
"""The suffix of a file that is being written."""


def write_atomically(path: Path, data: bytes, *, durably: bool = True) -> None:
    """Writes a file whole or not at all: temporary name, fsync, rename, fsync of the folder.

    durably: False leaves out the fsyncs, for files that need not survive a power failure.
    Raises StoreError if it cannot be written (a full disk, a read-only folder); the file is then as it was before.
    """
    # not named after the file: TensorBoard reads whatever has "tfevents" in its name
    temporary = path.with_name(f".{uuid.uuid4().hex}{TEMPORARY}")
    try:
        with temporary.open("wb") as handle:
            handle.write(data[: len(data) // 2])
            faults.point(f"{path.name}:half")
            handle.write(data[len(data) // 2 :])
            handle.flush()
            if durably:
                os.fsync(handle.fileno())
        faults.point(f"{path.name}:written")
        temporary.replace(path)
        if durably:
            _sync_folder(path.parent)
        faults.point(f"{path.name}:renamed")
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreError(f"{path}: cannot be written ({error.strerror or error}).") from error
        raise


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, where they are missing; each is fsynced into the one that holds it.

    Raises OSError.
    """
    if path.is_dir():
        return
    if path.exists():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: Path, kind: Format, content: Mapping[str, Any], *, durably: bool = True) -> None:
    """Writes a mapping with its format's version and a checksum. Raises StoreError."""
    content = {"schema": kind.version, **content}
    text = json.dumps({**content, "sha256": digest(content)}, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n", durably=durably)


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises FileNotFoundError if there is no such file.

    Raises StoreError if there is one that cannot be read (permissions, a disk or a network that fails, too many open
    files). That says nothing about its content, so it is not damage.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from None  # a file stands where its folder would be
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}). Nothing was changed; see to that, then try again."
        ) from None


def file_digest(path: Path) -> str | None:
    """The sha256 of a file; None if there is none. Raises StoreError if it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except FileNotFoundError:
        return None


def set_aside(path: Path) -> None:
    """Renames a damaged file to <its name>.damaged-<number>, so that it is neither read again nor lost."""
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not aside.exists():
            path.rename(aside)
            return


def read_json(path: Path, kind: Format) -> dict[str, Any] | None:
    """A JSON file that `write_json` wrote; None if there is none.

    Raises DamagedFileError, or StoreError if it cannot be read or a newer infomax-tune wrote it.
    """
    try:
        content = json.loads(read_bytes(path))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: cannot be read ({error}).") from None
    checksum = content.pop("sha256", None) if isinstance(content, dict) else None
    if checksum is None or checksum != digest(content):
        raise DamagedFileError(f"{path}: damaged (its checksum is wrong).")
    return kind.read(content, path)


def digest(content: Mapping[str, Any]) -> str:
    """The sha256 of a mapping, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def read_text_table(path: Path, types: Mapping[str, Any], needed: Sequence[str]) -> pd.DataFrame:
    """A CSV file with its numbers exact to the last bit: read as text, since pandas' own float parser may round.

    types: the wanted columns, in order. A column that the file lacks is empty, one that is not wanted is left out.
    Raises KeyError if a needed column is missing, ValueError if a value is not of its type, FileNotFoundError, or
    StoreError if it cannot be read.
    """
    table = pd.read_csv(io.BytesIO(read_bytes(path)), dtype=str)
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise KeyError(f"no column {', '.join(lacking)}")
    return table.reindex(columns=list(types)).astype(dict(types))


class Work(str, Enum):
    """What a process does while it holds a folder's lock."""

    SWEEP = "another sweep is at work here"
    TRIAL = "the trial is being trained"
    RUNS = "TensorBoard's runs are being made"
    TABLES = "the tables are being assembled"

    @property
    def is_brief(self) -> bool:
        """Whether it is worth waiting for."""
        return self in (Work.RUNS, Work.TABLES)


@contextlib.contextmanager
def locked(folder: Path, work: Work) -> Iterator[None]:
    """Holds the operating system's lock on FOLDER/lock, and makes the folder if necessary.

    Waits for a process that holds it for brief work. Raises LockedError, with the holder's host and pid, if another
    process holds it, StoreError if the folder cannot be written or locked.
    """
    try:
        make_folder(folder)
        handle = (folder / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        way_out = "" if work.is_brief else "; choose another --out"
        raise StoreError(f"{folder}: cannot be written ({error.strerror}){way_out}.") from None
    with handle:
        _take_lock(handle, folder)
        handle.truncate(0)
        with contextlib.suppress(OSError):  # on a full disk the lock still holds, only without its holder's name
            os.write(handle.fileno(), f"host {socket.gethostname()}, pid {os.getpid()}\n{work.name}\n".encode())
        try:
            yield
        finally:
            handle.truncate(0)


def _take_lock(handle: TextIO, folder: Path) -> None:
    waited_until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder, work = _read_holder(handle)
            if time.monotonic() >= waited_until or not (work is None or work.is_brief):
                what = work.value if work else "another process is at work here"
                raise LockedError(f"{folder}: {what} ({holder}); wait for it, or stop it first.") from None
            time.sleep(0.1)
        except OSError as error:
            raise StoreError(
                f"{folder}: its file system has no locks ({error.strerror}); choose another --out."
            ) from None


def _read_holder(handle: TextIO) -> tuple[str, Work | None]:
    """The holder's host and pid, and its work; None where it has not written that yet."""
    handle.seek(0)
    lines = handle.read().split("\n")
    if len(lines) == 2 and lines[0]:  # version 0.1.0 left out the work
        return lines[0], Work.SWEEP
    return lines[0] or "unknown", Work.__members__.get(lines[1]) if len(lines) > 2 else None
