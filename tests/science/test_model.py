"""The layer's first weights, and that drawing them leaves everyone else's random numbers alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from infomax_tune.science.data import Dataset
from infomax_tune.science.model import SingleLayer, initial_weight
from infomax_tune.science.training import train
from infomax_tune.study.config import MAX_SEED, TrialConfig

MakeConfig = Callable[..., TrialConfig]


@contextmanager
def unchanged_global_generators() -> Iterator[None]:
    """Fails if the body has read or changed torch's or NumPy's global generator: any draw moves its state."""
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002 that one is meant
    yield
    assert torch.equal(torch.get_rng_state(), torch_before)
    for now, before in zip(np.random.get_state(), numpy_before, strict=True):  # noqa: NPY002
        assert np.array_equal(now, before)


@pytest.mark.parametrize(("units", "inputs"), [(16, 784), (64, 784), (16, 2), (5, 64)])
def test_the_first_weights_are_xavier_uniform(units: int, inputs: int) -> None:
    """Within +-sqrt(6 / (D + K)), reaching close to it, with the variance of a uniform distribution."""
    bound = math.sqrt(6 / (inputs + units))
    weight = torch.cat([initial_weight(seed, units, inputs) for seed in range(20)]).double()
    assert weight.abs().max() <= bound * (1 + 1e-6)
    assert weight.min() < -0.98 * bound
    assert weight.max() > 0.98 * bound
    assert weight.mean().item() == pytest.approx(0, abs=5 * bound / math.sqrt(3 * weight.numel()))
    assert weight.var().item() == pytest.approx(bound**2 / 3, rel=0.15)


def test_the_first_weights_are_float32_of_units_by_inputs() -> None:
    weight = initial_weight(1, 16, 784)
    assert weight.shape == (16, 784)
    assert weight.dtype == torch.float32


def test_the_bias_starts_at_zero() -> None:
    layer = SingleLayer.initial([1, 2, 3], 4, 6)
    assert torch.equal(layer.bias, torch.zeros(3, 4))


def test_a_seed_has_the_same_first_weights_in_every_pack() -> None:
    alone = initial_weight(7, 16, 64)
    assert torch.equal(initial_weight(7, 16, 64), alone)
    for seeds in ([7], [7, 1], [1, 7], [3, 2, 7, 9, 4]):
        layer = SingleLayer.initial(seeds, 16, 64)
        assert layer.weight.shape == (len(seeds), 16, 64)
        assert torch.equal(layer.weight[seeds.index(7)], alone)


def test_different_seeds_have_different_first_weights() -> None:
    seeds = (*range(20), 2**31, MAX_SEED)
    assert len({initial_weight(seed, 4, 3).numpy().tobytes() for seed in seeds}) == len(seeds)


@pytest.mark.parametrize("objective", ["infomax", "reconstruction"])
def test_all_activations_share_the_first_weights_of_a_seed_and_width(
    make_config: MakeConfig, synthetic_2d: Dataset, objective: str
) -> None:
    expected = initial_weight(3, 16, 2)
    for activation in ("relu", "softmax", "tanh"):
        config = make_config(
            dataset="synthetic_2d", activation=activation, objective=objective, hidden_dim=16, seed=3, epochs=0
        )
        (report,) = train([config], synthetic_2d)
        assert torch.equal(report.state(0).tensors["weight"], expected)


def test_the_pre_activation_is_x_wt_plus_b_for_each_replica() -> None:
    generator = np.random.default_rng(1)
    weight, bias, x = (generator.normal(size=shape) for shape in ((3, 4, 6), (3, 4), (3, 5, 6)))
    layer = SingleLayer(torch.from_numpy(weight), torch.from_numpy(bias))
    expected = np.stack([x[i] @ weight[i].T + bias[i] for i in range(3)])
    np.testing.assert_allclose(layer.pre_activation(torch.from_numpy(x)), expected, rtol=1e-12, atol=1e-13)


def test_drawing_weights_leaves_the_global_generators_alone() -> None:
    with unchanged_global_generators():
        SingleLayer.initial([1, 2], 16, 64)


def test_the_global_generators_do_not_change_the_first_weights() -> None:
    state = torch.get_rng_state()
    try:
        drawn = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            drawn.append(initial_weight(5, 16, 64))
    finally:
        torch.set_rng_state(state)
    assert torch.equal(*drawn)


@pytest.mark.parametrize("objective", ["infomax", "reconstruction"])
def test_a_whole_training_leaves_the_global_generators_alone(
    make_config: MakeConfig, digits: Dataset, objective: str
) -> None:
    pack = [make_config(dataset="digits", epochs=2, seed=seed, objective=objective, probe=True) for seed in (1, 2)]
    with unchanged_global_generators():
        *_, last = train(pack, digits)
        last.evaluate(0)
        last.measure_at_the_end(1)
    assert last.epoch == 2
