"""fit.py and callbacks.py: what the driver writes and says for the workers."""

from __future__ import annotations

import io
import io
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from infomax_tune.follow.display import Display
from infomax_tune.follow.progress import PackProgress
from infomax_tune.follow.tally import Tally
from infomax_tune.on_ray.callbacks import FollowPacks
from infomax_tune.follow.display import Display
from infomax_tune.follow.progress import PackProgress
from infomax_tune.follow.tally import Tally
from infomax_tune.on_ray.callbacks import FollowPacks
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


def test_what_every_worker_warns_of_is_said_once(tmp_path: Path, make_config: MakeConfig) -> None:
    """Such as a cache that none of them can write."""
    err, configs = io.StringIO(), [make_config(dataset="digits", seed=seed) for seed in (1, 2)]
    follow = FollowPacks(
        Tally(configs, {}),
        Display(err),
        SweepFolder(tmp_path),
        stop_asked=lambda: False,
        explain=str,
        ended=lambda pack: {},
        offer=lambda trials: None,
    )
    report = PackProgress(epoch=1, statuses=(None,), warnings=("the cache cannot be written",)).to_dict()
    for config in configs:
        trial = SimpleNamespace(trial_id=config.trial_id, config={"pack": Pack.of([config]).to_json()})
        follow.on_trial_start(0, [], trial)
        follow.on_trial_result(0, [], trial, report)
    assert err.getvalue() == "warning: the cache cannot be written\n"


def test_what_every_worker_warns_of_is_said_once(tmp_path: Path, make_config: MakeConfig) -> None:
    """Such as a cache that none of them can write."""
    err, configs = io.StringIO(), [make_config(dataset="digits", seed=seed) for seed in (1, 2)]
    follow = FollowPacks(
        Tally(configs, {}),
        Display(err),
        SweepFolder(tmp_path),
        stop_asked=lambda: False,
        explain=str,
        ended=lambda pack: {},
        offer=lambda trials: None,
    )
    report = PackProgress(epoch=1, statuses=(None,), warnings=("the cache cannot be written",)).to_dict()
    for config in configs:
        trial = SimpleNamespace(trial_id=config.trial_id, config={"pack": Pack.of([config]).to_json()})
        follow.on_trial_start(0, [], trial)
        follow.on_trial_result(0, [], trial, report)
    assert err.getvalue() == "warning: the cache cannot be written\n"
