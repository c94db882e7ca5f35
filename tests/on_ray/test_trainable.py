"""trainable.py: what a worker does when its folder is no longer its driver's."""

from __future__ import annotations

from pathlib import Path

import pytest

from infomax_tune.errors import StoreError, TakenOverError
from infomax_tune.on_ray.trainable import _until_taken_over
from infomax_tune.store.files import write_atomically
from infomax_tune.store.sweep_folder import SweepFolder


def test_a_folder_that_is_moved_in_the_middle_of_a_write_is_no_failure(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "sweep")
    folder.create()
    driver = folder.driver.take_over()
    with pytest.raises(StoreError, match=r"there/record.json: cannot be written"), _until_taken_over(folder, driver):
        write_atomically(folder.root / "there" / "record.json", b"")  # its folder is not there: a fault of its own
    with _until_taken_over(folder, driver):
        raise TakenOverError
    with _until_taken_over(folder, driver):
        folder.root.rename(tmp_path / "moved")
        write_atomically(folder.root / "record.json", b"")
