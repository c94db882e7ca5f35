"""negentropy: how far the distribution of each unit's output is from a Gaussian."""

from infomax_tune.parts.metrics import Layer, Metric

_OF_GAUSSIAN = 0.37456720749143
"""E log cosh v, v standard normal."""
_SCALE = 79.01556728
"""1 / (2 d^2), d^2 the variance of log cosh v that 1, v and v^2 do not explain: the paper's constant for this function. (Its
own two, 1 / (2 - 6/pi) and 24 / (16 sqrt 3 - 27), are those of |v| and exp(-v^2/2).)"""


def measure(layer: Layer) -> float:
    """Mean over units of J = (E log cosh y - E log cosh v)^2 / (2 d^2) in nats, y the standardized output, v normal.

    Range: 0 (as of a Gaussian) to 11.1. Dead and constant units are left out; NaN if there are no others. A first-order
    approximation, good near a Gaussian. Source: Hyvarinen, New approximations of differential entropy (1998), with one even
    function, FastICA's log cosh.
    """
    y = layer.standardized.abs()
    log_cosh = y + (-2.0 * y).exp().log1p() - 0.6931471805599453
    return (_SCALE * (log_cosh.mean(dim=0) - _OF_GAUSSIAN).square()).mean().item()


negentropy = Metric(
    measure,
    on="trained layer",
    label="mean negentropy",
    explanation="Mean over units, without dead and constant ones, of how far the output is from a Gaussian of the same variance, "
    "in nats (approximated by log cosh). Neither direction is better.",
    low=0.0,
    ranked=False,
    place=20,
    report_place=116,
)
