"""The checks of optimizers."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from infomax_tune.parts.optimizers import Optimizer, Rule
from infomax_tune.process.environment import without_numba
from infomax_tune.science import optimizers
from infomax_tune.science.part_checks.shared import (
    Check,
    Note,
    Wrong,
    generator,
    is_close,
    packs_are_exact,
    use_no_random_numbers,
)


def of_optimizer(part: Optimizer, name: str) -> dict[str, Check]:
    """The checks of an optimizer with its default settings, by name, in their order."""
    rule = functools.cache(lambda: part.rule(**part.settings))
    return {
        "shape": lambda: _update_keeps_shape(rule()),
        "descent": lambda: _descends(rule()),
        "random": lambda: use_no_random_numbers(lambda: _steps(rule()), rule().update),
        "independence": lambda: _any_shape(rule()),
        "loops": lambda: _loops_of_rule(rule()),
        "packs": lambda: packs_are_exact({"training.optimizer": name}),
    }


def _start() -> Tensor:
    return torch.randn(8, 6, generator=generator())


def _steps(rule: Rule, order: Tensor | None = None) -> Tensor:
    """The parameter and its moments after three steps. order: that of the numbers, which then are in one row."""
    gradients = torch.randn(3, 8, 6, generator=generator(1))
    given = [_start(), *gradients] if order is None else [each.flatten()[order] for each in (_start(), *gradients)]
    optimizer = optimizers.Optimizer(rule, 0.01, {"parameter": given[0]})
    for gradient in given[1:]:
        optimizer.step({"parameter": gradient})
    return torch.stack([given[0], *optimizer.moments.values()])


def _factors(rule: Rule, step: int) -> list[float]:
    return [np.ravel(factor)[0].item() for factor in rule.factors(0.01, np.array([float(step)]))]


def _update_keeps_shape(rule: Rule) -> str:
    p = _start()
    gradient, moments = torch.ones_like(p), [torch.zeros_like(p) for _ in rule.moments]
    kept = [each.clone() for each in (p, gradient, *moments)]
    found = rule.update(p, gradient, *moments, *_factors(rule, 1))
    found = found if isinstance(found, tuple) else (found,)
    if len(found) != 1 + len(moments):
        raise Wrong(f"the update gives {len(found)} tensors, not the parameter and {len(moments)} moments", rule.update)
    for name, tensor in zip(("the parameter", *rule.moments), found, strict=True):
        if tensor.shape != p.shape or tensor.dtype != p.dtype:
            words = f"{name} becomes {tuple(tensor.shape)} and {tensor.dtype}, from {tuple(p.shape)} and {p.dtype}"
            raise Wrong(words, rule.update)
    if not all(map(torch.equal, kept, (p, gradient, *moments))):
        raise Wrong("the update changes its arguments; it must return new tensors", rule.update)
    return "parameter and moments keep shape and type"


def _descends(rule: Rule) -> str:
    """On the sum of squares, whose gradient is 2 p."""
    p = _start()
    optimizer = optimizers.Optimizer(rule, 1e-3, {"parameter": p})
    heights = [float(p.square().sum())]
    for _ in range(20):
        optimizer.step({"parameter": 2 * p})
        heights.append(float(p.square().sum()))
    for step in (1, 20):
        if not heights[step] < heights[0]:
            words = f"with lr=0.001, a sum of squares goes from {heights[0]:.6g} to {heights[step]:.6g} in {step} steps"
            raise Wrong(words, rule.update)
    return f"a sum of squares goes down, from {heights[0]:.4g} to {heights[-1]:.4g} in 20 steps"


def _any_shape(rule: Rule) -> str:
    order = torch.randperm(48, generator=generator(2))
    whole = _steps(rule)
    if not is_close(_steps(rule, order), whole.flatten(1)[:, order], 1e-6):
        raise Wrong("the update of a number depends on the others or on the shape", rule.update)
    return "each number is updated by itself"


def _loops_of_rule(rule: Rule) -> str:
    if reason := without_numba():
        raise Note(f"numba is {reason}")
    from infomax_tune.science.loops import loops_of_rule  # numba is slow to import

    update = loops_of_rule(rule)
    if update is None:
        raise Note(
            "it trains with torch, not in compiled loops: its update is not made of infomax_tune.parts.elementwise"
        )
    p, moments = _start().numpy().ravel(), np.zeros((2, 48), np.float32)
    for step, gradient in enumerate(torch.randn(3, 8, 6, generator=generator(1)), start=1):
        update(p, *moments, gradient.numpy().ravel(), np.array(_factors(rule, step), np.float32))
    found = torch.from_numpy(np.stack([p, *moments[: len(rule.moments)]]))
    if not is_close(found, _steps(rule).flatten(1), 1e-5):
        raise Wrong("three steps in the loops differ from torch's", rule.update)
    return "three steps give the same numbers to 1e-5"
