"""The activations and their gradients, against formulas in NumPy float64 and against autograd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from numpy.typing import NDArray
from torch import Tensor

from infomax_tune.parts import catalogue
from infomax_tune.parts.activations.leaky_relu import SLOPE
from infomax_tune.science.activations import LayerActivation, layer_activation
from infomax_tune.study.config import choices

ACTIVATIONS = choices("model.activation")

Array = NDArray[np.float64]

HEADS = ("none", "softmax")


def with_head(name: str, head: str) -> LayerActivation:
    return layer_activation(
        catalogue.find("activations", name), None if head == "none" else catalogue.find("activations", head)
    )


def activate(z: Tensor, name: str, head: str = "none") -> Tensor:
    return with_head(name, head).forward(z)


def softmax(z: Array) -> Array:
    exponential = np.exp(z - z.max(axis=-1, keepdims=True))
    return exponential / exponential.sum(axis=-1, keepdims=True)


FORMULA: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "softmax": softmax,
    "tanh": lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
    "softplus": lambda z: np.log1p(np.exp(z)),
    "gelu": lambda z: z * scipy.stats.norm.cdf(z),
    "silu": lambda z: z / (1 + np.exp(-z)),
    "elu": lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1),
    "abs": np.abs,
}


def oracle(z: Array, name: str, head: str) -> Array:
    a = FORMULA[name](z)
    return softmax(a) if head == "softmax" else a


def draw(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(scale=2, size=shape)


def through(activation: LayerActivation) -> Callable[[Tensor], Tensor]:
    """The activation as an autograd function whose backward is ours."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            a = activation.forward(z)
            ctx.save_for_backward(z, a)
            return a.clone()  # identity gives its input back, which autograd would take for a view

        @staticmethod
        def backward(ctx, grad):
            return activation.backward(grad, *ctx.saved_tensors)

    return Function.apply


def test_the_activations_are_those_a_config_may_name() -> None:
    assert set(FORMULA) == set(ACTIVATIONS)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_its_formula(name: str, head: str) -> None:
    """With and without replicas in front, in both precisions."""
    z = draw(1, 3, 20, 5)
    expected = oracle(z, name, head)
    np.testing.assert_allclose(activate(torch.from_numpy(z), name, head), expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(activate(torch.from_numpy(z[0]), name, head), expected[0], rtol=1e-12, atol=1e-15)
    single = torch.from_numpy(z).float()
    expected = oracle(single.double().numpy(), name, head)
    np.testing.assert_allclose(activate(single, name, head), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_head_is_the_default(name: str) -> None:
    z = torch.from_numpy(draw(2, 4, 3))
    assert torch.equal(activate(z, name), activate(z, name, "none"))
    assert not torch.equal(activate(z, name), activate(z, name, "softmax"))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_backward_passes_gradcheck(name: str, head: str) -> None:
    z = torch.from_numpy(draw(3, 2, 6, 4)).requires_grad_()
    assert (z.detach().abs() > 1e-3).all()  # finite differences would straddle the kink at 0
    assert torch.autograd.gradcheck(through(with_head(name, head)), (z,))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_backward_is_that_of_autograd(name: str, head: str) -> None:
    """At 0 too, where relu has a kink, and far out, where softplus and tanh are flat."""
    z = np.concatenate([draw(4, 10, 4), np.zeros((1, 4)), [[-50.0, 50.0, 0.0, 25.0]]])
    leaf = torch.from_numpy(z).requires_grad_()
    grad = torch.from_numpy(draw(5, *z.shape))
    activation = with_head(name, head)
    a = activation.forward(leaf)
    (expected,) = torch.autograd.grad(a, leaf, grad)
    actual = activation.backward(grad, leaf.detach(), a.detach())
    # torch's softplus is linear from 20 on: its slope differs from ours by exp(-20)
    np.testing.assert_allclose(actual, expected, rtol=1e-8, atol=1e-14)


def test_the_leaky_slope_is_a_hundredth() -> None:
    assert SLOPE == 0.01
    z = torch.tensor([[-2.0, 0.0, 3.0]], dtype=torch.float64)
    assert activate(z, "leaky_relu").tolist() == [[-0.02, 0.0, 3.0]]
    slope = with_head("leaky_relu", "none").backward(torch.ones_like(z), z, activate(z, "leaky_relu"))
    assert slope.tolist() == [[0.01, 0.01, 1.0]]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("head", HEADS)
def test_rows_sum_to_one_behind_a_softmax_only(name: str, head: str) -> None:
    """Over the units, not over the batch or the replicas."""
    sums = activate(torch.from_numpy(draw(6, 3, 7, 5)), name, head).sum(dim=-1)
    shares = head == "softmax" or name == "softmax"
    assert torch.allclose(sums, torch.ones_like(sums), rtol=0, atol=1e-12) == shares


def test_a_softmax_survives_large_pre_activations() -> None:
    a = activate(torch.tensor([[1e4, 1e4, -1e4]]), "softmax")
    assert a.tolist() == [[0.5, 0.5, 0.0]]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_backward_of_stacked_replicas_is_that_of_each_alone(name: str, head: str) -> None:
    activation = with_head(name, head)
    z, grad = torch.from_numpy(draw(7, 3, 8, 4)), torch.from_numpy(draw(8, 3, 8, 4))
    together = activation.backward(grad, z, activation.forward(z))
    for i in range(3):
        alone = activation.backward(grad[i], z[i], activation.forward(z[i]))
        torch.testing.assert_close(together[i], alone, rtol=1e-12, atol=0)
