"""The checks of activations and of terms of a loss."""

from __future__ import annotations

import torch
from torch import Tensor

from infomax_tune.parts import catalogue
from infomax_tune.parts.activations import Activation
from infomax_tune.parts.terms import Term
from infomax_tune.science.activations import layer_activation
from infomax_tune.science.losses import infomax_gradient, statistics
from infomax_tune.science.part_checks.shared import (
    STEP,
    Check,
    Wrong,
    compare_gradient,
    generator,
    is_close,
    packs_are_exact,
    torch_and_loops_agree,
    use_no_random_numbers,
)

EXTREMES = (1e4, -1e4, 0.0, 1e-30, -1e-30)
_EPS = 1e-6


def of_activation(part: Activation, name: str) -> dict[str, Check]:
    """The checks of an activation, by name, in their order."""
    z = 4 * torch.randn(200, 5, generator=generator(), dtype=torch.float64)
    settings = {"model.activation": name}
    return {
        "shape": lambda: _keeps_shape(part),
        "gradient": lambda: _gradient_of_activation(part, z),
        "random": lambda: use_no_random_numbers(lambda: _both(part, z), part.forward),
        "independence": lambda: _is_independent(part, z),
        "extremes": lambda: _is_finite(part),
        "loops": lambda: torch_and_loops_agree(settings),
        "packs": lambda: packs_are_exact(settings),
    }


def _both(part: Activation, z: Tensor) -> Tensor:
    """Its values and its gradient, for dL/da = sin(z)."""
    layer = layer_activation(part)
    a = layer.forward(z.clone())
    return torch.stack([a, layer.backward(z.sin(), z.clone(), a)])


def _functions(part: Activation) -> tuple[object, object]:
    """Those of its values and of its gradient."""
    return part.forward, part.backward or part.derivative or part.forward


def _keeps_shape(part: Activation) -> str:
    layer = layer_activation(part)
    for shape in ((3, 5), (2, 3, 5)):
        for dtype in (torch.float32, torch.float64):
            z = torch.randn(shape, generator=generator(), dtype=dtype)
            given = z.clone()
            a = part.forward(given)
            grad = layer.backward(torch.ones_like(z), given, a)
            for what, found, function in zip(("outputs", "gradient"), (a, grad), _functions(part), strict=True):
                if found.shape != z.shape or found.dtype != dtype:
                    words = (
                        f"for z of shape {shape} and {dtype}, the {what} have {tuple(found.shape)} and {found.dtype}"
                    )
                    raise Wrong(words, function)
            if not torch.equal(given, z):
                raise Wrong("it changes its input", part.forward)
    return "shape and type are those of the input"


def _gradient_of_activation(part: Activation, z: Tensor) -> str:
    layer = layer_activation(part)
    weights = z.sin() if part.rows else torch.ones_like(z)  # dL/da
    given = layer.backward(weights, z, layer.forward(z))
    numeric, bend = torch.empty_like(z), torch.empty_like(z)
    for unit in range(z.shape[1]):
        step = torch.zeros_like(z)
        step[:, unit] = STEP
        more, here, less = ((layer.forward(each) * weights).sum(dim=-1) for each in (z + step, z, z - step))
        numeric[:, unit] = (more - less) / (2 * STEP)
        bend[:, unit] = (more - 2 * here + less) / STEP
    kink = bend.abs() > 1e-3 * (1 + numeric.abs())
    return compare_gradient(given, numeric, z, "z", _functions(part)[1], kink)


def _is_independent(part: Activation, z: Tensor) -> str:
    """Of other rows; if it is not of whole rows, also of other units."""
    whole = _both(part, z)
    rows = torch.randperm(len(z), generator=generator())
    parts = torch.cat([_both(part, z[:7]), _both(part, z[7:])], dim=1)
    _same(whole, parts, "rows", part)
    _same(whole[:, rows], _both(part, z[rows]), "rows", part)
    if part.rows:
        return "rows do not depend on each other"
    order = torch.randperm(z.numel(), generator=generator())
    mixed = _both(part, z.flatten()[order].reshape(z.shape))
    _same(whole.flatten(1)[:, order].reshape(whole.shape), mixed, "units (if they should, say rows=True)", part)
    return "numbers do not depend on each other"


