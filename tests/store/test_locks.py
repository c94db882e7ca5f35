"""locks.py: one process at a time in a folder, on a disk and in an object store."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from infomax_tune.errors import LockedError, StoreError, TakenOverError
from infomax_tune.process.running import begun
from infomax_tune.store import locks, objects
from infomax_tune.store.files import make_folder, write_atomically
from infomax_tune.store.locks import Work, is_locked, locked
from infomax_tune.store.objects import location
from infomax_tune.store.sweep_folder import SweepFolder


def hold(folder: Path, work: Work, ready: multiprocessing.Queue, leave: multiprocessing.Event) -> None:  # pyright: ignore
    with locked(folder, work):
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
    with locked(tmp_path, Work.SWEEP):
        assert (tmp_path / "lock").read_text().splitlines()[1] == "SWEEP"


def test_a_sweep_is_not_waited_for_and_its_host_and_pid_are_told(
    tmp_path: Path, held: Callable[[Work], tuple[int, Callable[[], None]]]
) -> None:
    pid, _ = held(Work.SWEEP)
    message = rf"another sweep is running here \(host .+, pid {pid}\); wait for it, or stop it first\."
    for work in Work:
        with pytest.raises(LockedError, match=message), locked(tmp_path, work):
            pass


def test_patience_ends(
    tmp_path: Path, held: Callable[[Work], tuple[int, Callable[[], None]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_PATIENCE_S", 0.3)
    held(Work.TABLES)
    with pytest.raises(LockedError, match="the tables are being written"), locked(tmp_path, Work.SWEEP):
        pass


def test_who_looks_whether_a_folder_is_locked_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the name of a holder that was killed, a look holds the lock for a moment."""
    assert not is_locked(tmp_path)
    path = tmp_path / locks.LOCK
    path.write_text(f"host {os.uname().nodename}, pid {os.getpid()}\nTRIAL\n")
    assert not is_locked(tmp_path)
    look = path.open()
    fcntl.flock(look, fcntl.LOCK_SH)
    monkeypatch.setattr(locks, "_LOOK_S", 60)
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: look.close())
    with locked(tmp_path, Work.TRIAL):
        assert is_locked(tmp_path)


