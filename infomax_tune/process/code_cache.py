"""The user's cache folder, and where in it compiled code is kept: a folder that only this user can write to."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_cache_path

from infomax_tune.process.paths import user_path

CACHE_DIR_VARIABLE = "INFOMAX_TUNE_CACHE_DIR"


def user_cache() -> Path | None:
    """infomax-tune's folder for what can be downloaded or computed again; None for a user without a home."""
    try:
        folder = user_cache_path("infomax-tune")
    except RuntimeError:  # neither $HOME nor an entry in the system's list of users
        return None
    return folder if folder.is_absolute() else None  # older versions of platformdirs do not raise


def cache_folder(*sources: str, also: bytes = b"") -> Path | None:
    """The folder for code compiled from these source files, and from this text; None if no folder is usable.

    It is in $INFOMAX_TUNE_CACHE_DIR, else in the user's cache folder, else in the user's own folder among the temporary
    files. Its name holds a hash of the sources, so code compiled from other sources is never used.
    """
    digest = hashlib.sha256(b"".join(Path(source).read_bytes() for source in sources) + also).hexdigest()[:16]
    for parent in _parents():
        folder = parent / "compiled" / digest
        try:
            for path in reversed([folder, *folder.parents]):
                path.mkdir(mode=0o700, exist_ok=True)  # whatever the umask: what a group can write to is refused below
            folder = folder.resolve()  # no link can then lead elsewhere
            if _is_ours(folder) and os.access(folder, os.W_OK):
                return folder
        except OSError:
            continue
    note_problem("no folder is usable for the cache")
    return None


_first: list[str] = []
_untold: list[str] = []


def note_problem(problem: str) -> None:
    """Notes why compiled code is not kept. The first reason is to be told, once."""
    if not _first:
        _first.append(problem)
        _untold.append(f"{problem}; the training loops are compiled each time, which takes seconds")


def untold_problems() -> Iterator[str]:
    """What was noted and is to be told now."""
    while _untold:
        yield _untold.pop()


def _parents() -> Iterator[Path]:
    if chosen := os.environ.get(CACHE_DIR_VARIABLE):
        yield user_path(chosen)
    if folder := user_cache():
        yield folder
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"infomax-tune-{user}"


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can put code there, or another folder in its place: it is read back without a further check."""
    if not hasattr(os, "getuid"):
        return True
    for path in (folder, *folder.parents):
        found = path.stat()
        is_open = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        is_sticky = path != folder and found.st_mode & stat.S_ISVTX  # like /tmp: nobody can rename what is another's
        if found.st_uid not in (0, os.getuid()) or (is_open and not is_sticky):
            return False
    return True
