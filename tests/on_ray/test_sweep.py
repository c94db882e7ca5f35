"""sweep.py: when a sweep makes itself the driver of its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import infomax_tune
from infomax_tune import ConfigError, InfomaxTuneError
from infomax_tune.errors import StoreError
from infomax_tune.on_ray import sweep
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.plan import Plan
from tests.folders import make_sweep


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    return make_sweep(tmp_path / "sweep", "epochs=1", "activation=relu", "seed=1")


def test_workers_of_an_earlier_driver_stop_before_the_folder_is_mended(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may still be writing: what they write would count as left by a crash."""
    earlier = folder.driver.take_over()

    def mend(folder: SweepFolder, plan: Plan) -> list[str]:
        raise StoreError(f"mended while the earlier one drives: {folder.driver.is_driven_by(earlier)}")

    monkeypatch.setattr(sweep, "mend_folder", mend)
    with pytest.raises(InfomaxTuneError, match="mended while the earlier one drives: False"):
        infomax_tune.sweep(None, out=folder.root, quiet=True)


def test_a_sweep_that_is_refused_stops_no_other(folder: SweepFolder) -> None:
    earlier = folder.driver.take_over()
    with pytest.raises(ConfigError, match="already contains a sweep with a different config"):
        infomax_tune.sweep("quickstart", settings={"epochs": 2}, out=folder.root, quiet=True)
    assert folder.driver.is_driven_by(earlier)


def test_a_part_that_was_edited_makes_another_sweep(tmp_path: Path) -> None:
    """Whether it is in the space's base or one of its axes; and it is said so, not that trials would be dropped."""
    part, out = tmp_path / "mine.py", tmp_path / "sweep"
    for activation in (f"{part}:half", [f"{part}:half", "relu"]):
        part.write_text("def half(z):\n    return z / 2\n")
        settings = {"epochs": 1, "seed": 1, "activation": activation}
        shown = str(activation).replace("'", "")
        before = make_sweep(out, "epochs=1", "seed=1", f"activation={shown}").read_space()
        part.write_text("def half(z):\n    return z * 0.5\n")
        with pytest.raises(ConfigError, match=r"mine.py:half was edited since .*its digest was \w{12}, is now \w{12}"):
            infomax_tune.sweep("quickstart", settings=settings, out=out, quiet=True)
        assert SweepFolder(out).read_space() == before
        shutil.rmtree(out)