def test_the_lock_of_version_0_1_0_is_a_sweeps(
    tmp_path: Path, held: Callable[[Work], tuple[int, Callable[[], None]]]
) -> None:
    """It named its holder and no work."""
    held(Work.SWEEP)
    (tmp_path / "lock").write_text("host elsewhere, pid 7\n")
    with (
        pytest.raises(LockedError, match=r"another sweep is running here \(host elsewhere, pid 7\)"),
        locked(tmp_path, Work.SWEEP),
    ):
        pass


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in an object store, where leases end quickly."""
    monkeypatch.setattr(locks, "_LEASE_S", 0.8)
    monkeypatch.setattr(locks, "_RENEW_S", 0.2)
    return location(f"memory://locks{tmp_path}")


def leases(store: Path) -> list[dict[str, object]]:
    """What every lease of the folder holds, by number."""
    return [json.loads(objects.read(store / "lock" / name)) for name in sorted(objects.names(store / "lock"))]


def leave_lease(store: Path, number: int = 1, **changes: object) -> None:
    """A lease that a driver on another machine left."""
    lease = {"work": "SWEEP", "host": "elsewhere", "pid": 7, "begun": 1.0, "machine": "another", "beat": 3}
    objects.write(store / "lock" / str(number), json.dumps(lease | changes).encode())


def test_a_lease_is_given_back_and_its_number_is_never_given_twice(store: Path) -> None:
    for number in (1, 2, 3):
        with locked(store, Work.SWEEP):
            assert [lease["released"] for lease in leases(store)] == [True] * (number - 1) + [False]
    assert [lease["released"] for lease in leases(store)] == [True] * 3


def test_who_holds_a_lease_is_told(store: Path) -> None:
    message = rf"another sweep is running here \(host .+, pid {os.getpid()}\); wait for it, or stop it first\."
    with locked(store, Work.SWEEP), pytest.raises(LockedError, match=message), locked(store, Work.TABLES):
        pass


def test_a_lease_that_is_renewed_on_another_machine_is_held(store: Path) -> None:
    is_over = threading.Event()

    def renew() -> None:
        for beat in range(100):
            leave_lease(store, beat=beat)
            if is_over.wait(0.2):
                return

    leave_lease(store)
    driver = threading.Thread(target=renew)
    driver.start()
    with pytest.raises(LockedError, match="host elsewhere, pid 7"), locked(store, Work.SWEEP):
        pass
    is_over.set()
    driver.join()
    assert len(leases(store)) == 1


def test_a_lease_ends_when_its_holder_is_silent(store: Path) -> None:
    """A driver that was killed on another machine, or whose machine was cut off."""
    leave_lease(store)
    with locked(store, Work.SWEEP):
        assert [lease["host"] == "elsewhere" for lease in leases(store)] == [True, False]


def test_a_lease_of_another_version_is_held(store: Path) -> None:
    """It has one field more."""
    parent = psutil.Process(os.getppid())
    here = {"machine": locks._this_machine(), "pid": parent.pid, "begun": begun(parent.pid)}
    leave_lease(store, **here, color="blue")
    with pytest.raises(LockedError, match=f"host elsewhere, pid {parent.pid}"), locked(store, Work.SWEEP):
        pass


@pytest.mark.parametrize(
    "form", ["v9 %d", '{"beat": %d}', "[%d]", "%d", "[" * 100_000 + "%d", '{"host": "x", "pid": -%d}', '{"pid": [%d]}']
)
def test_a_lease_that_cannot_be_read_is_held_while_it_changes(store: Path, form: str) -> None:
    is_over = threading.Event()
    objects.write(store / "lock" / "1", (form % 0).encode())

    def renew() -> None:
        for beat in range(1, 100):
            if is_over.wait(0.2):
                return
            objects.write(store / "lock" / "1", (form % beat).encode())

    driver = threading.Thread(target=renew)
    driver.start()
    with pytest.raises(LockedError, match=r"another process is using it \(unknown\)"), locked(store, Work.SWEEP):
        pass
    is_over.set()
    driver.join()
    with locked(store, Work.SWEEP):  # it is silent now
        assert objects.names(store / "lock") == ["1", "2"]


def test_a_waiting_process_that_was_suspended_looks_again_before_it_takes_the_folder(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was suspended just after it had read the lease, which its holder renewed meanwhile."""
    slept, read, looks = [0.0], objects.read, []

    def read_and_be_suspended(path: Path) -> bytes:
        data = read(path)
        looks.append(path)
        if len(looks) == 2:
            slept.append(1000.0)
            leave_lease(store, beat=4)
        return data

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(slept), sleep=lambda seconds: None)
    monkeypatch.setattr(locks, "time", clock)
    monkeypatch.setattr(objects, "read", read_and_be_suspended)
    leave_lease(store)
    with pytest.raises(LockedError, match="host elsewhere, pid 7"), locked(store, Work.SWEEP):
        pass


