"""files.py: files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
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


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_share_that_cannot_fsync_a_folder_is_written(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as CIFS, and the shared folders of virtual machines. It can fsync a file."""
    fails_for_folders(number, monkeypatch)
    files.make_folder(tmp_path / "trials")
    files.write_atomically(tmp_path / "trials" / "record.json", b"{}")
    assert (tmp_path / "trials" / "record.json").read_bytes() == b"{}"


def test_a_folder_that_a_disk_fails_to_keep_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails_for_folders(errno.EIO, monkeypatch)
    with pytest.raises(StoreError, match="cannot be written"):
        files.write_atomically(tmp_path / "record.json", b"{}")


def fails_for_folders(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        usual(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
