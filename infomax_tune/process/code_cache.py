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
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if all(_is_ours(path) for path in (parent, folder.parent, folder)) and os.access(folder, os.W_OK):
                return folder
        except OSError:
            continue
    return None


def _parents() -> Iterator[Path]:
    if chosen := os.environ.get(CACHE_DIR_VARIABLE):
        yield user_path(chosen)
    if folder := user_cache():
        yield folder
    user = os.getuid() if hasattr(os, "getuid") else "user"
    yield Path(tempfile.gettempdir()) / f"infomax-tune-{user}"


def _is_ours(folder: Path) -> bool:
    """Whether nobody else could have put code there: it is read back without a further check."""
    if not hasattr(os, "getuid"):
        return True
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & stat.S_IWOTH
