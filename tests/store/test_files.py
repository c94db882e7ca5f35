"""files.py: files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infomax_tune.errors import StoreError
from infomax_tune.store import files


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, b"old")

    def crash(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(StoreError, match="No space left"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_every_new_folder_is_fsynced_into_the_one_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power failure can lose a whole new folder, with the files in it that were fsynced."""
    synced: list[Path] = []
    monkeypatch.setattr(files, "_sync_folder", synced.append)
    files.make_folder(tmp_path / "sweep" / "trials" / "relu")
    assert synced == [tmp_path, tmp_path / "sweep", tmp_path / "sweep" / "trials"]
    files.make_folder(tmp_path / "sweep" / "trials" / "tanh")
    assert synced[3:] == [tmp_path / "sweep" / "trials"]
    files.make_folder(tmp_path / "sweep" / "trials" / "tanh")
    assert len(synced) == 4
