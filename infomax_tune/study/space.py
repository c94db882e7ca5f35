"""A search space: a base config and axes, and the grid of trials they span. `read_space` reads them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infomax_tune.errors import ConfigError
from infomax_tune.study.config import ID_DIGITS, TrialConfig, part_names
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import from_nested

SWEEP_FILE = "sweep.yaml"
"""The file in a sweep's folder that holds its space as run."""


@dataclass(frozen=True)
class SearchSpace:
    """What all trials of a study share (`base`) and what they differ in (`axes`, by dotted name).

    id_digits: see `TrialConfig`; a sweep keeps the number it started with.
    """

    name: str
    description: str
    base: TrialConfig
    axes: dict[str, list[Any]]
    id_digits: int = ID_DIGITS

    def trials(self) -> list[TrialConfig]:
        """Every point of the grid, the last axis varying fastest."""
        nested = self.base.nested()
        points = []
        for values in itertools.product(*self.axes.values()):
            point = {section: dict(keys) for section, keys in nested.items()}
            for name, value in zip(self.axes, values, strict=True):
                section, key = name.split(".")
                point[section][key] = value
            points.append(TrialConfig.model_validate(point | {"id_digits": self.id_digits}))
        return points

    def plan(self) -> Plan:
        """The plan of a sweep of this space: all its trials at once. Raises ConfigError if two of them have one id."""
        return Plan(self.trials(), self.further_axes())

    def further_axes(self) -> list[str]:
        """The axes, by dotted name, that distinguish trials of one activation, width and seed, in alphabetical order."""
        known = ("model.activation", "model.hidden_dim", "training.seed")
        further = [name for name, values in self.axes.items() if name not in known and len(values) > 1]
        return sorted(further, key=lambda name: name.split(".")[1])

    def parts(self) -> list[tuple[str, str]]:
        """The parts that its trials name: their kind, and their name. See `TrialConfig.parts`."""
        base = self.base.flat()
        return list(
            dict.fromkeys(
                (mark.kind, name)
                for setting, mark in part_names()
                for value in self.axes.get(setting, [base[setting]])
                for name in mark.names_in(value)
            )
        )

    def as_dict(self) -> dict[str, Any]:
        """The content of the sweep file."""
        return {
            "name": self.name,
            "description": self.description,
            "base": self.base.nested(),
            "axes": self.axes,
            "id_digits": self.id_digits,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: str) -> SearchSpace:
        """The inverse of `as_dict`. Raises ConfigError."""
        try:
            name, description, base, axes, id_digits = (
                content[key] for key in ("name", "description", "base", "axes", "id_digits")
            )
        except KeyError as error:
            raise ConfigError(f"{source}: not a sweep file: it has no {error}.") from None
        return cls(name, description, from_nested(base, source), axes, id_digits)
