"""estimate.py: the times of a pilot laid out as a sweep would take them, by hand."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import RayError

from infomax_tune.errors import ResourceError
from infomax_tune.on_ray import estimate
from infomax_tune.on_ray.estimate import Estimate, _choose, _cost, _disk, _kind, _makespan, _pack_s
from infomax_tune.packs.pilot import Cost
from infomax_tune.science.data import load
from infomax_tune.study.options import Options
from infomax_tune.study.pack import Pack
from tests.conftest import MakeConfig
from tests.folders import make_sweep


def test_packs_are_laid_out_as_slots_come_free() -> None:
    """5 and 4 begin; 3 follows the 4, 2 the 5: both end at 7."""
    assert _makespan([5, 4, 3, 2], 2) == 7
    assert _makespan([5, 4, 3, 2], 1) == 14
    assert _makespan([5, 4], 8) == 5


def test_a_pack_s_seconds_by_hand(make_config: MakeConfig) -> None:
    """Measured on 2 trials: 1 s an epoch of both, 0.1 s an evaluation; 4 trials, 25 epochs, evaluated at 0, 10, 20, 25."""
    pack = [make_config(dataset="digits", epochs=25, seed=seed) for seed in range(1, 5)]
    cost = Cost(2, setup_s=3.0, epoch_s=1.0, evaluate_s=0.1, probe_s=0.5, memory=1)
    assert _pack_s(Pack.of(pack), cost) == pytest.approx(3 + 4 * (25 * 0.5 + 4 * 0.1 + 0.5))


def test_a_pack_that_was_not_measured_costs_what_its_nearest_does(make_config: MakeConfig) -> None:
    relu, wide, tanh = (
        make_config(dataset="digits", **settings)
        for settings in ({"activation": "relu"}, {"hidden_dim": 96}, {"activation": "tanh"})
    )
    costs = {_kind(relu): Cost(1, 0, 1.0, 0.1, 0, 1)}
    assert _cost(tanh, costs).epoch_s == 1.0
    assert _cost(wide, costs).epoch_s == pytest.approx((96 + 10) / (16 + 10))


def test_every_width_gets_its_pilots(make_config: MakeConfig) -> None:
    activations = ("identity", "relu", "leaky_relu", "softmax", "tanh", "softplus")
    pack = [
        [make_config(dataset="digits", hidden_dim=width, activation=name)]
        for width in (16, 32, 48, 64, 80, 96)
        for name in activations
    ]
    chosen = _choose({_kind(trials[0]): Pack.of(trials) for trials in pack})
    assert len(chosen) == 24
    widths = [trials[0].model.hidden_dim for trials in chosen.values()]
    assert {width: widths.count(width) for width in widths} == dict.fromkeys((16, 32, 48, 64, 80, 96), 4)


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


def test_the_disk_it_says_is_the_disk_it_takes(tmp_path: Path, make_config: MakeConfig) -> None:
    out = make_sweep(tmp_path / "sweep", "activation=[relu, tanh]", "epochs=100", "seed=[1, 2, 3]").root
    kept = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert 6 * _disk(make_config(dataset="digits", epochs=100)) == pytest.approx(kept, rel=0.3)


def test_a_pilot_that_cannot_train_is_told_without_a_traceback(
    make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer that is too wide for the memory there is, say."""
    pack = Pack.of([make_config(dataset="digits", activation="tanh", hidden_dim=65536)])

    def fail(reference: object) -> None:
        raise RayError("DefaultCPUAllocator: not enough memory\nand a long trace")

    monkeypatch.setattr(estimate.ray, "put", lambda dataset: dataset)
    monkeypatch.setattr(
        estimate.ray, "remote", lambda **options: lambda pilot: SimpleNamespace(remote=lambda *given: "a")
    )
    monkeypatch.setattr(estimate.ray, "wait", lambda running: (running, []))
    monkeypatch.setattr(estimate.ray, "get", fail)
    message = (
        "could not train a few batches of tanh with 65536 units on digits: DefaultCPUAllocator: not enough memory$"
    )
    with pytest.raises(ResourceError, match=message):
        estimate._measure({_kind(pack.config): pack}, {"digits": load("digits")}, Options(), 1)