def _same(one: Tensor, other: Tensor, what: str, part: Activation) -> None:
    for name, function, first, second in zip(("outputs", "gradient"), _functions(part), one, other, strict=True):
        if not is_close(first, second, 1e-9):
            raise Wrong(f"the {name} of a number depend on other {what}", function)


def _is_finite(part: Activation) -> str:
    z = torch.tensor([EXTREMES, *([each] * len(EXTREMES) for each in EXTREMES)])
    for name, function, found in zip(("output", "gradient"), _functions(part), _both(part, z), strict=True):
        bad = z[~found.isfinite()]
        if len(bad):
            raise Wrong(f"the {name} is NaN or infinite at z = {float(bad[0]):g}", function)
    return f"finite at z = {', '.join(f'{each:g}' for each in EXTREMES)}"


def of_term(part: Term, name: str) -> dict[str, Check]:
    """The checks of a term, by name, in their order."""
    a = torch.randn(3, 9, 4, generator=generator(), dtype=torch.float64)
    weight = torch.randn(3, 4, 6, generator=generator(1), dtype=torch.float64)
    settings = {"loss.term": name} if catalogue.is_pinned(name) else {f"loss.{part.weight}": 1.0}
    return {
        "random": lambda: use_no_random_numbers(lambda: _value(part, a, weight), part.value),
        "shape": lambda: _value_per_replica(part, a, weight),
        "gradient": lambda: _gradient_of_term(part, a[:1], weight[:1]),
        "extremes": lambda: _term_is_finite(part),
        "loops": lambda: torch_and_loops_agree(settings),
        "packs": lambda: packs_are_exact(settings),
    }


def _value(part: Term, a: Tensor, weight: Tensor) -> Tensor:
    if part.on == "correlation":
        return part.value(statistics(a, _EPS))
    return part.value(a) if part.on == "outputs" else part.value(weight, _EPS)


def _gradient(part: Term, a: Tensor, weight: Tensor) -> Tensor:
    """For what it is a function of: the outputs or the weights."""
    own = {"own": (part, 1.0)}
    (_, without), (_, gradient) = (infomax_gradient(a, weight, eps=_EPS, own=each) for each in ({}, own))
    if part.on == "weights":
        assert gradient.weight is not None
        return gradient.weight
    return gradient.activation - without.activation


def _value_per_replica(part: Term, a: Tensor, weight: Tensor) -> str:
    values = _value(part, a, weight)
    if values.shape != (3,):
        raise Wrong(f"3 replicas give a value of shape {tuple(values.shape)}, not (3,)", part.value)
    alone = torch.cat([_value(part, a[i : i + 1], weight[i : i + 1]) for i in range(3)])
    if not is_close(values, alone, 1e-9):
        raise Wrong("a replica's value depends on the other replicas", part.value)
    return "a number for each replica"


def _gradient_of_term(part: Term, a: Tensor, weight: Tensor) -> str:
    given = _gradient(part, a, weight)
    at = weight if part.on == "weights" else a
    numeric = torch.empty_like(at)
    for index in range(at.numel()):
        step = torch.zeros(at.numel(), dtype=at.dtype)
        step[index] = STEP
        step = step.reshape(at.shape)
        more, less = (
            _value(part, a, weight + sign * step) if part.on == "weights" else _value(part, a + sign * step, weight)
            for sign in (1, -1)
        )
        numeric.view(-1)[index] = (more.sum() - less.sum()) / (2 * STEP)
    what = "weight" if part.on == "weights" else "output"
    return compare_gradient(given, numeric, at, what, part.gradient or part.value)


def _term_is_finite(part: Term) -> str:
    for size in (*EXTREMES, "random"):
        scale = torch.randn(1, 9, 4, generator=generator()) if size == "random" else torch.full((1, 9, 4), size)
        weight = scale[:, :4]
        for name, function, compute in (("value", part.value, _value), ("gradient", part.gradient, _gradient)):
            if not compute(part, scale, weight).isfinite().all():
                words = f"the {name} is NaN or infinite where all numbers are {size}"
                raise Wrong(words, function or part.value)
    return f"finite where all numbers are {', '.join(f'{each:g}' for each in EXTREMES)}"
