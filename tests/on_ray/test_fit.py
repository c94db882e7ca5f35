"""fit.py: what the driver writes for trials whose workers could not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from infomax_tune.on_ray.fit import Job, _note_deaths
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.pack import Pack
from tests.conftest import MakeConfig


def test_deaths_are_noted_unless_another_driver_has_taken_over(tmp_path: Path, make_config: MakeConfig) -> None:
    config, folder = make_config(dataset="digits"), SweepFolder(tmp_path)
    packs, trial = [Pack.of([config])], folder.trial(config.trial_id)
    job = cast(Job, SimpleNamespace(folder=folder))
    driver = folder.driver.take_over()
    latest = SweepFolder(tmp_path).driver.take_over()
    with folder.driver.heeded(driver):
        _note_deaths(packs, job, "its worker died")
    assert trial.read_failure() is None
    with folder.driver.heeded(latest):
        _note_deaths(packs, job, "its worker died")
    assert (trial.read_failure() or {})["error"] == "its worker died"
