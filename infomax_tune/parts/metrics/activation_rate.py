"""activation_rate: on how many samples each unit is active."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infomax_tune.parts.metrics import Layer, Metric

if TYPE_CHECKING:
    from torch import Tensor


def measure(layer: Layer) -> Tensor:
    """The share of samples with |a| > 1e-6 of each unit, (k,). Range: 0 to 1."""
    return layer.active.double() / len(layer.activations)


activation_rate = Metric(
    measure,
    on="trained layer",
    shape="units",
    label="activation rate",
    explanation="The share of images on which a unit responds (above 1e-6 in magnitude).",
    low=0.0,
    high=1.0,
    place=25,
    report_place=34,
)
