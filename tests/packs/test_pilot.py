"""pilot.py: what a pack costs, measured on a few of its batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from infomax_tune.packs import pilot
from infomax_tune.science.data import Dataset
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.pack import Pack
from tests.conftest import MakeConfig


@pytest.mark.parametrize("settings", [{}, {"batch_size": -1}, {"batch_size": 8}, {"probe": True}, {"epochs": 0}])
def test_a_pilot_measures_a_pack(settings: dict[str, object], make_config: MakeConfig, digits: Dataset) -> None:
    pack = [make_config(dataset="digits", seed=seed, **settings) for seed in (1, 2)]
    cost = pilot.measure(Pack.of(pack).to_json(), digits, "cpu", torch.get_num_threads())
    assert cost.epoch_s > 0
    assert cost.end_s > 0
    assert cost.evaluate_s > 0
    assert cost.memory > 2**26
    assert cost.pilot_s >= pilot._ENOUGH_S


def test_a_pilot_trains_a_share_of_a_long_epoch(
    make_config: MakeConfig, digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch of 250 batches of which 16 take long enough, each a second for both trials: 125 s for each trial."""
    now, trained = [0.0], []

    def train(trials: Sequence[TrialConfig], *given: object, batches: int = 0, **options: object) -> Iterator[object]:
        yield SimpleNamespace(evaluate=lambda trial: {}, measure_at_the_end=lambda trial: {})
        for _ in range(trials[0].training.epochs if batches else 0):
            now[0] += batches
            trained.append(batches)
            yield None

    monkeypatch.setattr(pilot, "train", train)
    monkeypatch.setattr(pilot, "_ENOUGH_S", 10.0)
    monkeypatch.setattr(pilot.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(pilot, "packs_agree", lambda pack, dataset: True)
    pack = Pack.of([make_config(dataset="digits", batch_size=8, seed=seed) for seed in (1, 2)])
    cost = pilot.measure(
        pack.to_json(),
        dataclasses.replace(digits, train=np.empty((2000, 1), np.float32)),
        "cpu",
        torch.get_num_threads(),
    )
    assert trained == [4, 16]
    assert cost.epoch_s == pytest.approx(125)
