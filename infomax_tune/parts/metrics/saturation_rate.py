"""saturation_rate: on how many samples each unit is at the end of its range."""

from __future__ import annotations

from typing import TYPE_CHECKING

from infomax_tune.parts.metrics import Layer, Metric

if TYPE_CHECKING:
    from torch import Tensor


def measure(layer: Layer) -> Tensor:
    """The share of samples with |a| > 0.95 of the bound of each unit, (k,). Range: 0 to 1; NaN if there is no bound."""
    return layer.saturation_rate


saturation_rate = Metric(
    measure,
    on="trained layer",
    shape="units",
    label="saturation rate",
    explanation="If the outputs are bounded: the share of images on which a unit is beyond 95% of the bound.",
    low=0.0,
    high=1.0,
    place=26,
    report_place=36,
)
