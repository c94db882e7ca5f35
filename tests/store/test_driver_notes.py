"""driver_notes.py: what a driver tells others, and how its workers notice that another has taken over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from infomax_tune.store import driver_notes
from infomax_tune.store.driver_notes import DriverNotes


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


def test_each_driver_has_a_higher_number_and_only_the_last_one_drives(tmp_path: Path) -> None:
    first = DriverNotes(tmp_path).take_over()
    assert DriverNotes(tmp_path).is_driven_by(first)
    second = DriverNotes(tmp_path).take_over()
    assert second > first
    assert not DriverNotes(tmp_path).is_driven_by(first)
    assert DriverNotes(tmp_path).is_driven_by(second)


def test_a_number_that_is_gone_or_damaged_stops_nobody(tmp_path: Path) -> None:
    notes = DriverNotes(tmp_path)
    number = notes.take_over()
    for damage in (b"", b"{}", None):
        if damage is None:
            (tmp_path / "driver.json").unlink()
        else:
            (tmp_path / "driver.json").write_bytes(damage)
        assert notes.is_driven_by(number)
    (tmp_path / "driver.json").write_bytes(b"{}")
    assert notes.take_over() > number  # of one that cannot be read, it is higher all the same


def test_a_driver_that_comes_back_leaves_the_notes_of_its_successor_alone(tmp_path: Path) -> None:
    """As one that was suspended, or cut off from a network file system."""
    old, new = DriverNotes(tmp_path), DriverNotes(tmp_path)
    old.take_over()
    old.write_progress({"phase": "training"})
    new.take_over()
    new.write_progress({"phase": "resumed"})
    new.ask_to_stop()
    old.write_progress({"phase": "training"})
    old.clear_progress()
    old.clear_stop()
    progress = new.read_progress()
    assert progress is not None
    assert progress["phase"] == "resumed"
    assert new.stop_asked()
    new.clear_stop()
    old.ask_to_stop()
    assert not new.stop_asked()
