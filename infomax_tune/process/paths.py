"""Paths as users name them."""

from __future__ import annotations

import os
from pathlib import Path

from infomax_tune.errors import ConfigError, ResourceError


def user_path(given: str | os.PathLike[str]) -> Path:
    """The file or folder that a user named; `~` is their home. Every path from outside passes here.

    Raises ConfigError if it is empty, is not UTF-8, or is in a home that does not exist.
    """
    text = os.fspath(given)
    if not text:
        raise ConfigError("a path is empty; name a file or a folder.")
    require_utf8(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{text}: there is no such home folder; write out the whole path.") from None


def require_utf8(*texts: str) -> None:
    """Raises ConfigError if one of these holds bytes that are not UTF-8: Ray and the files that name it cannot hold them."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"{text!a} is not UTF-8 text, but paths must be; rename it, or choose another.") from None


def require_working_folder() -> None:
    """Raises ResourceError if the folder that this process is in was deleted, and ConfigError if its path is not UTF-8."""
    try:
        require_utf8(str(Path.cwd()))
    except FileNotFoundError:
        raise ResourceError(
            "the folder that this was started in no longer exists; change to another one, such as with cd."
        ) from None
