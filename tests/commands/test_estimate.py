"""estimate.py and pilot.py: what a sweep would take, said before it starts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infomax_tune.on_ray.estimate import Estimate, _choose, _cost, _disk, _kind, _makespan, _pack_s
from infomax_tune.packs import pilot
from infomax_tune.packs.pilot import Cost
from infomax_tune.science import data
from tests.command import infomax_tune
from tests.conftest import MakeConfig

SMALL = ["quickstart", "--set", "activation=[relu, tanh]", "--set", "epochs=20"]


def test_packs_are_laid_out_as_slots_come_free() -> None:
    """5 and 4 begin; 3 follows the 4, 2 the 5: both end at 7."""
    assert _makespan([5, 4, 3, 2], 2) == 7
    assert _makespan([5, 4, 3, 2], 1) == 14
    assert _makespan([5, 4], 8) == 5


def test_a_pack_s_seconds_by_hand(make_config: MakeConfig) -> None:
    """Measured on 2 trials: 1 s an epoch of both, 0.1 s an evaluation; 4 trials, 25 epochs, evaluated at 0, 10, 20, 25."""
    pack = [make_config(dataset="digits", epochs=25, seed=seed) for seed in range(1, 5)]
    cost = Cost(2, setup_s=3.0, epoch_s=1.0, evaluate_s=0.1, probe_s=0.5, memory=1)
    assert _pack_s(pack, cost) == pytest.approx(3 + 4 * (25 * 0.5 + 4 * 0.1 + 0.5))


def test_a_pack_that_was_not_measured_costs_what_its_nearest_does(make_config: MakeConfig) -> None:
    relu, wide, tanh = (
        make_config(dataset="digits", **settings)
        for settings in ({"activation": "relu"}, {"hidden_dim": 96}, {"activation": "tanh"})
    )
    costs = {_kind(relu): Cost(1, 0, 1.0, 0.1, 0, 1)}
    assert _cost(tanh, costs).epoch_s == 1.0
    assert _cost(wide, costs).epoch_s == pytest.approx((96 + 32) / (16 + 32))


def test_every_width_gets_its_pilots(make_config: MakeConfig) -> None:
    activations = ("identity", "relu", "leaky_relu", "softmax", "tanh", "softplus")
    pack = [
        [make_config(dataset="digits", hidden_dim=width, activation=name)]
        for width in (16, 32, 48, 64, 80, 96)
        for name in activations
    ]
    chosen = _choose({_kind(trials[0]): trials for trials in pack})
    assert len(chosen) == 24
    widths = [trials[0].model.hidden_dim for trials in chosen.values()]
    assert {width: widths.count(width) for width in widths} == dict.fromkeys((16, 32, 48, 64, 80, 96), 4)


@pytest.mark.parametrize("settings", [{}, {"batch_size": -1}, {"batch_size": 8}, {"probe": True}, {"epochs": 0}])
def test_a_pilot_measures_a_pack(settings: dict[str, object], make_config: MakeConfig, digits: data.Dataset) -> None:
    pack = [make_config(dataset="digits", seed=seed, **settings) for seed in (1, 2)]
    cost = pilot.measure(pack, digits)
    assert cost.trials == 2
    assert (cost.epoch_s > 0) == (settings.get("epochs") != 0)
    assert (cost.probe_s > 0) == ("probe" in settings)
    assert cost.setup_s > 0
    assert cost.evaluate_s > 0
    assert cost.memory > 2**26


def test_an_estimate_in_words() -> None:
    text = Estimate(180, 30, 18, 15, 2, 600.0, 0.4, 3 * 2**30, 5 * 2**20, 12.0).lines()
    assert text[0] == "180 trials in 18 cells; 30 done, 150 to train in 15 packs, 2 at a time"
    assert [line.split(maxsplit=1) for line in text[1:5]] == [
        ["time", "about 10 min"],
        ["CPU-hours", "0.4"],
        ["memory", "3.0 GiB"],
        ["disk", "5 MiB"],
    ]
    for seconds, words in ((89, "about 89 s"), (91, "about 2 min"), (7200, "about 2.0 h")):
        assert words in Estimate(1, 0, 1, 1, 1, seconds).lines()[1]


def test_a_dry_run_says_what_there_is_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    text = infomax_tune("sweep", *SMALL, "--out", out, "--dry-run").stdout
    assert re.match(r"20 trials in 2 cells; 0 done, 20 to train in \d+ packs, \d+ at a time\n", text)
    for what in (
        r"time +about \d+ s",
        r"CPU-hours +[\d.e-]+",
        r"memory +[\d.]+ GiB",
        r"disk +[\d.]+ MiB",
        "nothing was",
    ):
        assert re.search(what, text), what
    assert not out.exists()
    assert list(Path().iterdir()) == []

    infomax_tune("sweep", *SMALL, "--set", "seed=[1, 2, 3]", "--out", out)
    before = sorted(path.relative_to(out) for path in out.rglob("*"))
    assert (
        "20 trials in 2 cells; 6 done, 14 to train" in infomax_tune("sweep", *SMALL, "--out", out, "--dry-run").stdout
    )
    done = infomax_tune("resume", out, "--dry-run").stdout
    assert done == "6 trials in 2 cells; 6 done: there is nothing to train\n"
    assert sorted(path.relative_to(out) for path in out.rglob("*")) == before


def test_a_dry_run_is_refused_where_the_sweep_would_be(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    strange = infomax_tune("sweep", *SMALL, "--out", tmp_path, "--dry-run", ok=False)
    assert (strange.returncode, "not a sweep, and not empty (it holds notes.txt)" in strange.stderr) == (2, True)
    out = tmp_path / "sweep"
    infomax_tune("sweep", *SMALL, "--set", "epochs=1", "--set", "seed=[1]", "--out", out)
    other = infomax_tune("sweep", *SMALL, "--out", out, "--dry-run", ok=False)
    assert (other.returncode, "holds a sweep with another base config" in other.stderr) == (2, True)


def test_the_disk_it_says_is_the_disk_it_takes(tmp_path: Path, make_config: MakeConfig) -> None:
    out = tmp_path / "sweep"
    infomax_tune("sweep", *SMALL, "--set", "epochs=100", "--out", out)
    kept = [
        path for path in out.rglob("*") if path.is_file() and path.relative_to(out).parts[0] not in ("ray", "ray.log")
    ]
    said = 20 * _disk(make_config(dataset="digits", epochs=100))
    assert said == pytest.approx(sum(path.stat().st_size for path in kept), rel=0.3)
