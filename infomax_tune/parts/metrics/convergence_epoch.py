"""convergence_epoch: the first epoch, counted from 1, that completes 90% of the fall of the loss."""

import math
from collections.abc import Sequence

from infomax_tune.parts.metrics import Metric


def measure(losses: Sequence[float]) -> float:
    """First epoch whose loss has completed 90% of the fall from the first epoch's to the last's.

    Range: 1 to len(losses). 1 if the loss did not fall, NaN if there is no epoch or a loss is not finite.
    """
    if not losses:
        return math.nan
    target = losses[0] - 0.9 * (losses[0] - losses[-1])
    if losses[-1] >= losses[0]:
        return 1.0
    return float(next((epoch for epoch, loss in enumerate(losses, start=1) if loss <= target), math.nan))


convergence_epoch = Metric(
    measure,
    on="losses",
    label="convergence epoch",
    better="lower",
    explanation="The first epoch that reaches 90% of the decrease in training loss. Lower is faster.",
    integer=True,
    low=1.0,
    place=10,
    report_place=90,
)
