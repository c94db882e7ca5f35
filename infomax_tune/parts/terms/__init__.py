"""The terms of a loss, one file each; the object in it has the file's name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from infomax_tune.errors import ConfigError
from infomax_tune.parts.column import Column


@dataclass(frozen=True)
class Term(Column):
    """A term of the loss, which adds its weight times its value.

    on: what it is a function of.
    - "outputs": value(a) and gradient(a) = d value / da, a of shape (..., n, k), values (...).
    - "weights": value(weight, eps) and gradient(weight, eps), weight of shape (..., k, d).
    - "correlation": value(s) and gradient(s), s the `losses.Statistics` of the outputs. The gradient is a pair:
      d value / dC, or 0 for none, and -d value / d log(Var_j + eps), by which a unit's own variance counts.
    Without a gradient, autograd makes it.
    weight: the name of its weight in the section `loss`, with its default. always: whether every table has its column;
    the others have one where the weight is not 0. competitive: whether the units compete by it, see `metrics.Layer`.
    meaning: what its setting says of it.
    """

    value: Callable[..., Any]
    gradient: Callable[..., Any] | None = None
    on: Literal["outputs", "weights", "correlation"] = "outputs"
    weight: str = ""
    default: float = 0.0
    always: bool = False
    competitive: bool = False
    meaning: str = ""


def part_from(given: Any, where: str) -> Term:
    """A user's term: a Term, or a function of the outputs (n, k) to one number. Raises ConfigError."""
    if isinstance(given, Term):
        return given
    if callable(given):
        return Term(lambda a: _of_each(given, a))
    raise ConfigError(f"{where}: is not a term of a loss, but {given!r}; write a function of the outputs, or a Term")


def _of_each(function: Callable[[Any], Any], a: Any) -> Any:
    """What the function gives for each replica by itself, (s,) for outputs (s, n, k): their bits are those of each alone."""
    import torch

    values = [torch.as_tensor(function(one)) for one in a]
    for value in values:
        if value.numel() != 1:
            raise ConfigError(
                f"a term of the loss must be one number, but its function gave the shape {tuple(value.shape)}"
            )
    return torch.stack([value.reshape(()) for value in values])
