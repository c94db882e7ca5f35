"""The functions that formulas are written in: of torch's tensors, and of the numbers in compiled loops.

A formula made of these, of + - * / and of numbers is written once. On tensors it runs as it stands. The compiled loops
have each of these functions too (`science/loop_functions.py`), so it also runs there, on sixteen numbers at a time.
Imports no torch: a tensor brings its methods.
"""

from __future__ import annotations

from typing import Any

Numbers = Any
"""A tensor; a float where another argument is a tensor. In compiled loops, sixteen floats."""


def exp(x: Numbers) -> Numbers:
    """e^x."""
    return x.exp()


def expm1(x: Numbers) -> Numbers:
    """e^x - 1, without the rounding error of that difference near 0."""
    return x.expm1()


def log(x: Numbers) -> Numbers:
    """The natural logarithm: -infinity of 0, NaN of a negative number."""
    return x.log()


def sqrt(x: Numbers) -> Numbers:
    """The square root."""
    return x.sqrt()


def absolute(x: Numbers) -> Numbers:
    """|x|."""
    return x.abs()


def tanh(x: Numbers) -> Numbers:
    """The hyperbolic tangent."""
    return x.tanh()


def sigmoid(x: Numbers) -> Numbers:
    """1 / (1 + e^-x)."""
    return x.sigmoid()


def softplus(x: Numbers) -> Numbers:
    """log(1 + e^x)."""
    from torch.nn.functional import softplus as of_tensor

    return of_tensor(x)


def erf(x: Numbers) -> Numbers:
    """The error function, 2/sqrt(pi) times the integral of e^-t^2 from 0 to x."""
    return x.erf()


def maximum(x: Numbers, least: float) -> Numbers:
    """The larger of x and a number; NaN where x is."""
    return x.clamp_min(least)


def minimum(x: Numbers, most: float) -> Numbers:
    """The smaller of x and a number; NaN where x is."""
    return x.clamp_max(most)


def where_less(a: Numbers, b: Numbers, then: Numbers, otherwise: Numbers) -> Numbers:
    """`then` where a < b, else `otherwise`, which is also where either is NaN."""
    import torch

    less = a < b
    if not isinstance(then, torch.Tensor) and not isinstance(otherwise, torch.Tensor):
        like = a if isinstance(a, torch.Tensor) else b
        then = like.new_tensor(then)  # a number keeps the tensors' type
    return torch.where(less, then, otherwise)


def fma(a: Numbers, b: Numbers, c: Numbers) -> Numbers:
    """a b + c, which the compiled loops round once."""
    return a * b + c
