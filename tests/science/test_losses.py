"""The objectives against NumPy float64 oracles written from their formulas, and their gradients against autograd."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from infomax_tune.parts.objectives.reconstruction import rebuild
from infomax_tune.science.losses import Terms, infomax, infomax_gradient, redundancy

Array = NDArray[np.float64]

EPS = 1e-6
LAMBDAS = list(itertools.product((0.0, 1.0, 10.0), (0.0, 1.0, 10.0)))


def infomax_oracle(a: Array, weight: Array, lambda_tc: float, lambda_wr: float, eps: float) -> dict[str, float]:
    """The loss of one replica, unit by unit and pair by pair."""
    units = a.shape[1]
    variance = [np.var(a[:, j], ddof=1) for j in range(units)]
    entropy = -sum(np.log(v + eps) for v in variance)
    tc = wr = 0.0
    for i, j in itertools.product(range(units), repeat=2):
        covariance = np.cov(a[:, i], a[:, j])[0, 1]
        c = covariance / np.sqrt((variance[i] + eps) * (variance[j] + eps))
        tc += (c - (i == j)) ** 2
        u = weight[i] / (np.linalg.norm(weight[i]) + eps)
        v = weight[j] / (np.linalg.norm(weight[j]) + eps)
        wr += (np.dot(u, v) - (i == j)) ** 2
    return {"loss": entropy + lambda_tc * tc + lambda_wr * wr, "entropy": entropy, "tc": tc, "wr": wr}


def case(name: str, seed: int = 1) -> tuple[Array, Array]:
    """Activations (12, 5) and weights (5, 7) with the weakness of that name."""
    generator = np.random.default_rng(seed)
    n = 2 if name == "two rows" else 12
    a = generator.normal(size=(n, 5)) @ generator.normal(size=(5, 5)) + generator.normal(size=5)
    weight = generator.normal(size=(5, 7))
    if name == "dead unit":
        a[:, 2] = 0
    if name == "constant column":
        a[:, 1] = 0.75
    if name == "identical rows":
        weight[3] = weight[0]
        a[:, 3] = a[:, 0]
    if name == "zero weight row":
        weight[4] = 0
    if name == "tiny spread":
        a = 3 + 1e-3 * a
    return a, weight


HEALTHY = ("random", "dead unit", "constant column", "identical rows", "two rows", "tiny spread")
CASES = (*HEALTHY, "zero weight row")


def wrapped(lambda_tc: float, lambda_wr: float, eps: float = EPS):
    """`infomax_gradient` as an autograd function: its loss forward, its gradient backward."""

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, weight):
            terms, gradient = infomax_gradient(a, weight, lambda_tc=lambda_tc, lambda_wr=lambda_wr, eps=eps)
            none = torch.zeros_like(weight)
            ctx.save_for_backward(gradient.activation, none if gradient.weight is None else gradient.weight)
            return terms["loss"]

        @staticmethod
        def backward(ctx, grad):
            activation, weight = ctx.saved_tensors
            return grad[..., None, None] * activation, grad[..., None, None] * weight

    return Function.apply


def by_autograd(a: Array, weight: Array, **settings: float) -> tuple[Terms, Tensor, Tensor]:
    """The terms, and the gradient of their loss with respect to activations and weights."""
    leaves = torch.from_numpy(a).requires_grad_(), torch.from_numpy(weight).requires_grad_()
    terms = infomax(*leaves, **settings)
    return terms, *torch.autograd.grad(terms["loss"].sum(), leaves)


@pytest.mark.parametrize(("lambda_tc", "lambda_wr"), LAMBDAS)
@pytest.mark.parametrize("name", CASES)
def test_infomax_is_its_formula(name: str, lambda_tc: float, lambda_wr: float) -> None:
    a, weight = case(name)
    settings = {"lambda_tc": lambda_tc, "lambda_wr": lambda_wr, "eps": EPS}
    expected = infomax_oracle(a, weight, **settings)
    for function in (infomax, lambda *args, **kwargs: infomax_gradient(*args, **kwargs)[0]):
        terms = function(torch.from_numpy(a), torch.from_numpy(weight), **settings)
        for term, value in expected.items():
            if term == "wr" and lambda_wr == 0 and function is not infomax:
                assert terms["wr"].isnan()  # no step needs it then
            else:
                assert terms[term].item() == pytest.approx(value, rel=1e-10, abs=1e-10), term
        assert redundancy(torch.from_numpy(weight), EPS).item() == pytest.approx(expected["wr"], rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_infomax_in_float32_is_its_formula_to_five_digits(name: str) -> None:
    a, weight = (torch.from_numpy(array).float() for array in case(name))
    settings = {"lambda_tc": 1.0, "lambda_wr": 1.0, "eps": EPS}
    expected = infomax_oracle(a.double().numpy(), weight.double().numpy(), **settings)
    terms = infomax_gradient(a, weight, **settings)[0]
    assert terms["loss"].dtype == torch.float32
    for term, value in expected.items():
        assert terms[term].item() == pytest.approx(value, rel=1e-5), term


@pytest.mark.parametrize("eps", [1e-8, 1e-3, 1.0])
def test_eps_is_added_to_variances_and_to_norms(eps: float) -> None:
    """Large enough to tell Var + eps from sqrt(Var) + eps."""
    a, weight = case("random")
    settings = {"lambda_tc": 1.0, "lambda_wr": 1.0, "eps": eps}
    terms = infomax(torch.from_numpy(a), torch.from_numpy(weight), **settings)
    for term, value in infomax_oracle(a, weight, **settings).items():
        assert terms[term].item() == pytest.approx(value, rel=1e-10), term


def test_the_loss_of_four_points_by_hand() -> None:
    """Two uncorrelated units of variance 4/3 and orthogonal weights: all that is left is the entropy term."""
    a = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    terms = infomax(a, torch.eye(2, 3, dtype=torch.float64), lambda_tc=1.0, lambda_wr=1.0, eps=1e-12)
    assert terms["entropy"].item() == pytest.approx(-2 * np.log(4 / 3))
    assert terms["tc"].item() == pytest.approx(0, abs=1e-20)
    assert terms["wr"].item() == pytest.approx(0, abs=1e-20)
    assert terms["loss"].item() == pytest.approx(-2 * np.log(4 / 3))


def test_two_units_that_are_one_cost_two_in_each_penalty() -> None:
    """All four entries of C and G are 1, so the two off the diagonal are 1 too many."""
    a = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    weight = torch.ones(2, 3, dtype=torch.float64)
    terms = infomax(a, weight, lambda_tc=10.0, lambda_wr=100.0, eps=1e-12)
    assert (terms["tc"].item(), terms["wr"].item()) == pytest.approx((2, 2))
    assert terms["loss"].item() == pytest.approx(-2 * np.log(2) + 20 + 200)


def test_a_dead_layer_costs_one_per_unit_and_term() -> None:
    """No variance: -log eps each, and a diagonal of C of 0 instead of 1; the same for weights of 0 in G."""
    terms = infomax(torch.zeros(5, 3), torch.zeros(3, 4), lambda_tc=1.0, lambda_wr=1.0, eps=1e-4)
    assert terms["entropy"].item() == pytest.approx(-3 * np.log(1e-4), rel=1e-6)
    assert (terms["tc"].item(), terms["wr"].item()) == (3, 3)


def test_the_diagonal_of_c_is_not_forced_to_one() -> None:
    """One unit whose variance is eps: C = 1/2, so tc = 1/4."""
    a = torch.tensor([[0.0], [2.0**0.5]], dtype=torch.float64)
    terms = infomax(a, torch.ones(1, 1, dtype=torch.float64), lambda_tc=1.0, lambda_wr=0.0, eps=1.0)
    assert terms["tc"].item() == pytest.approx(0.25)


@pytest.mark.parametrize(("lambda_tc", "lambda_wr"), LAMBDAS)
@pytest.mark.parametrize("name", HEALTHY)
def test_the_gradient_is_that_of_autograd(name: str, lambda_tc: float, lambda_wr: float) -> None:
    a, weight = case(name)
    settings = {"lambda_tc": lambda_tc, "lambda_wr": lambda_wr, "eps": EPS}
    terms, grad_a, grad_weight = by_autograd(a, weight, **settings)
    ours, gradient = infomax_gradient(torch.from_numpy(a), torch.from_numpy(weight), **settings)
    for term, expected in zip(ours.values(), terms.values(), strict=True):
        if term is not ours["wr"] or lambda_wr:
            torch.testing.assert_close(term, expected.detach(), rtol=1e-12, atol=1e-12)
    # relative to the gradient's size: where terms of size 1/eps cancel, both are left with their rounding
    torch.testing.assert_close(gradient.activation, grad_a, rtol=0, atol=1e-9 * float(grad_a.abs().max()))
    if lambda_wr == 0:
        assert gradient.weight is None
        assert not grad_weight.any()
    else:
        torch.testing.assert_close(gradient.weight, grad_weight, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("lambda_tc", "lambda_wr"), LAMBDAS)
@pytest.mark.parametrize("name", ["random", "dead unit", "constant column", "identical rows", "two rows"])
def test_the_gradient_passes_gradcheck(name: str, lambda_tc: float, lambda_wr: float) -> None:
    """With an eps that finite differences can resolve at a unit without variance."""
    a, weight = (torch.from_numpy(array).requires_grad_() for array in case(name))
    assert torch.autograd.gradcheck(wrapped(lambda_tc, lambda_wr, eps=1e-2), (a, weight))


def test_the_gradient_of_stacked_replicas_passes_gradcheck() -> None:
    arrays = [case("random", seed) for seed in (1, 2)]
    a, weight = (torch.from_numpy(np.stack(part)).requires_grad_() for part in zip(*arrays, strict=True))
    assert torch.autograd.gradcheck(wrapped(1.0, 1.0), (a, weight))


def test_a_zero_weight_row_is_a_stationary_point_and_leaves_the_others_their_gradient() -> None:
    """Autograd gives NaN there (the slope of a norm at 0); the loss itself is smooth enough to have a gradient of 0."""
    a, weight = case("zero weight row")
    settings = {"lambda_tc": 1.0, "lambda_wr": 1.0, "eps": 1e-2}
    gradient = infomax_gradient(torch.from_numpy(a), torch.from_numpy(weight), **settings)[1]
    assert gradient.weight is not None
    assert not gradient.weight[4].any()
    without = infomax_gradient(torch.from_numpy(a[:, :4]), torch.from_numpy(weight[:4]), **settings)[1]
    torch.testing.assert_close(gradient.weight[:4], without.weight)
    step = np.zeros_like(weight)
    step[4, 2] = 1e-7
    up, down = (infomax_oracle(a, weight + sign * step, **settings)["wr"] for sign in (1, -1))
    assert (up - down) / 2e-7 == pytest.approx(0, abs=1e-6)


def test_a_float32_zero_weight_row_or_dead_unit_gives_finite_gradients() -> None:
    a, weight = torch.zeros(6, 3), torch.zeros(3, 4)
    _, gradient = infomax_gradient(a, weight, lambda_tc=1.0, lambda_wr=1.0, eps=EPS)
    assert not gradient.activation.any()
    assert gradient.weight is not None
    assert not gradient.weight.any()


@pytest.mark.parametrize("name", CASES)
def test_stacked_replicas_have_the_terms_and_gradients_each_has_alone(name: str) -> None:
    cases = [case(name, seed) for seed in (1, 2, 3)]
    a, weight = (torch.from_numpy(np.stack(part)) for part in zip(*cases, strict=True))
    settings = {"lambda_tc": 2.0, "lambda_wr": 3.0, "eps": EPS}
    defined = infomax(a, weight, **settings)
    terms, gradient = infomax_gradient(a, weight, **settings)
    assert {tuple(term.shape) for term in terms.values()} == {(3,)}
    for i in range(3):
        alone, own = infomax_gradient(a[i], weight[i], **settings)
        for term, stacked, other in zip(alone.values(), terms.values(), defined.values(), strict=True):
            torch.testing.assert_close(stacked[i], term, rtol=1e-12, atol=1e-13)
            torch.testing.assert_close(other[i], term, rtol=1e-12, atol=1e-13)
        scale = float(own.activation.abs().max())
        torch.testing.assert_close(gradient.activation[i], own.activation, rtol=0, atol=1e-12 * scale)
        torch.testing.assert_close(gradient.weight[i], own.weight, rtol=1e-12, atol=1e-12)  # type: ignore[index]


def test_infomax_does_not_see_the_order_of_the_rows_or_of_the_units() -> None:
    a, weight = (torch.from_numpy(array) for array in case("random"))
    settings = {"lambda_tc": 2.0, "lambda_wr": 3.0, "eps": EPS}
    rows, units = torch.randperm(12, generator=torch.Generator().manual_seed(1)), torch.tensor([3, 0, 4, 1, 2])
    terms = infomax(a, weight, **settings)
    shuffled = infomax(a[rows][:, units], weight[units], **settings)
    for term, other in zip(terms.values(), shuffled.values(), strict=True):
        torch.testing.assert_close(term, other, rtol=1e-12, atol=1e-12)


# ---- reconstruction


def reconstruction_oracle(a: Array, weight: Array, x: Array, offset: Array) -> float:
    return float(np.mean([np.sum((row - weight.T @ unit - offset) ** 2) for row, unit in zip(x, a, strict=True)]))


class Rebuilt(NamedTuple):
    """The loss, and its gradients with respect to a, W and c."""

    loss: Tensor
    activation: Tensor
    weight: Tensor
    offset: Tensor


def reconstruction(a: Tensor, weight: Tensor, x: Tensor, offset: Tensor) -> Rebuilt:
    loss, through_a, gradients = rebuild(a, x, {"weight": weight, "offset": offset})
    return Rebuilt(loss, through_a, gradients["weight"], gradients["offset"])


def reconstruction_case(seed: int = 1, n: int = 12) -> tuple[Array, Array, Array, Array]:
    generator = np.random.default_rng(seed)
    return tuple(generator.normal(size=shape) for shape in ((n, 5), (5, 7), (n, 7), (7,)))  # type: ignore[return-value]


def reconstruction_settings(kind: str) -> tuple[Array, Array, Array, Array]:
    a, weight, x, offset = reconstruction_case(n=2 if kind == "two rows" else 12)
    if kind == "dead unit":
        a[:, 2] = 0
    if kind == "identical rows":
        weight[3] = weight[0]
    if kind == "zero weight row":
        weight[4] = 0
    return a, weight, x, offset


KINDS = ("random", "two rows", "dead unit", "identical rows", "zero weight row")


@pytest.mark.parametrize("kind", KINDS)
def test_reconstruction_is_its_formula(kind: str) -> None:
    arrays = reconstruction_settings(kind)
    double = reconstruction(*(torch.from_numpy(array) for array in arrays))
    assert double.loss.item() == pytest.approx(reconstruction_oracle(*arrays), rel=1e-12)
    single = [torch.from_numpy(array).float() for array in arrays]
    expected = reconstruction_oracle(*(tensor.double().numpy() for tensor in single))
    assert reconstruction(*single).loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_reconstruction_is_that_of_autograd(kind: str) -> None:
    arrays = reconstruction_settings(kind)
    a, weight, x, offset = leaves = [torch.from_numpy(array).requires_grad_() for array in arrays]
    loss = (x - (weight.T @ a.T).T - offset).square().sum(dim=1).mean()
    expected = torch.autograd.grad(loss, (a, weight, offset))
    ours = reconstruction(*(leaf.detach() for leaf in leaves))
    for name, grad in zip(("activation", "weight", "offset"), expected, strict=True):
        torch.testing.assert_close(getattr(ours, name), grad, rtol=1e-12, atol=1e-13)


def test_the_gradient_of_reconstruction_passes_gradcheck() -> None:
    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a, weight, x, offset):
            loss, *gradients = reconstruction(a, weight, x, offset)
            ctx.save_for_backward(*gradients)
            return loss

        @staticmethod
        def backward(ctx, grad):
            a, weight, offset = ctx.saved_tensors
            matrix = grad[..., None, None]
            return matrix * a, matrix * weight, None, grad[..., None] * offset

    cases = [reconstruction_case(seed, n=4) for seed in (1, 2)]
    a, weight, x, offset = (torch.from_numpy(np.stack(part)) for part in zip(*cases, strict=True))
    leaves = (a.requires_grad_(), weight.requires_grad_(), x, offset.requires_grad_())
    assert torch.autograd.gradcheck(Function.apply, leaves)


def test_reconstruction_by_hand() -> None:
    """One unit along (3, 4) with a = 1 and offset (1, 0) rebuilds (4, 4): (4, 4) costs 0 and (4, 6) costs 4."""
    a, weight, offset = torch.ones(2, 1), torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 0.0])
    rebuilt = reconstruction(a, weight, torch.tensor([[4.0, 4.0], [4.0, 6.0]]), offset)
    assert rebuilt.loss.item() == 2
    assert rebuilt.activation.tolist() == [[0.0], [-8.0]]
    assert rebuilt.weight.tolist() == [[0.0, -2.0]]
    assert rebuilt.offset.tolist() == [0.0, -2.0]


def test_reconstruction_of_stacked_replicas_is_that_of_each_alone() -> None:
    cases = [reconstruction_case(seed) for seed in (1, 2, 3)]
    stacked = reconstruction(*(torch.from_numpy(np.stack(part)) for part in zip(*cases, strict=True)))
    for i, arrays in enumerate(cases):
        alone = reconstruction(*(torch.from_numpy(array) for array in arrays))
        for together, own in zip(stacked, alone, strict=True):
            torch.testing.assert_close(together[i], own, rtol=1e-12, atol=1e-12)
