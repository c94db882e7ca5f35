"""Files written whole or not at all, JSON with a checksum, CSV read exactly; on a disk or as objects. Knows no file names.

A path is a `Path`, or what `objects.location` makes from a URL; these functions take both.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import json
import os
import re
import shlex
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.process import faults
from infomax_tune.store import objects
from infomax_tune.store.formats import Format

TEMPORARY = ".tmp"
"""The suffix of a file that is being written."""

_TEMPORARY_NAME = re.compile(r"\.([0-9a-f]{32}|room|mlflow\.db\.[0-9a-f]{8})\.tmp(-journal|-wal|-shm)?")
"""The names of the temporary files that a crash leaves: these functions', `room_problem`'s, and MLflow's."""

_NO_FSYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors that mean: a folder cannot be fsynced here."""

_guards: list[tuple[Path, Callable[[], None]]] = []
MAX_TEXT, MAX_BYTES = 2**26, 2**34
"""The bytes of a file of text, such as a record, and of any file that is read."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextlib.contextmanager
def guarded(folder: Path, require: Callable[[], None]) -> Iterator[None]:
    """While entered, this process calls `require` before it writes, makes or removes anything in a folder.

    require: raises StoreError if the folder is no longer the caller's to change.
    """
    guard = folder, require
    _guards.append(guard)
    try:
        yield
    finally:
        _guards.remove(guard)


def require_leave(path: Path) -> None:
    """Raises StoreError if a guard of a folder that the path is, or is in, refuses."""
    for folder, require in tuple(_guards):
        if folder in (path, *path.parents):
            require()


def write_atomically(path: Path, data: bytes, *, durably: bool = True, sync_folder: bool = True) -> None:
    """Writes a file whole or not at all: temporary name, fsync, rename, fsync of the folder; an object by one put.

    durably: False leaves out the fsyncs, for files that need not survive a power failure. sync_folder: False leaves out
    the folder's fsync, when the write of a following file syncs it. Raises StoreError if it cannot be written (a full
    disk, a read-only folder), or a guard refuses; the file is then as it was before.
    """
    require_leave(path)
    if objects.is_object(path):
        faults.point(f"{path.name}:begun")
        faults.point(f"{path.name}:written")
        objects.write(path, data)
        faults.point(f"{path.name}:renamed")
        return
    # not named after the file: TensorBoard reads whatever has "tfevents" in its name
    temporary = path.with_name(f".{uuid.uuid4().hex}{TEMPORARY}")
    try:
        with temporary.open("wb") as handle:
            faults.point(f"{path.name}:begun")
            handle.write(data)
            handle.flush()
            if durably:
                os.fsync(handle.fileno())
        faults.point(f"{path.name}:written")
        temporary.replace(path)
        if durably and sync_folder:
            _sync_folder(path.parent)
        faults.point(f"{path.name}:renamed")
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise StoreError(f"{path}: cannot be written ({error.strerror or error}).") from error
        raise


def make_folder(path: Path) -> None:
    """Makes a folder and its missing parents; each is fsynced into its parent.

    An object store has no folders to make. Raises OSError, or StoreError if a guard refuses.
    """
    if objects.is_object(path) or path.is_dir():
        return
    require_leave(path)
    if path.exists():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Does nothing on a file system that cannot do it, such as many network shares and shared folders of virtual machines."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


def write_json(path: Path, kind: Format, content: Mapping[str, Any], *, durably: bool = True) -> None:
    """Writes a mapping with its format's version and a checksum. Raises StoreError."""
    content = {"schema": kind.version, **content}
    text = json.dumps({**content, "sha256": digest(content)}, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text.encode() + b"\n", durably=durably)


def read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """A file's content. Raises FileNotFoundError if there is no such file, DamagedFileError if it has more than `most` bytes.

    Raises StoreError if there is one that cannot be read (permissions, a disk or a network that fails, too many open
    files). That says nothing about its content, so it is not damage.
    """
    if objects.is_object(path):
        return objects.read(path)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would never end
            raise OSError("not a file")
        if found.st_size > most:
            raise DamagedFileError(f"{path}: {found.st_size} bytes are more than infomax-tune writes.")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from None  # there is a file where its folder would be
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({error.strerror or error}). Nothing was changed; fix that, then try again."
        ) from None


def exists(path: Path) -> bool:
    """Whether there is a file. Raises StoreError if an object store does not answer."""
    if not objects.is_object(path):
        return path.exists()
    try:
        objects.read(path)  # one request; asking whether it exists would be two, and hide errors
    except FileNotFoundError:
        return False
    return True


