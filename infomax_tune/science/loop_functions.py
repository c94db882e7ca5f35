"""The functions of `parts.elementwise` on sixteen numbers at a time, for code that numba compiles."""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from numba import njit
from numba.extending import overload

from infomax_tune.parts import elementwise
from infomax_tune.science.lanes import absolute, exponent, fma, lanes, power_of_two, scale_down, splat, sqrt, where_less

inline = njit(error_model="numpy", forceinline=True)
"""Compiles a function of lanes into the code that calls it."""


@inline
@no_type_check
def exp_below(x):
    """e^x for x <= 88, to 1 unit in the last place or two; below -87 it is e^-87."""
    x = where_less(x, splat(-87.0), splat(-87.0), x)
    magic = splat(12582912.0)  # 1.5 * 2^23: a sum with it has no fraction
    shifted = fma(x, splat(1.44269504), magic)
    whole = shifted - magic
    r = fma(whole, splat(-0.693359375), x)
    r = fma(whole, splat(2.12194440e-4), r)
    p = fma(splat(1.9875691500e-4), r, splat(1.3981999507e-3))
    p = fma(p, r, splat(8.3334519073e-3))
    p = fma(p, r, splat(4.1665795894e-2))
    p = fma(p, r, splat(1.6666665459e-1))
    p = fma(p, r, splat(5.0000001201e-1))
    p = fma(p * r, r, r) + splat(1.0)
    return p * power_of_two(shifted)


@inline
@no_type_check
def _twice_artanh(s):
    """2 artanh(s) = log((1 + s) / (1 - s)), for |s| <= 1/3."""
    square = s * s
    p = fma(splat(1 / 15), square, splat(1 / 13))
    p = fma(p, square, splat(1 / 11))
    p = fma(p, square, splat(1 / 9))
    p = fma(p, square, splat(1 / 7))
    p = fma(p, square, splat(1 / 5))
    p = fma(p, square, splat(1 / 3))
    twice = s + s
    return fma(p * square, twice, twice)


@inline
@no_type_check
def log(x):
    """log(x) for x >= 0."""
    e = exponent(x)
    m = scale_down(x, e)
    fraction = _twice_artanh((m - splat(1.0)) / (m + splat(1.0)))
    result = fma(e, splat(0.693359375), fma(e, splat(-2.12194440e-4), fraction))
    result = where_less(splat(0.0), x, result, splat(-np.inf))
    return where_less(x, splat(np.inf), result, x)  # infinity and NaN stay


@inline
@no_type_check
def tanh(z):
    size = absolute(z)
    e = exp_below(splat(-2.0) * size)
    large = (splat(1.0) - e) / (splat(1.0) + e)
    square = z * z
    p = fma(splat(-5.70498872745e-3), square, splat(2.06390887954e-2))
    p = fma(p, square, splat(-5.37397155531e-2))
    p = fma(p, square, splat(1.33314422036e-1))
    p = fma(p, square, splat(-3.33332819422e-1))
    small = fma(p * square, z, z)
    large = where_less(z, splat(0.0), splat(0.0) - large, large)
    return where_less(size, splat(0.625), small, large)


@inline
@no_type_check
def softplus(z):
    e = exp_below(splat(0.0) - absolute(z))
    positive = where_less(z, splat(0.0), splat(0.0), z)
    return positive + _twice_artanh(e / (splat(2.0) + e))


@inline
@no_type_check
def sigmoid(z):
    e = exp_below(splat(0.0) - absolute(z))
    return where_less(z, splat(0.0), e, splat(1.0)) / (splat(1.0) + e)


@inline
@no_type_check
def exp(x):
    """e^x. The half is squared where x is positive, so that it overflows to infinity and nowhere before."""
    half = exp_below(splat(0.5) * where_less(x, splat(176.0), x, splat(176.0)))
    return where_less(splat(0.0), x, half * half, exp_below(where_less(splat(0.0), x, splat(0.0), x)))


@inline
@no_type_check
def expm1(x):
    """e^x - 1: 2 tanh(x/2) / (1 - tanh(x/2)) near 0."""
    t = tanh(splat(0.5) * x)
    return where_less(absolute(x), splat(1.0), (t + t) / (splat(1.0) - t), exp(x) - splat(1.0))


@inline
@no_type_check
def erf(x):
    """1 - erfc(|x|), with the sign of x; erfc to 1.2e-7 of its value by Press et al., Numerical Recipes, 6.2."""
    size = absolute(x)
    t = splat(1.0) / fma(splat(0.5), size, splat(1.0))
    p = fma(t, splat(0.17087277), splat(-0.82215223))
    p = fma(t, p, splat(1.48851587))
    p = fma(t, p, splat(-1.13520398))
    p = fma(t, p, splat(0.27886807))
    p = fma(t, p, splat(-0.18628806))
    p = fma(t, p, splat(0.09678418))
    p = fma(t, p, splat(0.37409196))
    p = fma(t, p, splat(1.00002368))
    p = fma(t, p, splat(-1.26551223))
    outside = splat(1.0) - t * exp_below(p - size * size)
    return where_less(x, splat(0.0), splat(0.0) - outside, outside)


@inline
@no_type_check
def _maximum(x, least):
    return where_less(x, least, least, x)


@inline
@no_type_check
def _minimum(x, most):
    return where_less(most, x, most, x)


def _offer(of_tensors: Any, of_lanes: Any, arguments: int) -> None:
    """Makes a function of `elementwise` the one of lanes, in compiled code, if one of its arguments is lanes."""

    def one(x: Any) -> Any:
        return (lambda x: of_lanes(x)) if x is lanes else None

    def two(x: Any, y: Any) -> Any:
        return (lambda x, y: of_lanes(x, y)) if lanes in (x, y) else None

    def three(x: Any, y: Any, z: Any) -> Any:
        return (lambda x, y, z: of_lanes(x, y, z)) if lanes in (x, y, z) else None

    def four(a: Any, b: Any, x: Any, y: Any) -> Any:
        return (lambda a, b, x, y: of_lanes(a, b, x, y)) if lanes in (a, b, x, y) else None

    overload(of_tensors, inline="always", strict=False)((one, two, three, four)[arguments - 1])


for _name, _function in {
    "exp": exp, "expm1": expm1, "log": log, "sqrt": sqrt, "absolute": absolute, "tanh": tanh, "sigmoid": sigmoid,
    "softplus": softplus, "erf": erf,
}.items():  # fmt: skip
    _offer(getattr(elementwise, _name), _function, 1)
_offer(elementwise.maximum, _maximum, 2)
_offer(elementwise.minimum, _minimum, 2)
_offer(elementwise.fma, fma, 3)
_offer(elementwise.where_less, where_less, 4)
