"""The optimizers, one file each; the object in it has the file's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infomax_tune.errors import ConfigError


@dataclass(frozen=True)
class Rule:
    """How parameters are updated, each number by itself.

    update(parameter, gradient, *moments, *factors) gives the new parameter, or a tuple of it and the new moments, in the
    order of `moments`. Made of `parts.elementwise`, it also runs in compiled loops, with up to two moments.
    factors(lr, steps): a tuple of what the update multiplies with in the steps-th step, counted from 1. steps is an array
    of float64, and so may each factor be.
    moments: the names of what is remembered of each parameter; each is shaped as its parameter and begins at 0.
    fused(parameters, gradients, moments, lr, steps): the same update of lists of tensors in place, by a faster kernel of
    torch's. moments: a list per moment; steps: a tensor per parameter, each with the number of steps taken before.
    """

    update: Callable[..., Any]
    factors: Callable[[float, Any], tuple[Any, ...]] = lambda lr, steps: (lr,)
    moments: tuple[str, ...] = ()
    fused: Callable[..., None] | None = None


@dataclass(frozen=True)
class Optimizer:
    """An optimizer: rule(**settings) gives its rule.

    settings: its own settings in the section `training`, beside `lr`, each with its default; they are at least 0.
    place, explanation: as of an `Activation`.
    """

    rule: Callable[..., Rule]
    settings: Mapping[str, float] = field(default_factory=dict)
    place: int = 1000
    explanation: str = ""


def part_from(given: Any, where: str) -> Optimizer:
    """A user's optimizer: an Optimizer, a Rule, or a function update(parameter, gradient, lr). Raises ConfigError."""
    if isinstance(given, Optimizer):
        return given
    if isinstance(given, Rule):
        return Optimizer(lambda: given)
    if callable(given):
        return Optimizer(lambda: Rule(given))
    raise ConfigError(
        f"{where}: is not an optimizer, but {given!r}; write a function of a parameter, its gradient and lr, or a Rule"
    )
