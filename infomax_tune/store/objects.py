"""Objects in a store such as S3, reached through fsspec, for output folders like `s3://bucket/prefix`.

Such a folder is a `UPath` in place of a `Path`. An object is written by one put, so it is there whole or not at all.
Nothing is renamed, appended to or locked by the system, and listings are trusted only where a late listing does no
harm. Every function raises StoreError if the store cannot be reached or refuses.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from infomax_tune.errors import ConfigError, StoreError
from infomax_tune.process.paths import user_path

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/{1,2})")
"""A URL, possibly converted by Path, which merges slashes."""

_KINDS = ("s3", "s3a", "gs", "gcs", "memory")
"""The kinds of store that write an object whole or not at all, and create it only if it does not exist. Other kinds that
fsspec knows, such as sftp, smb and webdav, do not."""

AT_ONCE = 16
"""How many objects to request at the same time: each answer takes a round trip."""

_EXISTS, _CONFLICT = ("PreconditionFailed", "412"), ("ConditionalRequestConflict", "409")
"""S3's codes for a conditional put that is refused: the object exists, or another put is under way."""

_TRIES, _WAIT_S = 5, 0.2
"""How often a conditional put is tried while another is under way, and the seconds between two tries."""


def location(text: str | os.PathLike[str]) -> Path:
    """The output folder that a user named: a folder of this machine, or a URL of one in a store, such as s3://bucket/prefix.

    Credentials and endpoints are those of the environment, as the store's own tools read them.
    Raises ConfigError if it is empty, or a URL that is not of one of `_KINDS`, or whose package is not installed.
    """
    if is_object(text) and not isinstance(text, (str, os.PathLike)):  # it is what this function returned
        return text
    url = _URL.match(os.fspath(text))
    if not url or (isinstance(text, str) and len(url[2]) < 2):
        return user_path(text)
    kind, rest = url[1], os.fspath(text)[url.end() :].rstrip("/")
    if kind == "file":
        return user_path(rest)
    if kind not in _KINDS or not rest:
        raise ConfigError(
            f"{kind}://{rest}: not a place that can hold results; use a folder, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX."
        )
    from fsspec import get_filesystem_class
    from upath import UPath

    try:
        get_filesystem_class(kind)
    except ImportError as error:
        extra = "pip install s3fs" if kind in ("s3", "s3a") else str(error)
        raise ConfigError(f"{kind}://{rest}: needs a package that is not installed: {extra}") from None
    # without this, s3fs asks for an object's size before it reads it, and reads a large one in parts
    options: dict[str, Any] = {"max_concurrency": 1} if kind in ("s3", "s3a") else {}
    # cast: a UPath has a Path's methods. Listings are never remembered: another machine may have written meanwhile.
    return cast(Path, UPath(f"{kind}://{rest}", use_listings_cache=False, **options))


def is_object(path: object) -> bool:
    """Whether a path that `location` made, or one below it, is in an object store."""
    return hasattr(path, "protocol")


def is_private(path: Path) -> bool:
    """Whether only this process sees what is written there (`memory://`)."""
    return is_object(path) and cast(Any, path).protocol == "memory"


def read(path: Path) -> bytes:
    """An object's content. Raises FileNotFoundError if there is no such object."""
    with _told(path, "read"):
        return _store(path).cat_file(_key(path))


def write(path: Path, data: bytes) -> None:
    """Puts an object, replacing any existing one."""
    with _told(path, "written"):
        try:
            _store(path).pipe_file(_key(path), data)
        except FileNotFoundError as error:  # no such bucket
            raise OSError(str(error)) from None


def create(path: Path, data: bytes) -> bool:
    """Puts an object unless the name exists, which the store decides; returns whether it did."""
    with _told(path, "written"):
        for _ in range(_TRIES):
            is_created = _try_to_create(path, data)
            if is_created is not None:
                return is_created
            time.sleep(_WAIT_S)
        raise OSError("another process keeps writing it")


def _try_to_create(path: Path, data: bytes) -> bool | None:
    """Whether the object was created; None if another put of it is under way, so the store cannot tell yet."""
    try:
        _store(path).pipe_file(_key(path), data, mode="create")
    except FileExistsError:
        return False
    except FileNotFoundError as error:  # no such bucket
        raise OSError(str(error)) from None
    except OSError as error:
        code = _s3_code(error)
        if code in _EXISTS:
            return False
        if code in _CONFLICT:
            return None
        raise
    return True


def _s3_code(error: OSError) -> str:
    """S3's code for an error, "" if it has none. s3fs raises FileExistsError only if the answer looks like that of AWS."""
    answer = getattr(error.__cause__, "response", {})
    return str(answer.get("Error", {}).get("Code", ""))


def names(folder: Path) -> list[str]:
    """The names of what is directly below, sorted; empty if there is nothing."""
    with _told(folder, "listed"):
        try:
            found = _store(folder).ls(_key(folder), detail=False)
        except FileNotFoundError:
            return []
    below = {path.rstrip("/") for path in found} - {_key(folder)}
    return sorted({name for path in below if (name := path.rpartition("/")[2])})


def sizes_and_times(folder: Path) -> dict[str, tuple[int, float]]:
    """The objects below, by what follows the folder in their names: bytes, and when it was written, in Unix seconds."""
    start = len(_key(folder)) + 1
    with _told(folder, "listed"):
        found = _store(folder).find(_key(folder), detail=True)
    return {str(key)[start:]: (int(info["size"]), _written(info)) for key, info in found.items()}


def _written(info: dict[str, Any]) -> float:
    """When an object was written; 0 if that is unknown. Each store's package has its own name for it."""
    when = next((info[name] for name in ("LastModified", "mtime", "created") if name in info), 0.0)
    return when.timestamp() if isinstance(when, datetime.datetime) else float(when)


def matching(folder: Path, pattern: str) -> list[Path]:
    """The objects below that match a glob pattern, sorted. What the folder's own name holds, such as `[`, is no pattern."""
    parts, start = pattern.split("/"), len(_key(folder)) + 1
    with _told(folder, "listed"):
        names = [str(key)[start:] for key in _store(folder).find(_key(folder))]
    return sorted(
        (
            folder / name
            for name in names
            if len(parts) == name.count("/") + 1 and all(map(fnmatchcase, name.split("/"), parts))
        ),
        key=str,
    )


def remove(path: Path) -> None:
    """Removes an object, if it is there."""
    with _told(path, "removed"), contextlib.suppress(FileNotFoundError):
        _store(path).rm_file(_key(path))


def _store(path: Path) -> Any:
    return cast(Any, path).fs


def _key(path: Path) -> str:
    return cast(Any, path).path.rstrip("/")  # that of a bucket ends with one


@contextlib.contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    """Raises StoreError in place of whatever the store's package raises, except FileNotFoundError: each has errors of its
    own."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise StoreError(
            f"{path}: cannot be {done} ({reason}). Nothing was changed there; fix that, then try again."
        ) from error
