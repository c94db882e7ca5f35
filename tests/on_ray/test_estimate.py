"""estimate.py: the times of a pilot laid out as a sweep would take them, by hand."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import RayError

from infomax_tune.errors import ResourceError
from infomax_tune.on_ray import estimate
from infomax_tune.on_ray.estimate import Estimate, _disk, _makespan, _pack_s
from infomax_tune.packs.pilot import Cost
from infomax_tune.science.data import load
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.options import Options
from infomax_tune.study.pack import Pack
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from tests.conftest import MakeConfig
from tests.folders import make_sweep


def test_packs_are_laid_out_as_slots_come_free() -> None:
    """5 and 4 begin; 3 follows the 4, 2 the 5: both end at 7."""
    assert _makespan([5, 4, 3, 2], 2) == 7
    assert _makespan([5, 4, 3, 2], 1) == 14
    assert _makespan([5, 4], 8) == 5


def test_a_pack_s_seconds_by_hand(make_config: MakeConfig) -> None:
    """4 trials, 25 epochs of 0.5 s, evaluated at 0, 10, 20, 25 for 0.1 s each, and at the end for 0.3 s more."""
    pack = [make_config(dataset="digits", epochs=25, seed=seed) for seed in range(1, 5)]
    cost = Cost(epoch_s=0.5, evaluate_s=0.1, end_s=0.3, memory=1, pilot_s=1.0)
    assert _pack_s(Pack.of(pack), cost) == pytest.approx(4 * (25 * 0.5 + 4 * 0.1 + 0.3))


def test_one_pilot_for_each_width_and_objective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other activations, seeds and learning rates are calculated from it; torch's trials have a pilot of their own."""
    asked: list[Pack] = []

    def measure(packs: dict[tuple[object, ...], Pack], *arguments: object) -> dict[tuple[object, ...], Cost]:
        asked.extend(packs.values())
        return {kind: Cost(pack.config.model.hidden_dim, 0.0, 0.0, 2**30, 0.0) for kind, pack in packs.items()}

    monkeypatch.setattr(estimate, "cluster", lambda *given, **options: contextlib.nullcontext(2))
    monkeypatch.setattr(estimate, "_measure", measure)
    axes = ["activation=relu,tanh", "hidden_dim=16,32", "objective=infomax,reconstruction", "lr=0.1,0.01", "epochs=3"]
    space, _ = load_space("quickstart", overrides=read_overrides([*axes, "seed=1,2"])[0])
    found = estimate.estimate(space, SweepFolder(tmp_path / "sweep"), Options())
    chosen = sorted((pack.config.model.hidden_dim, pack.config.loss.objective) for pack in asked)
    assert chosen == [(width, objective) for width in (16, 32) for objective in ("infomax", "reconstruction")]
    assert found.cpu_hours * 3600 == pytest.approx(16 * 3 * (16 + 32))
    assert sum(found.by_torch.values()) == 16


def test_an_estimate_in_words() -> None:
    estimate_of_study = Estimate(180, 30, 18, 15, 2, 600.0, 0.4, 3 * 2**30, 5 * 2**20, 12.0)
    text = estimate_of_study.lines()
    assert text[0] == "180 trials in 18 cells; 30 done, 150 to train in 15 packs, 2 at a time"
    assert [line.split(maxsplit=1) for line in text[1:5]] == [
        ["time", "about 10 min"],
        ["CPU-hours", "0.4"],
        ["memory", "3.0 GiB"],
        ["disk", "5 MiB"],
    ]
    (time,) = (line for line in replace(estimate_of_study, report=True).lines() if line.startswith("time"))
    assert time.endswith("about 10 min, then the report")
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
    monkeypatch.setattr(estimate.ray, "get", fail)
    message = (
        "could not train a few batches of tanh with 65536 units on digits: DefaultCPUAllocator: not enough memory$"
    )
    with pytest.raises(ResourceError, match=message):
        estimate._measure({("digits",): pack}, {"digits": load("digits")}, Options(), 2, lambda phase: None)
