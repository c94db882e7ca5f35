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
    - "trained layer": measure(layer), at the end only. So it can be measured later too, from the saved weights.
    - "losses": measure(losses), at the end, of the loss of each epoch from the first on.
    - "labels": measure(train, train_labels, test, test_labels), at the end, of the activations on both sets, (n, k) and
      (m, k), and their labels.
    setting: the one that asks for it, such as "logging.probe"; "" if it is always measured.
    slow: whether it is measured only later, by `evaluate --mutual-information`.
    shape: of a measurement: a number, or a tensor (k,) of one for each unit, which has no column in the results.
    """

    measure: Callable[..., Any]
    on: Literal["layer", "trained layer", "losses", "labels"] = "layer"
    setting: str = ""
    slow: bool = False
    shape: Literal["number", "units"] = "number"


@dataclass(frozen=True)
class Layer:
    """One trial's layer: its weights (k, d), and its activations (n, k) on the whole test set, n >= 2; both float64.

    bound: sup |a|; None if the outputs are not bounded. competitive: whether the loss has a term by which units compete, see
    `responsibility`. What several metrics need is computed once.
    """

    weight: Tensor
    activations: Tensor
    bound: float | None = None
    competitive: bool = False

    @cached_property
    def centered(self) -> Tensor:
        """The activations without their means, (n, k)."""
        return self.activations - self.activations.mean(dim=0)

    @cached_property
    def covariance(self) -> Tensor:
        """Unbiased covariance of the activations, (k, k)."""
        return self.centered.T @ self.centered / (len(self.activations) - 1)

    @cached_property
    def correlation(self) -> Tensor:
        """Correlation of the activations divided by (std + 1e-6), std unbiased, (k, k).

        The diagonal is (std / (std + 1e-6))^2: about 1 for a unit that varies, 0 for a constant one.
        """
        scale = self.covariance.diagonal().sqrt() + 1e-6
        return self.covariance / (scale[:, None] * scale[None, :])

    @cached_property
    def singular_values(self) -> Tensor:
        """Of the weights, (min(k, d),)."""
        from torch.linalg import svdvals

        return svdvals(self.weight)

    @cached_property
    def active(self) -> Tensor:
        """The count of samples with |a| > 1e-6, of each unit, (k,)."""
        return (self.activations.abs() > 1e-6).sum(dim=0)

    @cached_property
    def dead(self) -> Tensor:
        """Whether a unit is active on under 1% of the samples, (k,)."""
        return self.active < 0.01 * len(self.activations)

    @cached_property
    def saturation_rate(self) -> Tensor:
        """The share of samples with |a| > 0.95 of the bound, of each unit, (k,); NaN if there is no bound."""
        if self.bound is None:
            return self.weight.new_full(self.activations.shape[1:], float("nan"))
        return (self.activations.abs() > 0.95 * self.bound).double().mean(dim=0)

    @cached_property
    def constant(self) -> Tensor:
        """Whether a unit hardly varies, (k,): its variance is under 1e-4 of the layer's median, or all its outputs are equal."""
        variance = self.covariance.diagonal()
        lowest, highest = self.activations.aminmax(dim=0)
        return (variance < 1e-4 * variance.quantile(0.5)) | (lowest == highest)

    @cached_property
    def live(self) -> Tensor:
        """Whether a unit is neither dead nor constant, (k,)."""
        return ~(self.dead | self.constant)

    @cached_property
    def standardized(self) -> Tensor:
        """The outputs of the live units, with mean 0 and (biased) variance 1, (n, live units)."""
        n, unbiased = len(self.activations), self.covariance.diagonal()
        return (self.centered / (unbiased * (n - 1) / n).sqrt())[:, self.live]

    @cached_property
    def responsibility(self) -> Tensor:
        """Each unit's share of each sample, (n, k): softmax(-a) if the units compete by the loss (the term lse), a itself if
        it is made of shares, and else softmax(a)."""
        if self.competitive:
            return (-self.activations).softmax(dim=1)
        return self.activations if self.are_shares else self.activations.softmax(dim=1)

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
