"""A search space: a base config and axes, and the grid that they span. `read_space` reads them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infomax_tune.errors import ConfigError
from infomax_tune.study.config import ID_DIGITS, NAMES, TrialConfig, part_names
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import from_nested

SWEEP_FILE = "sweep.yaml"
"""The file in a sweep's folder that holds its space as run."""

MAX_TRIALS = 100_000
"""A larger space is treated as a typing mistake."""


def too_many(axes: Mapping[str, Sequence[Any]], source: str) -> list[str]:
    """The problem of axes that span more than `MAX_TRIALS` trials, in a list; empty if they do not."""
    count = math.prod(map(len, axes.values()))
    return [f"axes: {count} trials exceed the limit of {MAX_TRIALS} ({source})"] if count > MAX_TRIALS else []


def distinct(points: Iterable[TrialConfig]) -> list[TrialConfig]:
    """Each trial of these points once, where its first point is. A baseline that ignores an axis is one trial for all of its
    values, and has the default: the same whatever the values, and their order, are."""
    trials: dict[Any, TrialConfig] = {}
    for point in points:
        # by the settings: two trials may have one id by chance, which `Plan` tells
        key = frozenset(point.numbers().items())
        trials[key] = _alike(trials[key], point) if key in trials else point
    return list(trials.values())


def _alike(one: TrialConfig, other: TrialConfig) -> TrialConfig:
    """A trial of which both are: it has the defaults of the settings in which they differ."""
    nested, before, now = one.nested(), one.flat(), other.flat()
    for name, value in TrialConfig().flat().items():
        if before[name] != now[name]:
            section, key = name.split(".")
            nested[section][key] = value
    return TrialConfig.model_validate(nested | {"id_digits": one.id_digits, "foreign": one.foreign})


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
        """Each trial of the grid once, see `distinct`."""
        return distinct(self.points())

    def points(self) -> list[TrialConfig]:
        """Every point of the grid, the last axis varying fastest."""
        nested = self.base.nested()
        points = []
        for values in itertools.product(*self.axes.values()):
            point = {section: dict(keys) for section, keys in nested.items()}
            foreign = dict(self.base.foreign)
            for name, value in zip(self.axes, values, strict=True):
                section, key = name.split(".")
                (point[section] if name in NAMES else foreign)[key if name in NAMES else name] = value
            also = {"id_digits": self.id_digits, "foreign": tuple(sorted(foreign.items()))}
            points.append(TrialConfig.model_validate(point | also))
        return points

    def plan(self) -> Plan:
        """The plan of a sweep of this space: all its trials at once. Raises ConfigError if two different ones have one id."""
        return Plan(self.trials(), self.further_axes())

    def further_axes(self) -> list[str]:
        """The axes, by dotted name, that distinguish trials of one activation, width and seed, in alphabetical order."""
        known = ("model.activation", "model.hidden_dim", "training.seed")
        further = [name for name, values in self.axes.items() if name not in known and len(values) > 1]
        return sorted(further, key=lambda name: name.split(".")[1])

    @property
    def foreign(self) -> list[str]:
        """The settings that this version does not know, by dotted name. See `TrialConfig`."""
        return [name for name in {**self.base.flat(), **self.axes} if name not in NAMES]

    def parts(self) -> list[tuple[str, str]]:
        """The parts that its trials name: their kind, and their name. See `TrialConfig.parts`."""
        base = self.base.flat()
        named = [
            (mark.kind, name)
            for setting, mark in part_names()
            for value in self.axes.get(setting, [base[setting]])
            for name in mark.names_in(value)
        ]
        return list(dict.fromkeys(named + [("settings", name) for name in self.foreign]))

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
        problems = too_many(content["axes"], source)
        if problems:
            raise ConfigError(problems[0])
        for name, values in content["axes"].items():
            section, _, key = name.partition(".")
            if not section or not key or "." in key:
                raise ConfigError(f"axes: {name!r} is no setting's name ({source})")
            for value in values:
                from_nested({section: {key: value}}, source)  # checks it
        base = from_nested(content["base"], source)
        return cls(content["name"], content["description"], base, content["axes"], content["id_digits"])
