"""tally.py and progress.py: a sweep's trials counted, its speed, and what is left, by a clock that the tests move."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from infomax_tune.follow.progress import STALE_S, STARTING_WORKERS, TRAINING, PackProgress, SweepState
from infomax_tune.follow.tally import Tally
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.pack import Pack
from infomax_tune.study.trial_status import TrialStatus
from tests.conftest import MakeConfig


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cell(make_config: MakeConfig) -> list[TrialConfig]:
    return [make_config(dataset="digits", epochs=10, seed=seed) for seed in range(1, 5)]


def report(epoch: int, statuses: list[str | None], loss: float = 1.0) -> PackProgress:
    return PackProgress(
        epoch, loss, 2.0, epoch * len(statuses), tuple(status and TrialStatus(status) for status in statuses)
    )


def test_each_trial_is_counted_once_whatever_becomes_of_it(cell: list[TrialConfig], clock: Clock) -> None:
    tally = Tally(cell, {cell[3].trial_id: TrialStatus.DIVERGED}, clock)
    assert tally.state().counts == {"done": 0, "diverged": 1, "failed": 0, "running": 0, "left": 3}
    tally.begin("a", Pack.of(cell[:2]))
    assert tally.state().counts == {"done": 0, "diverged": 1, "failed": 0, "running": 2, "left": 1}
    tally.report("a", report(1, [None, "diverged"]))
    assert tally.state().counts == {"done": 0, "diverged": 2, "failed": 0, "running": 1, "left": 1}
    tally.report("a", report(10, ["done", "diverged"]))
    tally.end("a")
    assert tally.state().counts == {"done": 1, "diverged": 2, "failed": 0, "running": 0, "left": 1}
    tally.begin("b", Pack.of(cell[2:3]))
    tally.end("b", {})
    assert tally.state().counts == {"done": 1, "diverged": 2, "failed": 1, "running": 0, "left": 0}
    tally.begin("c", Pack.of(cell[2:3]))  # tried again
    assert tally.state().counts["running"] == 1
    tally.end("c", {cell[2].trial_id: TrialStatus.DONE})  # its worker died after the record
    state = tally.state()
    assert state.counts == {"done": 2, "diverged": 2, "failed": 0, "running": 0, "left": 0}
    assert (state.total, state.ended) == (4, 4)


def test_a_pack_that_is_stopped_leaves_its_trials_to_go_on_with(cell: list[TrialConfig], clock: Clock) -> None:
    tally = Tally(cell, {}, clock)
    tally.begin("a", Pack.of(cell))
    tally.report("a", report(3, [None] * 4))
    tally.end("a")
    assert tally.state().counts["left"] == 4
    tally.report("a", report(4, [None] * 4))  # a report that comes late
    assert tally.state().counts["left"] == 4


def test_the_rows_show_the_packs_under_way(cell: list[TrialConfig], clock: Clock) -> None:
    tally = Tally(cell, {}, clock)
    tally.begin("a", Pack.of(cell))
    (pack,) = tally.state().packs
    assert (pack.epoch, pack.loss, pack.effective_rank) == (0, None, None)  # nothing is known of it yet
    tally.report("a", report(3, [None] * 4, loss=float("nan")))
    (pack,) = tally.state().packs
    assert (pack.cell, pack.seeds, pack.epoch, pack.epochs) == (cell[0].cell, [1, 2, 3, 4], 3, 10)
    assert (pack.loss, pack.effective_rank) == (None, 2.0)
    tally.end("a")
    assert tally.state().packs == []


def test_speed_and_the_time_left_follow_the_epochs_trained(cell: list[TrialConfig], clock: Clock) -> None:
    """4 trials of 10 epochs, an epoch of all four a second: after 3 epochs, 7 s are left."""
    tally = Tally(cell, {}, clock)
    assert tally.state().eta_s is None
    tally.begin("a", Pack.of(cell))
    for epoch in (1, 2, 3):
        clock.now += 1
        tally.report("a", report(epoch, [None] * 4))
    state = tally.state()
    assert state.epochs_per_s == pytest.approx(4)
    assert state.eta_s == pytest.approx(7)
    assert state.elapsed_s == pytest.approx(3)
    assert state.share == pytest.approx(0.3)


def test_the_start_of_a_worker_does_not_count(cell: list[TrialConfig], clock: Clock) -> None:
    tally = Tally(cell, {}, clock)
    tally.begin("a", Pack.of(cell[:2]))
    clock.now += 20  # torch is imported
    tally.report("a", report(1, [None] * 2))
    assert tally.state().eta_s is None
    clock.now += 1
    tally.report("a", report(2, [None] * 2))
    assert tally.state().eta_s == pytest.approx(8 + 10)


def test_trials_of_one_epoch_have_a_time_left_after_the_first_pack(make_config: MakeConfig, clock: Clock) -> None:
    cell = [make_config(dataset="digits", epochs=1, seed=seed) for seed in range(1, 5)]
    tally = Tally(cell, {}, clock)
    for key, seconds, eta_s in (("a", 20, None), ("b", 1, 2.0)):
        tally.begin(key, Pack.of([cell["ab".index(key)]]))
        clock.now += seconds
        tally.report(key, report(1, ["done"]))
        tally.end(key)
        assert tally.state().eta_s == eta_s


def test_what_was_trained_before_does_not_count_as_speed(cell: list[TrialConfig], clock: Clock) -> None:
    """A pack that goes on from epoch 8."""
    tally = Tally(cell, {}, clock)
    tally.begin("a", Pack.of(cell))
    clock.now += 2
    tally.report("a", report(9, [None] * 4))
    assert tally.state().epochs_per_s == pytest.approx(2)


def test_two_slots_halve_the_time_but_not_the_last_pack(make_config: MakeConfig, clock: Clock) -> None:
    relu, tanh, softplus = (
        [make_config(dataset="digits", epochs=10, activation=name)] for name in ("relu", "tanh", "softplus")
    )
    tally = Tally([*relu, *tanh, *softplus], {}, clock)
    tally.slots = 2
    tally.begin("a", Pack.of(relu))
    for epoch in (1, 2):
        clock.now += 1
        tally.report("a", report(epoch, [None]))
    assert tally.state().eta_s == pytest.approx((8 + 10 + 10) / 2)
    tally.begin("b", Pack.of(tanh))
    for epoch in range(1, 11):
        clock.now += 1
        tally.report("b", report(epoch, ["done" if epoch == 10 else None]))
    tally.end("b")
    tally.begin("c", Pack.of(softplus))
    for epoch in range(1, 8):
        clock.now += 1
        tally.report("c", report(epoch, [None]))
    assert tally.state().eta_s == pytest.approx(8)  # relu alone has 8 epochs to go, softplus 3 beside it


def test_the_cost_of_a_width_that_has_not_run_is_scaled(make_config: MakeConfig, clock: Clock) -> None:
    wide, narrow = make_config(dataset="digits", epochs=10, hidden_dim=96), make_config(dataset="digits", epochs=10)
    tally = Tally([wide, narrow], {}, clock)
    tally.begin("a", Pack.of([wide]))
    for epoch in range(1, 11):
        clock.now += 8
        tally.report("a", report(epoch, ["done" if epoch == 10 else None]))
    tally.end("a")
    assert tally.state().eta_s == pytest.approx(10 * 8 * (16 + 10) / (96 + 10))


def test_a_state_travels_as_json(cell: list[TrialConfig], clock: Clock) -> None:
    tally = Tally(cell, {}, clock)
    tally.begin("a", Pack.of(cell))
    tally.report("a", report(3, [None] * 4))
    state = tally.state()
    assert SweepState.from_dict(state.as_dict()) == state
    with pytest.raises(KeyError):
        SweepState.from_dict({"phase": "training"})


def test_a_driver_is_alive_by_its_pid_here_and_by_its_word_elsewhere(cell: list[TrialConfig]) -> None:
    state = Tally(cell, {}).state()
    assert state.is_alive()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for changes, alive in (
        ({"pid": ended.pid}, False),
        ({"begun": 1.0}, False),
        ({"pid": ended.pid, "host": "elsewhere"}, True),
        ({"updated": time.time() - STALE_S - 1, "host": "elsewhere"}, False),
        ({"updated": time.time() - STALE_S - 1}, True),  # it waits, or was suspended
        ({"pid": 1}, False),  # a process that has its number now
    ):
        assert SweepState.from_dict(state.as_dict() | changes).is_alive() == alive, changes
    assert (state.host, state.pid) == (socket.gethostname(), os.getpid())


def test_training_begins_with_the_first_epoch(pack: list[TrialConfig]) -> None:
    now = [0.0]
    tally = Tally(pack, {}, clock=lambda: now[0])
    tally.phase = STARTING_WORKERS
    tally.begin("a", Pack.of(pack))
    assert (tally.state().phase, tally.state().eta_s) == (STARTING_WORKERS, None)
    for epoch in (1, 2):
        now[0] += 2.0
        tally.report("a", PackProgress(epoch=epoch, trial_epochs=epoch * len(pack), statuses=(None,) * len(pack)))
    assert tally.state().phase == TRAINING
    assert tally.state().eta_s == pytest.approx(3 * 2.0)
