"""folder_status.py: which driver counts as running."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from infomax_tune.follow import folder_status
from infomax_tune.follow.folder_status import read_driver
from infomax_tune.follow.tally import Tally
from infomax_tune.store.driver_notes import PROGRESS
from infomax_tune.store.files import write_json
from infomax_tune.store.formats import PROGRESS as PROGRESS_FORMAT
from infomax_tune.store.sweep_folder import SweepFolder

HOUR_S = 3600.0


def report(folder: SweepFolder, updated: float, host: str = "elsewhere") -> None:
    """The progress that a driver wrote at this time, by its own clock."""
    state = Tally([], {}).state().as_dict() | {"host": host, "updated": updated, "pid": 2**30}
    write_json(folder.root / PROGRESS, PROGRESS_FORMAT, state)


@pytest.mark.parametrize("wrong_s", [-HOUR_S, HOUR_S])
def test_a_driver_whose_clock_is_wrong_is_seen(tmp_path: Path, wrong_s: float) -> None:
    folder, begun = SweepFolder(tmp_path), time.time()
    report(folder, begun + wrong_s)
    beat = threading.Timer(0.5, report, [folder, begun + wrong_s + 0.5])
    beat.start()
    found = read_driver(folder)
    beat.join()
    assert found is not None
    assert found.updated == begun + wrong_s + 0.5


def test_a_driver_that_reports_no_more_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_status, "_PATIENCE_S", 0.5)
    report(SweepFolder(tmp_path), time.time() - HOUR_S)
    assert read_driver(SweepFolder(tmp_path)) is None


def test_a_driver_that_ends_while_it_is_waited_for_is_dead(tmp_path: Path) -> None:
    report(SweepFolder(tmp_path), time.time() - HOUR_S)
    threading.Timer(0.3, (tmp_path / PROGRESS).unlink).start()
    assert read_driver(SweepFolder(tmp_path)) is None


@pytest.mark.parametrize(
    ("ago_s", "host"), [(0.0, "elsewhere"), (48 * HOUR_S, "elsewhere"), (HOUR_S, socket.gethostname())]
)
def test_no_other_driver_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ago_s: float, host: str
) -> None:
    report(SweepFolder(tmp_path), time.time() - ago_s, host)
    monkeypatch.setattr(folder_status.time, "sleep", lambda seconds: pytest.fail("it waits"))
    assert (read_driver(SweepFolder(tmp_path)) is not None) == (ago_s == 0)
