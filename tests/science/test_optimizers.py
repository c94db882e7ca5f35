"""Our optimizers against torch.optim's, bit for bit."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from infomax_tune.parts import catalogue
from infomax_tune.science.optimizers import Optimizer

ADAM = catalogue.find("optimizers", "adam").rule()
SGD = catalogue.find("optimizers", "sgd").rule(momentum=0.0)
SHAPES = {"weight": (3, 16, 65), "bias": (3, 16), "offset": (3, 65)}
REFERENCE = {
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True),
    "sgd": lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, fused=True),
}


def draw(seed: int, spread: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: spread * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("lr", [1e-3, 0.1])
@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_an_optimizer_is_torchs_bit_for_bit(name: str, lr: float) -> None:
    """Over steps whose gradients differ in size by orders of magnitude, and are zero once."""
    parameters = draw(0)
    reference = {key: value.clone().requires_grad_() for key, value in parameters.items()}
    ours, theirs = (
        Optimizer({"adam": ADAM, "sgd": SGD}[name], lr, parameters),
        REFERENCE[name](list(reference.values()), lr),
    )
    for step, spread in enumerate((1.0, 1e-3, 1e3, 0.0, 1e-9, 1.0, 1.0), start=1):
        before = {key: value.clone() for key, value in parameters.items()}
        gradients = draw(step, spread)
        for key, leaf in reference.items():
            leaf.grad = gradients[key].clone()
        ours.step(gradients)
        theirs.step()
        for key, leaf in reference.items():
            assert torch.equal(parameters[key], leaf.detach()), (key, step)
        assert step > 1 or not torch.equal(parameters["weight"], before["weight"])
    if name == "adam":
        for key, leaf in reference.items():
            state = theirs.state[leaf]
            assert torch.equal(ours.moments[f"{key}.exp_avg"], state["exp_avg"])
            assert torch.equal(ours.moments[f"{key}.exp_avg_sq"], state["exp_avg_sq"])
            assert state["step"].item() == 7
        assert ours.steps.tolist() == [7] * 3


def test_the_gradients_are_found_by_name_and_left_as_they_were() -> None:
    parameters, again = draw(0), draw(0)
    gradients = draw(1)
    kept = {key: value.clone() for key, value in gradients.items()}
    Optimizer(ADAM, 0.1, parameters).step(gradients)
    Optimizer(ADAM, 0.1, again).step(dict(reversed(gradients.items())))
    for key in SHAPES:
        assert torch.equal(parameters[key], again[key])
        assert torch.equal(gradients[key], kept[key])


def test_adam_has_two_moments_a_parameter_and_sgd_none() -> None:
    parameters = draw(0)
    moments = Optimizer(ADAM, 0.1, parameters).moments
    assert set(moments) == {f"{key}.{kind}" for key in SHAPES for kind in ("exp_avg", "exp_avg_sq")}
    assert all(moment.shape == parameters[key.split(".")[0]].shape for key, moment in moments.items())
    assert Optimizer(SGD, 0.1, parameters).moments == {}


def test_the_first_step_of_adam_is_the_learning_rate_in_every_direction() -> None:
    """Bias correction makes it lr * sign(gradient)."""
    parameters = {"weight": torch.zeros(1, 4)}
    Optimizer(ADAM, 0.5, parameters).step({"weight": torch.tensor([[10.0, -0.1, 3.0, -7.0]])})
    torch.testing.assert_close(parameters["weight"], torch.tensor([[-0.5, 0.5, -0.5, 0.5]]))


def test_a_step_of_sgd_is_the_gradient_times_the_learning_rate() -> None:
    """No momentum: the second step does not remember the first."""
    parameters = {"weight": torch.ones(1, 2)}
    optimizer = Optimizer(SGD, 0.25, parameters)
    optimizer.step({"weight": torch.tensor([[4.0, -4.0]])})
    optimizer.step({"weight": torch.tensor([[0.0, 2.0]])})
    assert parameters["weight"].tolist() == [[0.0, 1.5]]


def test_momentum_is_torchs() -> None:
    """The velocity begins as the first gradient."""
    parameters = draw(0)
    reference = {key: value.clone().requires_grad_() for key, value in parameters.items()}
    ours = Optimizer(catalogue.find("optimizers", "sgd").rule(momentum=0.9), 0.1, parameters)
    theirs = torch.optim.SGD(list(reference.values()), lr=0.1, momentum=0.9, foreach=False)
    for step in range(1, 6):
        gradients = draw(step)
        for key, leaf in reference.items():
            leaf.grad = gradients[key].clone()
        ours.step(gradients)
        theirs.step()
    for key, leaf in reference.items():
        torch.testing.assert_close(parameters[key], leaf.detach(), rtol=1e-6, atol=1e-6)
    assert set(ours.moments) == {f"{key}.momentum_buffer" for key in SHAPES}


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_an_update_is_what_torchs_kernel_computes(name: str) -> None:
    """The formula, which the compiled loops run, and the kernel, which is faster on tensors."""
    rule = {"adam": ADAM, "sgd": SGD}[name]
    by_formula, by_kernel = draw(0), draw(0)
    slow, fast = Optimizer(dataclasses.replace(rule, fused=None), 0.01, by_formula), Optimizer(rule, 0.01, by_kernel)
    for step in range(1, 6):
        slow.step(draw(step))
        fast.step(draw(step))
    for key in SHAPES:
        torch.testing.assert_close(by_formula[key], by_kernel[key], rtol=1e-5, atol=1e-6)


def test_the_step_count_decides_the_bias_correction() -> None:
    """What a resumed training sets: with it and the moments, the next step is the one not interrupted."""
    through, gradients = draw(0), [draw(seed) for seed in (1, 2, 3)]
    whole = Optimizer(ADAM, 0.1, through)
    for gradient in gradients[:2]:
        whole.step(gradient)
    resumed_parameters = {key: value.clone() for key, value in through.items()}
    resumed = Optimizer(ADAM, 0.1, resumed_parameters)
    for key, moment in whole.moments.items():
        resumed.moments[key].copy_(moment)
    resumed.steps.fill_(2)
    whole.step(gradients[2])
    resumed.step(gradients[2])
    assert all(torch.equal(through[key], resumed_parameters[key]) for key in SHAPES)