def names_in(folder: Path) -> list[str]:
    """The names of the files and folders in a folder, sorted. Raises OSError or StoreError if it cannot be read.

    Raises FileNotFoundError if there is no such folder on a disk; in an object store it is empty.
    """
    if objects.is_object(folder):
        return objects.names(folder)
    return sorted(path.name for path in folder.iterdir())


def matching(folder: Path, pattern: str) -> list[Path]:
    """The files below a folder that match a glob pattern, sorted."""
    return objects.matching(folder, pattern) if objects.is_object(folder) else sorted(folder.glob(pattern))


def is_temporary(name: str) -> bool:
    """Whether a file has a name that only this program gives to a file that is being written."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


def link_problems(paths: Iterable[Path]) -> list[str]:
    """The symbolic links among these files and folders and anywhere below them, each in a sentence for the user.

    What is written or removed through a link would be somewhere else. An object store has none.
    """
    return [
        f"{link}: a link, and nothing is written through one; put what it points to in its place, or remove it with: "
        + shlex.join(["rm", str(link)])
        for path in paths
        if not objects.is_object(path)
        for link in sorted(_links(path))
    ]


def _links(path: Path) -> Iterator[Path]:
    if path.is_symlink():
        yield path
        return
    with contextlib.suppress(OSError), os.scandir(path) as entries:  # a file; a folder that was removed meanwhile
        for entry in entries:
            if entry.is_symlink() or entry.is_dir():
                yield from _links(Path(entry.path))


def remove(path: Path) -> None:
    """Removes a file, if it is there. Raises OSError or StoreError."""
    require_leave(path)
    if objects.is_object(path):
        objects.remove(path)
    else:
        path.unlink(missing_ok=True)


def for_each(function: Callable[[_Item], _Result], items: Iterable[_Item], folder: Path) -> Iterator[_Result]:
    """Yields what a function that works below the folder returns for each item, in order.

    Works on several items at a time if the folder is in an object store, where most time is spent waiting for answers.
    """
    if not objects.is_object(folder):
        yield from map(function, items)
        return
    with ThreadPoolExecutor(objects.AT_ONCE) as threads:
        yield from threads.map(function, items)


def file_digest(path: Path) -> str | None:
    """The sha256 of a file; None if there is none. Raises StoreError if it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()
    except FileNotFoundError:
        return None


def set_aside(path: Path) -> None:
    """Renames a damaged file to <its name>.damaged-<number>, so it is neither read again nor lost."""
    require_leave(path)
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        if not exists(aside):
            if objects.is_object(path):
                objects.write(aside, objects.read(path))
                objects.remove(path)
            else:
                path.rename(aside)
            return


def read_json(path: Path, kind: Format) -> dict[str, Any] | None:
    """A JSON file that `write_json` wrote; None if there is none.

    Raises DamagedFileError, or StoreError if it cannot be read or a newer infomax-tune wrote it.
    """
    try:
        data = read_bytes(path, MAX_TEXT)
    except FileNotFoundError:
        return None
    return parse_json(data, path, kind)


def parse_json(data: bytes, path: Path, kind: Format) -> dict[str, Any]:
    """The content of a JSON file from its bytes. path: for messages. Raises like `read_json`."""
    try:
        content = json.loads(data)
        checksum = content.pop("sha256", None) if isinstance(content, dict) else None
        intact = checksum is not None and checksum == digest(content)
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: cannot be read ({error}).") from None
    if not intact:
        raise DamagedFileError(f"{path}: damaged (its checksum is wrong).")
    return kind.read(content, path)


def digest(content: Mapping[str, Any]) -> str:
    """The sha256 of a mapping, whatever the order of its keys. Raises ValueError if it holds NaN or infinity."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_text_table(
    path: Path, types: Mapping[str, Any], needed: Sequence[str], rest: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """A CSV file with its numbers exact to the last bit: read as text, since pandas' own float parser may round.

    types: the wanted columns, in order. A column that the file lacks is empty; a column that is not wanted is left out, or
    is last, with the type in `rest`, or float64 if it holds numbers.
    Raises KeyError if a needed column is missing, ValueError if a value is not of its type, FileNotFoundError, or
    StoreError if it cannot be read.
    """
    table = pd.read_csv(io.BytesIO(read_bytes(path)), dtype=str)
    lacking = [name for name in needed if name not in table]
    if lacking:
        raise KeyError(f"no column {', '.join(lacking)}")
    others = [] if rest is None else [name for name in table.columns if name not in types]
    wanted = dict(types) | {name: (rest or {}).get(name) or _number_or_text(table[name]) for name in others}
    try:
        return table.reindex(columns=list(wanted)).astype(wanted)
    except OverflowError as error:  # a whole number of many digits
        raise ValueError(str(error)) from None


def _number_or_text(column: pd.Series) -> str:
    with contextlib.suppress(ValueError):
        column.astype("float64")
        return "float64"
    return "str"
