"""The study's metrics: pure functions of one trial's weights (K, D) or activations (N, K), computed in float64.

The same functions are used during training and at its end, always on the whole test set and on one trial at a time, so
a metric cannot depend on its trial's pack.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


def effective_rank(weight: Float[Tensor, "k d"]) -> float:
    """Number of directions the weights really use: (sum s)^2 / sum s^2, s the singular values (+ 1e-10).

    Range: 1 (all units parallel) to min(k, d); higher is better.
    Differs: not the entropy-based effective rank of Roy & Vetterli (2007).
    """
    s = torch.linalg.svdvals(weight.double()) + 1e-10
    return (s.sum().square() / s.square().sum()).item()


def weight_redundancy(weight: Float[Tensor, "k d"]) -> float:
    """How far the units' directions are from orthogonal: ||G - I||_F^2, G the Gram matrix of the rows / (norm + 1e-8).

    Range: 0 (orthogonal) to k (k - 1) (all parallel); a zero row adds 1; lower is better.
    """
    w = weight.double()
    unit = w / (w.norm(dim=1, keepdim=True) + 1e-8)
    return _distance_from_identity(unit @ unit.T)


def dead_units(a: Float[Tensor, "n k"]) -> float:
    """Count of units with |a| > 1e-6 on under 1% of the samples. Range: 0 to k; lower is better."""
    active = (a.abs() > 1e-6).sum(dim=0)
    return float((active < 0.01 * a.shape[0]).sum().item())


def covariance_matrix(a: Float[Tensor, "n k"]) -> Float[Tensor, "k k"]:
    """Unbiased covariance of the activations, in float64; n >= 2."""
    centered = a.double() - a.double().mean(dim=0)
    return centered.T @ centered / (a.shape[0] - 1)


def correlation_matrix(a: Float[Tensor, "n k"]) -> Float[Tensor, "k k"]:
    """Correlation of the activations divided by (std + 1e-6), std unbiased; n >= 2.

    The diagonal is (std / (std + 1e-6))^2: about 1 for a unit that varies, 0 for a constant one.
    """
    return _correlation(covariance_matrix(a))


def output_correlation(a: Float[Tensor, "n k"]) -> float:
    """||R - I||_F^2, R as in `correlation_matrix`. Range: 0 to k (k - 1); a constant unit adds 1; lower is better."""
    return _distance_from_identity(correlation_matrix(a))


def variance_ratio(a: Float[Tensor, "n k"]) -> float:
    """max_j Var_j / (min_j Var_j + 1e-10), unbiased variances. Range: 0 to infinity, 1 is even; lower is better."""
    return _variance_ratio(covariance_matrix(a))


def activation_mean(a: Float[Tensor, "n k"]) -> float:
    """Mean over all entries of a."""
    return a.double().mean().item()


def activation_std(a: Float[Tensor, "n k"]) -> float:
    """Unbiased standard deviation over all entries of a."""
    return a.double().std().item()


def max_avg_responsibility(a: Float[Tensor, "n k"]) -> float:
    """max_j mean(a_j): the largest share one unit takes. Near 1/k is best; NaN unless every row of a sums to 1."""
    if not _are_shares(a):
        return math.nan
    return a.double().mean(dim=0).max().item()


def gaussian_total_correlation(a: Float[Tensor, "n k"]) -> float:
    """-1/2 log det R in nats, R as in `correlation_matrix` with 1e-6 added to its diagonal; lower is better.

    It would be the total correlation sum_j H(a_j) - H(a) if a were Gaussian. A constant unit adds 6.9. If every row of
    a sums to 1, as with softmax, R is singular and its determinant would be that of the 1e-6, so the unit with the
    largest variance, which the others determine, is left out.
    """
    return _gaussian_total_correlation(covariance_matrix(a), shares=_are_shares(a))


def convergence_epoch(losses: Sequence[float]) -> float:
    """First epoch (counted from 1) whose loss has completed 90% of the fall from the first epoch's to the last's.

    Range: 1 to len(losses); lower is faster. 1 if the loss did not fall, NaN if there is no epoch or a loss is not finite.
    """
    if not losses:
        return math.nan
    target = losses[0] - 0.9 * (losses[0] - losses[-1])
    if losses[-1] >= losses[0]:
        return 1.0
    return float(next((epoch for epoch, loss in enumerate(losses, start=1) if loss <= target), math.nan))


def evaluate(weight: Float[Tensor, "k d"], a: Float[Tensor, "n k"]) -> dict[str, float]:
    """Every metric of `columns.METRICS` for one trial: its weights, and its activations on the whole test set."""
    a = a.double()
    covariance = covariance_matrix(a)
    correlation = _correlation(covariance)
    return {
        "effective_rank": effective_rank(weight),
        "weight_redundancy": weight_redundancy(weight),
        "dead_units": dead_units(a),
        "output_correlation": _distance_from_identity(correlation),
        "variance_ratio": _variance_ratio(covariance),
        "activation_mean": activation_mean(a),
        "activation_std": activation_std(a),
        "max_avg_responsibility": max_avg_responsibility(a),
        "gaussian_total_correlation": _gaussian_total_correlation(covariance, shares=_are_shares(a)),
    }


def probe_accuracy(
    train: Float[Tensor, "n k"],
    train_labels: NDArray[np.int64],
    test: Float[Tensor, "m k"],
    test_labels: NDArray[np.int64],
) -> float:
    """Test accuracy of multinomial logistic regression on frozen, standardized activations. Range: 0 to 1; higher is better.

    scikit-learn's LogisticRegression (L2, C = 1, lbfgs, 200 iterations at most), features standardized on the training set.
    """
    from sklearn.exceptions import ConvergenceWarning  # slow to import, and only a probe needs it
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a nearly converged probe is good enough
        probe.fit(train.double().numpy(), train_labels)
    return float(probe.score(test.double().numpy(), test_labels))


def _correlation(covariance: Float[Tensor, "k k"]) -> Float[Tensor, "k k"]:
    scale = covariance.diagonal().sqrt() + 1e-6
    return covariance / (scale[:, None] * scale[None, :])


def _variance_ratio(covariance: Float[Tensor, "k k"]) -> float:
    variance = covariance.diagonal()
    return (variance.max() / (variance.min() + 1e-10)).item()


def _gaussian_total_correlation(covariance: Float[Tensor, "k k"], *, shares: bool) -> float:
    if shares:
        kept = torch.arange(len(covariance), device=covariance.device) != covariance.diagonal().argmax()
        covariance = covariance[kept][:, kept]
    correlation = _correlation(covariance)
    eye = torch.eye(correlation.shape[0], dtype=correlation.dtype, device=correlation.device)
    return 0.0 - 0.5 * torch.linalg.slogdet(correlation + 1e-6 * eye).logabsdet.item()


def _are_shares(a: Float[Tensor, "n k"]) -> bool:
    first = a[:1]  # it settles it for most layers
    return all(bool((rows >= 0).all() and (rows.double().sum(dim=1) - 1).abs().max() < 1e-4) for rows in (first, a))


def _distance_from_identity(matrix: Float[Tensor, "k k"]) -> float:
    eye = torch.eye(matrix.shape[0], dtype=matrix.dtype, device=matrix.device)
    return (matrix - eye).square().sum().item()
