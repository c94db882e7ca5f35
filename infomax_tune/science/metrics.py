"""Measures one trial by the metrics of `parts.metrics`, in float64.

The same formulas are used during training and at its end, always on the whole test set and on one trial at a time, so
a metric cannot depend on its trial's pack.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from infomax_tune.errors import ResourceError
from infomax_tune.parts.catalogue import find, ours, short
from infomax_tune.parts.metrics import Layer, Metric
from infomax_tune.study.config import TrialConfig


def asked_for(config: TrialConfig, on: str) -> dict[str, Metric]:
    """The metrics that are measured on this (`Metric.on`) in a trial of these settings, by name: ours and the user's own."""
    settings = config.flat()
    own = {short(name): find(kind, name) for kind, name in config.parts() if kind == "metrics"}
    return {
        name: metric
        for name, metric in (ours("metrics") | own).items()
        if metric.on == on and (not metric.setting or settings[metric.setting])
    }


def require_memory(units: int, rows: int) -> None:
    """Raises ResourceError if this process may not have the memory that `evaluate` takes of a layer of so many units.

    torch would raise an error that is like any other. Of the memory asked for here, nothing is used.
    """
    needed = 5 * 8 * units**2 + 12 * units * rows  # matrices of all pairs, and the activations in both precisions
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
