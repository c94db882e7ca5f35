"""sweep.py: when a sweep makes itself the driver of its folder."""

from __future__ import annotations

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
