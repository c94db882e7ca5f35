"""The loss of a layer's outputs and its gradient, from the terms of `parts`. Pure functions, for any number of replicas.

`infomax` is the definition and can be differentiated by autograd; `infomax_gradient` is what training uses: it gives the
same gradient with one extra (N,K)x(K,K) product, about half the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from infomax_tune.parts import catalogue
from infomax_tune.parts.terms import Term

Terms = dict[str, Tensor]
"""The loss and its terms by name, one value per replica: loss, entropy, tc, wr, then the others whose weight is not 0."""


class Gradient(NamedTuple):
    """The gradient of the loss: for the activations, and for what depends on the weights directly (None if nothing does)."""

    activation: Float[Tensor, "*s n k"]
    weight: Float[Tensor, "*s k d"] | None


class Statistics(NamedTuple):
    """What the terms of a correlation are made of. C_ij = Cov_ij / sqrt((Var_i + eps)(Var_j + eps)), unbiased, so n >= 2; its
    diagonal is Var/(Var + eps), not forced to 1."""

    centered: Float[Tensor, "*s n k"]
    variance: Float[Tensor, "*s k"]  # Var + eps
    scale: Float[Tensor, "*s k k"]  # 1 / sqrt((Var_i + eps)(Var_j + eps))
    correlation: Float[Tensor, "*s k k"]
    excess: Float[Tensor, "*s k k"]  # C - I


def statistics(a: Float[Tensor, "*s n k"], eps: float) -> Statistics:
    """The statistics of the outputs over their rows."""
    centered = a - a.mean(dim=-2, keepdim=True)
    covariance = centered.mT @ centered / (a.shape[-2] - 1)
    variance = covariance.diagonal(dim1=-2, dim2=-1) + eps
    inverse_sd = variance.rsqrt()
    scale = inverse_sd.unsqueeze(-1) * inverse_sd.unsqueeze(-2)
    correlation = covariance * scale
    excess = correlation - torch.eye(correlation.shape[-1], dtype=a.dtype, device=a.device)
    return Statistics(centered, variance, scale, correlation, excess)


def redundancy(weight: Float[Tensor, "*s k d"], eps: float) -> Float[Tensor, "*s"]:
    """The value of the term wr, which is logged at the end of an epoch where no step needs it."""
    return catalogue.ours("terms")["wr"].value(weight, eps)


def infomax(a: Float[Tensor, "*s n k"], weight: Float[Tensor, "*s k d"], *, eps: float, **weights: float) -> Terms:
    """The sum of the terms, each times its weight, on one minibatch. Lower is better.

    weights: by the name of the setting, such as lambda_tc; those that are not given have their default.
    """
    given = _given(a, weight, eps)
    return _summed([(name, scale, term.value(*given[term.on])) for name, term, scale in _active(weights)])


def infomax_gradient(
    a: Float[Tensor, "*s n k"],
    weight: Float[Tensor, "*s k d"],
    *,
    eps: float,
    own: Mapping[str, tuple[Term, float]] | None = None,
    **weights: float,
) -> tuple[Terms, Gradient]:
    """`infomax` and its gradient in closed form; wr is NaN where lambda_wr is 0, because nothing here needs it then.

    With M = dL/dCov, a symmetric (k, k) matrix whose diagonal includes the variance's share,
    dL/da = 2/(n-1) (a - mean) M. Written out, with v = Var + eps and E = C - I, for entropy + lambda_tc tc:
    M_ij = 2 lambda_tc E_ij / sqrt(v_i v_j), plus -(1 + 2 lambda_tc sum_j E_ij C_ij) / v_i on the diagonal.
    The mean needs no term of its own: the rows of (a - mean) sum to zero.
    own: further terms with their weights, by name. Where a term has no gradient, autograd makes it.
    """
    given = _given(a, weight, eps)
    (stats,) = given["correlation"]
    values: list[tuple[str, float, Tensor | None]] = []
    shared, own_variance = torch.zeros_like(stats.excess), torch.zeros_like(stats.variance)
    further: dict[str, Tensor] = {}
    for name, term, scale in _active(weights, own):
        if term.on == "weights" and scale == 0:
            values.append((name, scale, None))
            continue
        value = term.value(*given[term.on])
        values.append((name, scale, value))
        gradient = _gradient_of(term, given[term.on])
        if term.on == "correlation":
            of_correlation, of_variance = gradient
            shared = shared + scale * of_correlation
            own_variance = own_variance + scale * of_variance
        else:
            further[term.on] = further.get(term.on, 0.0) + scale * gradient
    m = shared * stats.scale - torch.diag_embed(own_variance / stats.variance)
    grad_a = stats.centered @ m * (2 / (a.shape[-2] - 1))
    if "outputs" in further:
        grad_a = grad_a + further["outputs"]
    return _summed(values), Gradient(grad_a, further.get("weights"))


def _gradient_of(term: Term, given: tuple[Any, ...]) -> Any:
    if term.gradient:
        return term.gradient(*given)
    if term.on != "correlation":
        return by_autograd(term.value, *given)
    stats = given[0]  # as functions of log(Var + eps) and C
    log_variance = by_autograd(lambda v: term.value(stats._replace(variance=v.exp())), stats.variance.log())
    eye = stats.correlation - stats.excess
    of_correlation = by_autograd(lambda c: term.value(stats._replace(correlation=c, excess=c - eye)), stats.correlation)
    through = (of_correlation * stats.correlation).sum(dim=-1)
    return of_correlation, through - log_variance


def by_autograd(function: Callable[..., Tensor], x: Tensor, *others: Any) -> Tensor:
    """The gradient of the sum of what the function gives, for its first argument."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        total = function(leaf, *others).sum() + 0.0 * leaf.sum()  # it may not depend on it
        return torch.autograd.grad(total, leaf)[0]


def _given(a: Tensor, weight: Tensor, eps: float) -> dict[str, tuple[Any, ...]]:
    """What a term is a function of, by `Term.on`."""
    return {"correlation": (statistics(a, eps),), "outputs": (a,), "weights": (weight, eps)}


def _active(
    weights: Mapping[str, float], own: Mapping[str, tuple[Term, float]] | None = None
) -> list[tuple[str, Term, float]]:
    """The terms that are computed, with their weights: those that are always logged, and those with a weight."""
    ours = catalogue.ours("terms")
    unknown = set(weights) - {term.weight for term in ours.values()}
    if unknown:
        raise TypeError(f"no term has the weight {min(unknown)}")
    given = [(name, term, weights.get(term.weight, term.default)) for name, term in ours.items()]
    further = [(name, term, scale) for name, (term, scale) in (own or {}).items()]
    return [each for each in given + further if each[1].always or each[2] != 0]


def _summed(values: Sequence[tuple[str, float, Tensor | None]]) -> Terms:
    """The terms by name, after their sum. None is a term that was not computed, which has no weight: NaN."""
    known = [(scale, value) for _, scale, value in values if value is not None]
    loss = torch.zeros_like(known[0][1])
    for scale, value in known:
        loss = loss + scale * value
    nothing = torch.full_like(loss, math.nan)
    return {"loss": loss, **{name: nothing if value is None else value for name, _, value in values}}
