"""Measures one trial by the metrics of `parts.metrics`, in float64.

The same formulas are used during training and at its end, always on the whole test set and on one trial at a time, so
a metric cannot depend on its trial's pack.
"""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor

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


def evaluate(
    weight: Float[Tensor, "k d"], a: Float[Tensor, "n k"], metrics: Mapping[str, Metric] | None = None
) -> dict[str, float]:
    """Metrics of a layer, by name, from one trial's weights and its activations on the whole test set.

    metrics: those to measure, by name; None for all of ours.
    """
    layer = Layer(weight.double(), a.double())
    measured = ours("metrics") if metrics is None else metrics
    return {name: float(metric.measure(layer)) for name, metric in measured.items() if metric.on == "layer"}
