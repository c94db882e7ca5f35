"""fit.py: what the driver writes for trials whose workers could not."""

from __future__ import annotations

from pathlib import Path

from infomax_tune.on_ray.fit import _note_deaths
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.pack import Pack
from tests.conftest import MakeConfig


def test_deaths_are_noted_unless_another_driver_has_taken_over(tmp_path: Path, make_config: MakeConfig) -> None:
    config, folder = make_config(dataset="digits"), SweepFolder(tmp_path)
    packs, trial = [Pack.of([config])], folder.trial(config.trial_id)
    driver = folder.driver.take_over()
    latest = SweepFolder(tmp_path).driver.take_over()
    with folder.driver.heeded(driver):
        _note_deaths(packs, folder, "its worker died")
    assert trial.read_failure() is None
    with folder.driver.heeded(latest):
        _note_deaths(packs, folder, "its worker died")
    assert (trial.read_failure() or {})["error"] == "its worker died"
