"""What a person is told of packs that do not start, and when Tune stops."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infomax_tune.follow.display import Display
from infomax_tune.follow.tally import Tally
from infomax_tune.on_ray import callbacks
from infomax_tune.on_ray.callbacks import FollowPacks, StopWhenIdle
from infomax_tune.on_ray.session import Session
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.pack import Pack
from infomax_tune.study.plan import Plan
from tests.conftest import MakeConfig


def follow_of(pack: Pack, said: io.StringIO, folder: Path, interrupt: SimpleNamespace) -> FollowPacks:
    session = SimpleNamespace(
        tally=Tally(Plan([pack.config]), {}), display=Display(said), folder=SweepFolder(folder), interrupt=interrupt
    )
    return FollowPacks(
        [pack],
        cast(Session, session),
        explain=lambda failure: failure,
        ended=lambda pack, folder: {},
        logs=lambda: "/tmp/ray/session/logs",
    )


def test_where_to_look_is_said_once_after_a_minute_without_a_pack(
    tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, said = [0.0], io.StringIO()
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: now[0])
    pack = Pack.of([make_config(dataset="digits")])
    follow = follow_of(pack, said, tmp_path, SimpleNamespace(asked=False))
    trial: Any = SimpleNamespace(trial_id="1", config={"pack": 0})

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


def test_a_pack_that_waits_to_be_tried_again_keeps_nobody_from_stopping(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    """Tune starts it again only after all others, each in a worker that would find the folder gone, or its disk full."""
    pack, interrupt = Pack.of([make_config(dataset="digits")]), SimpleNamespace(asked=False)
    follow = follow_of(pack, io.StringIO(), tmp_path, interrupt)
    stop = StopWhenIdle(lambda: interrupt.asked, follow.under_way)
    trial: Any = SimpleNamespace(trial_id="1", config={"pack": 0})
    follow.on_trial_start(1, [], trial)
    follow.on_trial_recover(1, [], trial)
    interrupt.asked = True
    assert stop.stop_all()
    interrupt.asked = False
    follow.on_trial_start(1, [], trial)
    interrupt.asked = True
    assert not stop.stop_all()  # it is training, and will write its checkpoints
