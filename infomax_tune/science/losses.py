"""The objectives, each with its gradient in closed form. Pure functions of tensors, for any number of replicas.

`infomax` is the definition and can be differentiated by autograd; `infomax_gradient` is what training
uses: it gives the same gradient with one extra (N,K)x(K,K) product, about half the work.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Terms(NamedTuple):
    """The loss and its terms, one value per replica: loss = entropy + lambda_tc * tc + lambda_wr * wr.

    entropy: -sum_j log(Var_j + eps), lower is more spread. tc: ||C - I||_F^2, the decorrelation surrogate
    of total correlation, 0 is decorrelated. wr: ||G - I||_F^2, weight redundancy, 0 is orthogonal.
    """

    loss: Float[Tensor, "*s"]
    entropy: Float[Tensor, "*s"]
    tc: Float[Tensor, "*s"]
    wr: Float[Tensor, "*s"]


class Gradient(NamedTuple):
    """The gradient of the loss: for the activations, and for what depends on the weights directly (None if nothing does)."""

    activation: Float[Tensor, "*s n k"]
    weight: Float[Tensor, "*s k d"] | None


class _Statistics(NamedTuple):
    centered: Float[Tensor, "*s n k"]
    variance: Float[Tensor, "*s k"]  # Var + eps
    scale: Float[Tensor, "*s k k"]  # 1 / sqrt((Var_i + eps)(Var_j + eps))
    correlation: Float[Tensor, "*s k k"]
    excess: Float[Tensor, "*s k k"]  # C - I


def _statistics(a: Float[Tensor, "*s n k"], eps: float) -> _Statistics:
    centered = a - a.mean(dim=-2, keepdim=True)
    covariance = centered.mT @ centered / (a.shape[-2] - 1)
    variance = covariance.diagonal(dim1=-2, dim2=-1) + eps
    inverse_sd = variance.rsqrt()
    scale = inverse_sd.unsqueeze(-1) * inverse_sd.unsqueeze(-2)
    correlation = covariance * scale
    return _Statistics(centered, variance, scale, correlation, _minus_identity(correlation))


def _gram(weight: Float[Tensor, "*s k d"], eps: float) -> tuple[Float[Tensor, "*s k k"], Float[Tensor, "*s k"]]:
    """G - I of the rows divided by (norm + eps), and the rows' norms."""
    product = weight @ weight.mT
    norm = product.diagonal(dim1=-2, dim2=-1).sqrt()
    inverse = 1 / (norm + eps)
    return _minus_identity(product * inverse.unsqueeze(-1) * inverse.unsqueeze(-2)), norm


def _minus_identity(matrix: Float[Tensor, "*s k k"]) -> Float[Tensor, "*s k k"]:
    return matrix - torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)


def redundancy(weight: Float[Tensor, "*s k d"], eps: float) -> Float[Tensor, "*s"]:
    """wr: ||G - I||_F^2, G the Gram matrix of the rows / (norm + eps). Lower is better, 0 is orthogonal."""
    return _gram(weight, eps)[0].square().sum(dim=(-2, -1))


def _loss(statistics: _Statistics, lambda_tc: float) -> tuple[Tensor, Tensor, Tensor]:
    """Entropy + lambda_tc tc, and both terms."""
    entropy = -statistics.variance.log().sum(dim=-1)
    tc = statistics.excess.square().sum(dim=(-2, -1))
    return entropy + lambda_tc * tc, entropy, tc


def infomax(
    a: Float[Tensor, "*s n k"], weight: Float[Tensor, "*s k d"], *, lambda_tc: float, lambda_wr: float, eps: float
) -> Terms:
    """L = -sum_j log(Var_j + eps) + lambda_tc ||C - I||_F^2 + lambda_wr ||G - I||_F^2, on one minibatch.

    Var: unbiased, so n >= 2. C_ij = Cov_ij / sqrt((Var_i + eps)(Var_j + eps)); its diagonal is Var/(Var + eps),
    not forced to 1. G: Gram matrix of the weight's rows, each divided by (its L2 norm + eps). Lower is better.
    """
    loss, entropy, tc = _loss(_statistics(a, eps), lambda_tc)
    wr = redundancy(weight, eps)
    return Terms(loss + lambda_wr * wr, entropy, tc, wr)


def infomax_gradient(
    a: Float[Tensor, "*s n k"], weight: Float[Tensor, "*s k d"], *, lambda_tc: float, lambda_wr: float, eps: float
) -> tuple[Terms, Gradient]:
    """`infomax` and its gradient in closed form; wr is NaN where lambda_wr is 0, because nothing here needs it then.

    With M = dL/dCov, a symmetric (k, k) matrix whose diagonal includes the variance's share,
    dL/da = 2/(n-1) (a - mean) M. Written out, with v = Var + eps and E = C - I:
    M_ij = 2 lambda_tc E_ij / sqrt(v_i v_j), plus -(1 + 2 lambda_tc sum_j E_ij C_ij) / v_i on the diagonal.
    The mean needs no term of its own: the rows of (a - mean) sum to zero.
    """
    stats = _statistics(a, eps)
    own = (1 + 2 * lambda_tc * (stats.excess * stats.correlation).sum(dim=-1)) / stats.variance
    m = 2 * lambda_tc * stats.excess * stats.scale - torch.diag_embed(own)
    grad_a = stats.centered @ m * (2 / (a.shape[-2] - 1))
    loss, entropy, tc = _loss(stats, lambda_tc)
    if lambda_wr == 0:
        return Terms(loss, entropy, tc, torch.full_like(tc, math.nan)), Gradient(grad_a, None)
    gram, norm = _gram(weight, eps)
    wr = gram.square().sum(dim=(-2, -1))
    grad_weight = lambda_wr * _gram_gradient(weight, gram, norm, eps)
    return Terms(loss + lambda_wr * wr, entropy, tc, wr), Gradient(grad_a, grad_weight)


def _gram_gradient(weight: Tensor, gram: Tensor, norm: Tensor, eps: float) -> Float[Tensor, "*s k d"]:
    """d ||G - I||_F^2 / dW. With u = w / (|w| + eps): dL/du = 4 (G - I) u, then back through the norm."""
    length = (norm + eps).unsqueeze(-1)
    unit = weight / length
    grad_unit = 4 * gram @ unit
    radial = (grad_unit * weight).sum(dim=-1, keepdim=True)
    direction = weight / norm.clamp_min(torch.finfo(norm.dtype).tiny).unsqueeze(-1)  # 0 for a zero row, which has none
    return grad_unit / length - direction * radial / length.square()


class Reconstruction(NamedTuple):
    """The reconstruction loss, and its gradients with respect to a, W and c."""

    loss: Float[Tensor, "*s"]
    activation: Float[Tensor, "*s n k"]
    weight: Float[Tensor, "*s k d"]
    offset: Float[Tensor, "*s d"]


def reconstruction(
    a: Float[Tensor, "*s n k"],
    weight: Float[Tensor, "*s k d"],
    x: Float[Tensor, "*s n d"],
    offset: Float[Tensor, "*s d"],
) -> Reconstruction:
    """L = mean over samples of ||x - W^T a - c||^2, with tied weights and a learned offset c; lower is better.

    The gradient for `weight` is only the decoder's share; the encoder's comes through `activation`.
    """
    residual = a @ weight + offset.unsqueeze(-2) - x
    loss = residual.square().sum(dim=(-2, -1)) / a.shape[-2]
    grad = residual * (2 / a.shape[-2])
    return Reconstruction(loss, grad @ weight.mT, a.mT @ grad, grad.sum(dim=-2))
