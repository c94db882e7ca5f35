"""pilot.py: what a pack costs, measured on a few of its batches."""

from __future__ import annotations

import pytest

from infomax_tune.packs import pilot
from infomax_tune.science.data import Dataset
from tests.conftest import MakeConfig


@pytest.mark.parametrize("settings", [{}, {"batch_size": -1}, {"batch_size": 8}, {"probe": True}, {"epochs": 0}])
def test_a_pilot_measures_a_pack(settings: dict[str, object], make_config: MakeConfig, digits: Dataset) -> None:
    pack = [make_config(dataset="digits", seed=seed, **settings) for seed in (1, 2)]
    cost = pilot.measure(pack, digits)
    assert cost.trials == 2
    assert (cost.epoch_s > 0) == (settings.get("epochs") != 0)
    assert (cost.probe_s > 0) == ("probe" in settings)
    assert cost.setup_s > 0
    assert cost.evaluate_s > 0
    assert cost.memory > 2**26
