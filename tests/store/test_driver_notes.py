"""driver_notes.py: what a driver tells others, and how its workers notice that another has taken over."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infomax_tune.errors import NewerVersionError, TakenOverError
from infomax_tune.store import driver_notes, formats
from infomax_tune.store.driver_notes import DriverNotes
from infomax_tune.store.files import make_folder, remove, set_aside, write_atomically, write_json
from infomax_tune.store.formats import Format, as_it_is
from infomax_tune.store.objects import location


def updated(notes: DriverNotes) -> float:
    progress = notes.read_progress()
    assert progress is not None
    return progress["updated"]


def test_a_driver_that_has_nothing_new_to_tell_tells_that_it_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_notes, "BEAT_S", 0.02)
    notes = DriverNotes(tmp_path)
    with notes.beating():
        assert notes.read_progress() is None  # nothing was told yet
        notes.write_progress({"phase": "training"})
        told = updated(notes)
        while updated(notes) == told:
            time.sleep(0.01)
        progress = notes.read_progress()
        assert progress is not None
        assert progress["phase"] == "training"
        notes.clear_progress()
    assert notes.read_progress() is None  # no beat comes after the end


def test_a_driver_does_not_wait_for_an_object_store_to_tell_its_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeat waits there, and tells the latest next time."""
    monkeypatch.setattr(driver_notes, "BEAT_S", 0.02)
    is_waiting, may_go_on, written = threading.Event(), threading.Event(), []

    def write_slowly(path: Path, kind: Format, content: dict[str, Any], **_: object) -> None:
        is_waiting.set()
        may_go_on.wait(60)
        written.append(content["phase"])

    monkeypatch.setattr(driver_notes, "write_json", write_slowly)
    notes = DriverNotes(location(f"memory://notes{tmp_path}"))
    notes.write_progress({"phase": "starting"})
    with notes.beating():
        assert is_waiting.wait(60)
        told = threading.Thread(target=notes.write_progress, args=({"phase": "training"},), daemon=True)
        told.start()
        told.join(10)
        waits = told.is_alive()
        may_go_on.set()
        while not waits and written[-1:] != ["training"]:
            time.sleep(0.01)
    assert not waits
    assert written[0] == "starting"


def test_only_the_last_driver_drives(tmp_path: Path) -> None:
    first = DriverNotes(tmp_path).take_over()
    assert DriverNotes(tmp_path).is_driven_by(first)
    second = DriverNotes(tmp_path).take_over()
    assert not DriverNotes(tmp_path).is_driven_by(first)
    assert DriverNotes(tmp_path).is_driven_by(second)


def test_of_two_drivers_that_take_over_at_once_one_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither knows of the other's lock; each sees what was there before both."""
    drivers = []

    def write_after_the_other(*words: Any) -> None:
        if not drivers:
            drivers.append("")  # only once
            drivers[0] = DriverNotes(tmp_path).take_over()
        write_json(*words)

    monkeypatch.setattr(driver_notes, "write_json", write_after_the_other)
    drivers.append(DriverNotes(tmp_path).take_over())
    assert [DriverNotes(tmp_path).is_driven_by(each) for each in drivers] == [False, True]


def test_a_driver_after_the_id_was_lost_is_another_one(tmp_path: Path) -> None:
    first = DriverNotes(tmp_path).take_over()
    (tmp_path / "driver.json").unlink()
    DriverNotes(tmp_path).take_over()
    assert not DriverNotes(tmp_path).is_driven_by(first)


def test_an_id_that_is_damaged_stops_nobody_and_one_that_is_gone_stops_all(tmp_path: Path) -> None:
    """It is gone where the folder was moved, removed or unmounted."""
    notes = DriverNotes(tmp_path)
    driver = notes.take_over()
    for damage in (b"", b"{}"):
        (tmp_path / "driver.json").write_bytes(damage)
        assert notes.is_driven_by(driver)
    assert notes.take_over() != driver
    (tmp_path / "driver.json").unlink()
    assert not notes.is_driven_by(driver)
    assert not notes.is_ours()


@pytest.mark.parametrize("driver", [None, "the first"])
def test_whoever_works_for_a_driver_writes_nothing_once_another_has_taken_over(
    driver: str | None, tmp_path: Path
) -> None:
    """As a worker, or as what found that driver when it took the lock. Elsewhere it may still write."""
    notes, file = DriverNotes(tmp_path), tmp_path / "trials" / "one"
    if driver:
        driver = DriverNotes(tmp_path).take_over()
    with notes.heeded(driver):
        make_folder(file.parent)
        write_atomically(file, b"mine")
        DriverNotes(tmp_path).take_over()
        for write in (
            lambda: write_atomically(file, b"late"),
            lambda: remove(file),
            lambda: set_aside(file),
            lambda: make_folder(tmp_path / "more"),
            notes.take_over,
        ):
            with pytest.raises(TakenOverError, match="another process has taken over this folder; this one stops"):
                write()
        write_atomically(tmp_path.parent / "elsewhere", b"")
    assert {path.name for path in tmp_path.rglob("*")} == {"driver.json", "trials", "one"}
    assert file.read_bytes() == b"mine"


def test_a_driver_of_a_newer_version_is_another(tmp_path: Path) -> None:
    notes = DriverNotes(tmp_path)
    driver = notes.take_over()
    newer = Format("driver", dict.fromkeys(range(1, formats.DRIVER.version + 2), as_it_is))
    write_json(tmp_path / "driver.json", newer, {"who": driver})
    assert not notes.is_driven_by(driver)
    with pytest.raises(NewerVersionError, match="written by a newer infomax-tune"):
        notes.take_over()


def test_in_an_object_store_a_worker_looks_once_a_second_unless_it_asks_afresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(driver_notes, "time", SimpleNamespace(time=lambda: now[0], monotonic=time.monotonic))
    folder = location(f"memory://notes{tmp_path}")
    driver, worker = DriverNotes(folder).take_over(), DriverNotes(folder)
    assert worker.is_driven_by(driver)
    DriverNotes(folder).take_over()
    assert worker.is_driven_by(driver)
    assert not worker.is_driven_by(driver, afresh=True)


def test_a_worker_whose_machine_was_asleep_looks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monotonic clock stood still meanwhile."""
    now = [1000.0]
    monkeypatch.setattr(driver_notes, "time", SimpleNamespace(time=lambda: now[0], monotonic=lambda: 5.0))
    folder = location(f"memory://notes{tmp_path}")
    driver, worker = DriverNotes(folder).take_over(), DriverNotes(folder)
    assert worker.is_driven_by(driver)
    DriverNotes(folder).take_over()
    now[0] += 3600
    assert not worker.is_driven_by(driver)


def test_a_driver_that_comes_back_leaves_the_notes_of_its_successor_alone(tmp_path: Path) -> None:
    """As one that was suspended, or cut off from a network file system."""
    old, new = DriverNotes(tmp_path), DriverNotes(tmp_path)
    driver = old.take_over()
    old.write_progress({"phase": "training"})
    new.take_over()
    new.write_progress({"phase": "resumed"})
    new.ask_to_stop()
    with old.heeded(driver):
        old.write_progress({"phase": "training"})
        old.clear_progress()
        old.clear_stop()
    progress = new.read_progress()
    assert progress is not None
    assert progress["phase"] == "resumed"
    assert new.stop_asked()
    new.clear_stop()
    with old.heeded(driver):
        old.ask_to_stop()
    assert not new.stop_asked()
