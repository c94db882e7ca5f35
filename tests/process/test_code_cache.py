"""Where compiled code is kept, whatever the user's umask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infomax_tune.process.code_cache import CACHE_DIR_VARIABLE, cache_folder


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_new_folders_are_the_users_alone_whatever_the_umask(
    umask: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many systems let a user's own group write."""
    monkeypatch.setenv(CACHE_DIR_VARIABLE, str(tmp_path / "cache" / "infomax-tune"))
    before = os.umask(umask)
    try:
        folder = cache_folder(__file__)
    finally:
        os.umask(before)
    assert folder is not None
    assert folder.is_relative_to(tmp_path)
    assert {
        path.stat().st_mode & 0o777 for path in (folder, *folder.parents) if path.is_relative_to(tmp_path / "cache")
    } == {0o700}
