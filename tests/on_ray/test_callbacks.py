"""What a person is told of packs that do not start."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infomax_tune.follow.display import Display
from infomax_tune.follow.tally import Tally
from infomax_tune.on_ray import callbacks
from infomax_tune.on_ray.callbacks import FollowPacks
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.pack import Pack
from infomax_tune.study.plan import Plan
from tests.conftest import MakeConfig


def test_where_to_look_is_said_once_after_a_minute_without_a_pack(
    tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = [0.0], io.StringIO()
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    pack = Pack.of([make_config(dataset="digits")])
    follow = FollowPacks(
        Tally(Plan([pack.config]), {}),
        Display(said),
        SweepFolder(tmp_path),
        stop_asked=lambda: False,
        explain=lambda failure: failure,
        ended=lambda pack: {},
        offer=lambda trials: None,
        logs=lambda: "/tmp/ray/session/logs",
    )
    trial: Any = SimpleNamespace(trial_id="1", config={"pack": pack.to_json()})

    def at(seconds: float) -> list[str]:
        now[0] = seconds
        follow.on_step_end(1, [])
        return said.getvalue().splitlines()

    assert at(50) == []
    follow.on_trial_start(1, [], trial)
    assert at(300) == []  # it trains for long
    follow.on_trial_complete(1, [], trial)
    assert at(350) == []
    (line,) = at(370)
    assert "no pack has started for a minute" in line
    assert line.endswith("/tmp/ray/session/logs")
    assert at(1000) == [line]
