"""What training minimizes: sums of terms with weights, and what rebuilds the inputs. One file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infomax_tune.errors import ConfigError


@dataclass(frozen=True)
class Objective:
    """What training minimizes: the sum of the terms, each times its weight.

    fixes: the settings that it fixes, by dotted name. Objectives that rebuild the inputs also have
    initial(weight): their own parameters, by name, for encoder weights of shape (s, k, d);
    rebuild(a, x, parameters): the loss (s,), its gradient for a, and those for the parameters it uses, by name;
    terms: the weights of the terms that are added to that loss; None is all, which other objectives have.
    place, explanation: as of an `Activation`.
    """

    fixes: Mapping[str, Any] = field(default_factory=dict)
    initial: Callable[[Any], dict[str, Any]] | None = None
    rebuild: Callable[..., tuple[Any, Any, dict[str, Any]]] | None = None
    terms: tuple[str, ...] | None = None
    place: int = 1000
    explanation: str = ""


def part_from(given: Any, where: str) -> Objective:
    """A user's objective. Raises ConfigError."""
    if isinstance(given, Objective):
        return given
    raise ConfigError(f"{where}: is not an objective, but {given!r}; write an Objective, or a term (setting `term`)")
