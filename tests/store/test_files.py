"""files.py: files that are there whole or not at all."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infomax_tune.errors import LockedError, StoreError
from infomax_tune.store import files
from infomax_tune.store.locks import Work


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


def hold(folder: Path, work: Work, ready: multiprocessing.Queue, leave: multiprocessing.Event) -> None:  # pyright: ignore
    with files.locked(folder, work):
        ready.put(os.getpid())
        leave.wait(120)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[Work], tuple[int, Callable[[], None]]]]:
    """Starts another process that holds the folder for some work: its pid, and what makes it leave."""
    context = multiprocessing.get_context("spawn")
    holders = []

    def start(work: Work) -> tuple[int, Callable[[], None]]:
        ready, leave = context.Queue(), context.Event()
        holder = context.Process(target=hold, args=(tmp_path, work, ready, leave))
        holder.start()
        holders.append(holder)
        return ready.get(timeout=120), leave.set

    yield start
    for holder in holders:
        holder.kill()
        holder.join()


def test_brief_work_is_waited_for(tmp_path: Path, held: Callable[[Work], tuple[int, Callable[[], None]]]) -> None:
    """Opening TensorBoard does not make a sweep fail that is resumed meanwhile."""
    _, leave = held(Work.RUNS)
    threading.Timer(0.3, leave).start()
    with files.locked(tmp_path, Work.SWEEP):
        assert (tmp_path / "lock").read_text().splitlines()[1] == "SWEEP"


def test_a_sweep_is_not_waited_for_and_its_host_and_pid_are_told(
    tmp_path: Path, held: Callable[[Work], tuple[int, Callable[[], None]]]
) -> None:
    pid, _ = held(Work.SWEEP)
    message = rf"another sweep is at work here \(host .+, pid {pid}\); wait for it, or stop it first\."
    for work in Work:
        with pytest.raises(LockedError, match=message), files.locked(tmp_path, work):
            pass


def test_patience_ends(
    tmp_path: Path, held: Callable[[Work], tuple[int, Callable[[], None]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PATIENCE_S", 0.3)
    held(Work.TABLES)
    with pytest.raises(LockedError, match="the tables are being assembled"), files.locked(tmp_path, Work.SWEEP):
        pass


def test_the_lock_of_version_0_1_0_is_a_sweeps(
    tmp_path: Path, held: Callable[[Work], tuple[int, Callable[[], None]]]
) -> None:
    """It named its holder and no work."""
    held(Work.SWEEP)
    (tmp_path / "lock").write_text("host elsewhere, pid 7\n")
    with (
        pytest.raises(LockedError, match=r"another sweep is at work here \(host elsewhere, pid 7\)"),
        files.locked(tmp_path, Work.SWEEP),
    ):
        pass