def test_a_holder_that_was_killed_on_this_machine_is_not_waited_for(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_LEASE_S", 1e9)
    leave_lease(store, machine=locks._this_machine(), pid=os.getpid(), begun=1.0)  # the pid is another process's now
    with locked(store, Work.SWEEP):
        assert len(leases(store)) == 2


def test_a_listing_that_is_late_gives_no_lease_twice(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(store, Work.SWEEP):
        monkeypatch.setattr(objects, "names", lambda folder: [])
        with pytest.raises(LockedError, match="another sweep"), locked(store, Work.SWEEP):
            pass
    with locked(store, Work.SWEEP):
        pass
    monkeypatch.undo()
    assert [lease["released"] for lease in leases(store)] == [True, True]


def test_a_holder_that_was_silent_for_too_long_finds_out(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that was suspended: another has the folder when it comes back, which it must not drive then."""
    folder = SweepFolder(store)
    with folder.lock():
        folder.driver.take_over()
        leave_lease(store, 2)
        with pytest.raises(TakenOverError, match="another process has taken over this folder; this one stops"):
            folder.driver.take_over()
        with pytest.raises(TakenOverError, match="another process has taken over this folder; this one stops"):
            write_atomically(store / "sweep.yaml", b"late")
        time.sleep(3 * locks._RENEW_S)
        assert leases(store)[0]["beat"] == 0, "it renews what it has lost"


def test_a_lease_that_was_removed_or_replaced_is_lost(store: Path) -> None:
    with locked(store, Work.SWEEP):
        write_atomically(store / "file", b"1")
        time.sleep(3 * locks._RENEW_S)
        write_atomically(store / "file", b"it was renewed")
        leave_lease(store, 1)
        with pytest.raises(TakenOverError):
            write_atomically(store / "file", b"2")
        objects.remove(store / "lock" / "1")
        with pytest.raises(TakenOverError):
            write_atomically(store / "file", b"3")
    write_atomically(store / "file", b"nobody holds it now")


@pytest.mark.parametrize("work", list(Work))
def test_a_folder_that_was_moved_is_not_made_again(work: Work, tmp_path: Path) -> None:
    """Where it is now is told; and so it is if another was made in its place, or if it is gone."""
    out, moved = tmp_path / "out", tmp_path / "moved"
    with locked(out, work):
        make_folder(out / "trials")
        out.rename(moved)
        message = f"out: the folder was moved, .* the command stops. It is now {moved}, with all that was written"
        for _ in ("gone", "another"):
            with pytest.raises(TakenOverError, match=message):
                make_folder(out / "trials" / "one")
            with pytest.raises(TakenOverError, match=message):
                write_atomically(out / "sweep.yaml", b"")
            assert [path.name for path in tmp_path.rglob("*")].count("trials") == 1
            assert not out.exists() or not any(out.iterdir())
            out.mkdir(exist_ok=True)
        shutil.rmtree(moved)
        with pytest.raises(TakenOverError, match=r"was moved, removed or unmounted .* the command stops\.$"):
            write_atomically(out / "sweep.yaml", b"")


def test_through_a_link_nothing_is_locked(tmp_path: Path) -> None:
    (tmp_path / "diary").write_text("dear diary")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lock").symlink_to(tmp_path / "diary")
    refused = pytest.raises(StoreError, match=r"lock: a link, and nothing is written through one; .* rm ")
    with refused, locked(tmp_path / "out", Work.TABLES):
        pass
    assert (tmp_path / "diary").read_text() == "dear diary"


def test_brief_work_in_an_object_store_is_waited_for(store: Path) -> None:
    parent = psutil.Process(os.getppid())
    leave_lease(store, machine=locks._this_machine(), pid=parent.pid, begun=begun(parent.pid), work="RUNS")
    threading.Timer(1.0, lambda: leave_lease(store, released=True)).start()
    with locked(store, Work.SWEEP):
        assert [lease["released"] for lease in leases(store)] == [True, False]


def test_a_store_without_conditional_puts_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overwrite(path: Path, data: bytes) -> bool:
        objects.write(path, data)
        return True

    monkeypatch.setattr(objects, "create", overwrite)
    with pytest.raises(StoreError, match="does not support conditional puts"), locked(store, Work.SWEEP):
        pass


def test_a_put_that_was_sent_twice_locks_nobody_out(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to the first was lost, and the second is refused because of what the first made."""
    create = objects.create

    def send_twice(path: Path, data: bytes) -> bool:
        create(path, data)
        return create(path, data)

    monkeypatch.setattr(objects, "create", send_twice)
    with locked(store, Work.SWEEP):
        assert len(leases(store)) == 1
        with pytest.raises(LockedError, match="another sweep"), locked(store, Work.SWEEP):
            pass


def test_a_lease_that_this_process_could_not_give_back_is_not_held(store: Path) -> None:
    """As in a notebook, whose process lives on after a sweep failed."""
    me = psutil.Process()
    leave_lease(store, machine=locks._this_machine(), pid=me.pid, begun=begun(me.pid), token="earlier")
    with locked(store, Work.SWEEP):
        assert len(leases(store)) == 2


FORK = """
import os, pathlib, signal
from infomax_tune.store.locks import Work, locked
with locked(pathlib.Path("."), Work.SWEEP):
    if child := os.fork():
        print(child, flush=True)
    signal.pause()
"""


def test_a_fork_of_the_holder_does_not_hold_the_folder(tmp_path: Path) -> None:
    """As of a host program, which may live on after the sweep."""
    holder = subprocess.Popen([sys.executable, "-c", FORK], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        assert is_locked(tmp_path)
        holder.kill()
        holder.wait()
        with locked(tmp_path, Work.SWEEP):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()
