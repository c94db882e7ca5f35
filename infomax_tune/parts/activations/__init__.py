"""The activations a = f(z), one file each; the object in it has the file's name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infomax_tune.errors import ConfigError

MARKERS = tuple("osD^v<>dpP*hHX8")
"""Those of Matplotlib's that are filled."""


@dataclass(frozen=True)
class Activation:
    """An activation: its formula, and how the report shows it.

    forward(z) gives a. derivative(z, a) gives da/dz, for an activation of each number by itself. backward(grad, z, a)
    gives dL/dz from dL/da, for one of whole rows, the last dimension (`rows`). Without either, autograd makes the gradient.
    With formulas made of `parts.elementwise` (or, for rows, of `parts.rowwise`) a trial runs in compiled loops.
    bound: sup |a| if the outputs are bounded. color (#rrggbb), marker: in every figure; without, those of unknown ones.
    place: where it stands in lists and legends. explanation: a sentence for the report's readers.
    """

    forward: Callable[[Any], Any]
    derivative: Callable[[Any, Any], Any] | None = None
    backward: Callable[[Any, Any, Any], Any] | None = None
    rows: bool = False
    bound: float | None = None
    color: str = ""
    marker: str = ""
    place: int = 1000
    explanation: str = ""

    def __post_init__(self) -> None:
        if self.color and not re.fullmatch("#[0-9a-fA-F]{6}", self.color):
            raise ConfigError(f"color {self.color!r}: write it as #rrggbb")
        if self.marker and self.marker not in MARKERS:
            raise ConfigError(f"marker {self.marker!r}: choose one of Matplotlib's {' '.join(MARKERS)}")


def part_from(given: Any, where: str) -> Activation:
    """A user's activation: an Activation, or a function of a tensor. Raises ConfigError, with `where`, for anything else."""
    if isinstance(given, Activation):
        return given
    if callable(given):
        return Activation(given)
    raise ConfigError(f"{where}: is not an activation, but {given!r}; write a function of a tensor, or an Activation")
