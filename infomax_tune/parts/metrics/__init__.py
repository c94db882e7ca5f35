"""The metrics, one file each; the object in it has the file's name. What several share is in files that begin with _."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from infomax_tune.errors import ConfigError
from infomax_tune.parts.column import Column

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Metric(Column):
    """A metric: how it is measured on one trial, and what is known of its column.

    on: what `measure` is a function of.
    - "layer": measure(layer), of a `Layer`: at epoch 0, during training and at the end.
    - "losses": measure(losses), at the end, of the loss of each epoch from the first on.
    - "labels": measure(train, train_labels, test, test_labels), at the end, of the activations on both sets, (n, k) and
      (m, k), and their labels.
    setting: the one that asks for it, such as "logging.probe"; "" if it is always measured.
    shape: of a measurement: a number.
    """

    measure: Callable[..., Any]
    on: Literal["layer", "losses", "labels"] = "layer"
    setting: str = ""
    shape: Literal["number"] = "number"


@dataclass(frozen=True)
class Layer:
    """One trial's layer: its weights (k, d), and its activations (n, k) on the whole test set, n >= 2; both float64.

    What several metrics need is computed once.
    """

    weight: Tensor
    activations: Tensor

    @cached_property
    def covariance(self) -> Tensor:
        """Unbiased covariance of the activations, (k, k)."""
        centered = self.activations - self.activations.mean(dim=0)
        return centered.T @ centered / (len(self.activations) - 1)

    @cached_property
    def correlation(self) -> Tensor:
        """Correlation of the activations divided by (std + 1e-6), std unbiased, (k, k).

        The diagonal is (std / (std + 1e-6))^2: about 1 for a unit that varies, 0 for a constant one.
        """
        scale = self.covariance.diagonal().sqrt() + 1e-6
        return self.covariance / (scale[:, None] * scale[None, :])

    @cached_property
    def are_shares(self) -> bool:
        """Whether each row of the activations is made of shares of 1, as with softmax."""
        first = self.activations[:1]  # it settles it for most layers
        return all(
            bool((rows >= 0).all() and (rows.sum(dim=1) - 1).abs().max() < 1e-4) for rows in (first, self.activations)
        )


def part_from(given: Any, where: str) -> Metric:
    """A user's metric: a Metric, or a function of weights (k, d) and activations (n, k) to a number. Raises ConfigError."""
    if isinstance(given, Metric):
        return given
    if callable(given):
        return Metric(lambda layer: _number(given(layer.weight, layer.activations), where))
    raise ConfigError(
        f"{where}: is not a metric, but {given!r}; write a function of the weights and activations, or a Metric"
    )


def _number(given: Any, where: str) -> float:
    try:
        return float(given)
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(f"{where}: a metric must be one number, but its function gave {given!r}") from None
