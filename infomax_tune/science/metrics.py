"""Measures one trial by the metrics of `parts.metrics`, in float64.

The same formulas are used during training and at its end, always on the whole test set and on one trial at a time, so
a metric cannot depend on its trial's pack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from infomax_tune.errors import ResourceError
from infomax_tune.parts.catalogue import find, ours, short
from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.study.config import TrialConfig


def asked_for(config: TrialConfig, *on: str, slow: bool = False) -> dict[str, Metric]:
    """The metrics that are measured on any of these (`Metric.on`) in a trial of these settings, by name: ours and the user's own.

    slow: whether with those that only `evaluate` measures.
    """
    settings = config.flat()
    own = {short(name): find(kind, name) for kind, name in config.parts() if kind == "metrics"}
    return {
        name: metric
        for name, metric in (ours("metrics") | own).items()
        if metric.on in on and (not metric.setting or settings[metric.setting]) and (slow or not metric.slow)
    }


def require_memory(units: int, train_rows: int, test_rows: int) -> None:
    """Raises ResourceError if this process may not have the memory that it takes to measure a layer of so many units.

    torch would raise an error that is like any other. Of the memory asked for here, nothing is used.
    """
    # matrices of all pairs; the activations before and after f, and on the test set in several forms in double precision
    needed = 5 * 8 * units**2 + 8 * units * train_rows + 48 * units * test_rows
    try:
        np.empty(needed, np.uint8)
    except MemoryError:
        raise ResourceError(
            f"hidden_dim={units}: measuring it takes {needed / 2**30:.1f} GiB of memory, more than this process may have."
        ) from None


def evaluate(
    weight: Float[Tensor, "k d"], a: Float[Tensor, "n k"], metrics: Mapping[str, Metric] | None = None
) -> dict[str, float]:
    """Metrics of a layer, by name, from one trial's weights and its activations on the whole test set.

    metrics: those to measure, by name; None for all of ours.
    """
    layer = Layer(weight.double(), a.double())
    measured = ours("metrics") if metrics is None else metrics
    return {name: float(metric.measure(layer)) for name, metric in measured.items() if metric.on == "layer"}


@dataclass
class Measured:
    """What was measured of a trial. numbers: by metric. units: by metric, of each unit."""

    numbers: dict[str, float] = field(default_factory=dict)
    units: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, metric: Metric, *given: Any) -> None:
        """Measures one more metric. given: what it is a function of."""
        value = metric.measure(*given)
        if metric.shape == "units":
            self.units[name] = value.tolist()
        else:
            self.numbers[name] = float(value)
