"""An epoch of one trial as compiled loops over the numbers of the data that are not zero: what training uses on a CPU.

It computes what `losses`, `activations` and `optimizers` define, in float32, and nothing leaves the core's cache between
the rows of a batch and the new weights. Units are filled up to whole `LANES`; the units that are added stay zero.
"""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from numba import njit
from numba.core import config

from infomax_tune.process.code_cache import cache_folder
from infomax_tune.science.lanes import (
    LANES,
    absolute,
    exponent,
    fma,
    largest,
    load,
    power_of_two,
    prefetch,
    scale_down,
    splat,
    sqrt,
    store,
    total,
    where_less,
)
from infomax_tune.science.lanes import __file__ as lanes_file
from infomax_tune.science.optimizers import ADAM_EPS, BETA1, BETA2

IDENTITY, RELU, LEAKY_RELU, SOFTMAX, TANH, SOFTPLUS = range(6)
_CODES_A_LINE, _INDEXES_A_LINE = 64, 32
"""Numbers in a cache line."""
_ROWS_AHEAD = 24
_inline = njit(error_model="numpy", forceinline=True)
_part = njit(error_model="numpy")


@_inline
@no_type_check
def _exp(x):
    """e^x for x <= 0, to 1 unit in the last place or two; below -87 it is e^-87."""
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


@_inline
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


@_inline
@no_type_check
def _log(x):
    """log(x) for x >= 0."""
    e = exponent(x)
    m = scale_down(x, e)
    fraction = _twice_artanh((m - splat(1.0)) / (m + splat(1.0)))
    result = fma(e, splat(0.693359375), fma(e, splat(-2.12194440e-4), fraction))
    result = where_less(splat(0.0), x, result, splat(-np.inf))
    return where_less(x, splat(np.inf), result, x)  # infinity and NaN stay


@_inline
@no_type_check
def _tanh(z):
    size = absolute(z)
    e = _exp(splat(-2.0) * size)
    large = (splat(1.0) - e) / (splat(1.0) + e)
    square = z * z
    p = fma(splat(-5.70498872745e-3), square, splat(2.06390887954e-2))
    p = fma(p, square, splat(-5.37397155531e-2))
    p = fma(p, square, splat(1.33314422036e-1))
    p = fma(p, square, splat(-3.33332819422e-1))
    small = fma(p * square, z, z)
    large = where_less(z, splat(0.0), splat(0.0) - large, large)
    return where_less(size, splat(0.625), small, large)


@_inline
@no_type_check
def _softplus(z):
    e = _exp(splat(0.0) - absolute(z))
    positive = where_less(z, splat(0.0), splat(0.0), z)
    return positive + _twice_artanh(e / (splat(2.0) + e))


@_inline
@no_type_check
def _sigmoid(z):
    e = _exp(splat(0.0) - absolute(z))
    return where_less(z, splat(0.0), e, splat(1.0)) / (splat(1.0) + e)


@_part
@no_type_check
def _activate(kind, z, a, size, real, units):
    """a = f(z), row by row."""
    zero = splat(0.0)
    if kind == SOFTMAX:
        for first in range(0, size, units):
            _softmax(z, a, first, real, units)
        return
    for first in range(0, size, units):
        for j in range(0, units, LANES):
            x = load(z, first + j)
            if kind == RELU:
                x = where_less(x, zero, zero, x)
            elif kind == LEAKY_RELU:
                x = where_less(x, zero, splat(0.01) * x, x)
            elif kind == TANH:
                x = _tanh(x)
            elif kind == SOFTPLUS:
                x = _softplus(x) * load(real, j)
            store(a, first + j, x)


@_part
@no_type_check
def _softmax(z, a, first, real, units):
    """a = softmax(z) of the row that begins at `first`, over the real units."""
    top = splat(-np.inf)
    lowest = splat(-np.inf)
    for j in range(0, units, LANES):
        x = where_less(splat(0.5), load(real, j), load(z, first + j), lowest)
        top = where_less(top, x, x, top)
    top = splat(largest(top))
    added = splat(0.0)
    for j in range(0, units, LANES):
        e = _exp(load(z, first + j) - top) * load(real, j)
        added = added + e
        store(a, first + j, e)
    scale = splat(np.float32(1.0) / total(added))
    for j in range(0, units, LANES):
        store(a, first + j, load(a, first + j) * scale)


@_part
@no_type_check
def _softmax_back(grad, a, size, units):
    """dL/dz = a (dL/da - sum(dL/da a)), in place."""
    for first in range(0, size, units):
        added = splat(0.0)
        for j in range(0, units, LANES):
            added = fma(load(grad, first + j), load(a, first + j), added)
        mean = splat(total(added))
        for j in range(0, units, LANES):
            store(grad, first + j, load(a, first + j) * (load(grad, first + j) - mean))


@_part
@no_type_check
def _activate_back(kind, grad, z, a, size, units):
    """dL/dz from dL/da, in place."""
    zero = splat(0.0)
    if kind == IDENTITY:
        return
    if kind == SOFTMAX:
        _softmax_back(grad, a, size, units)
        return
    for i in range(0, size, LANES):
        g = load(grad, i)
        if kind == RELU:
            g = where_less(zero, load(z, i), g, zero)
        elif kind == LEAKY_RELU:
            g = where_less(zero, load(z, i), g, splat(0.01) * g)
        elif kind == TANH:
            f = load(a, i)
            g = g * (splat(1.0) - f * f)
        else:
            g = g * _sigmoid(load(z, i))
        store(grad, i, g)


@_inline
@no_type_check
def _prefetch_row(starts, index, code, row):
    """Asks for a row's numbers: rows come in random order, which the CPU cannot foresee."""
    first, last = starts[row], starts[row + 1]
    for at in range(first, last + _CODES_A_LINE, _CODES_A_LINE):
        prefetch(code, at)
    for at in range(first, last + _INDEXES_A_LINE, _INDEXES_A_LINE):
        prefetch(index, at)


@_part
@no_type_check
def _forward(starts, index, code, palette, rows, weight, bias, z, units):
    """z = x W^T + b, a row at a time, over the numbers of x that are not zero."""
    for i in range(min(_ROWS_AHEAD, len(rows))):
        _prefetch_row(starts, index, code, rows[i])
    for i in range(len(rows)):
        if i + _ROWS_AHEAD < len(rows):
            _prefetch_row(starts, index, code, rows[i + _ROWS_AHEAD])
        first, last = starts[rows[i]], starts[rows[i] + 1]
        to = i * units
        j = 0
        while units - j >= 4 * LANES:
            a0, a1 = load(bias, j), load(bias, j + LANES)
            a2, a3 = load(bias, j + 2 * LANES), load(bias, j + 3 * LANES)
            for at in range(first, last):
                x, w = splat(palette[code[at]]), index[at] * units + j
                a0 = fma(x, load(weight, w), a0)
                a1 = fma(x, load(weight, w + LANES), a1)
                a2 = fma(x, load(weight, w + 2 * LANES), a2)
                a3 = fma(x, load(weight, w + 3 * LANES), a3)
            store(z, to + j, a0)
            store(z, to + j + LANES, a1)
            store(z, to + j + 2 * LANES, a2)
            store(z, to + j + 3 * LANES, a3)
            j += 4 * LANES
        if units - j >= 2 * LANES:
            a0, a1, b0, b1 = load(bias, j), load(bias, j + LANES), splat(0.0), splat(0.0)
            even = first + (last - first) // 2 * 2
            for at in range(first, even, 2):  # two sums for each unit: one would wait for itself
                x, w = splat(palette[code[at]]), index[at] * units + j
                y, v = splat(palette[code[at + 1]]), index[at + 1] * units + j
                a0 = fma(x, load(weight, w), a0)
                a1 = fma(x, load(weight, w + LANES), a1)
                b0 = fma(y, load(weight, v), b0)
                b1 = fma(y, load(weight, v + LANES), b1)
            for at in range(even, last):
                x, w = splat(palette[code[at]]), index[at] * units + j
                a0 = fma(x, load(weight, w), a0)
                a1 = fma(x, load(weight, w + LANES), a1)
            store(z, to + j, a0 + b0)
            store(z, to + j + LANES, a1 + b1)
            j += 2 * LANES
        if j < units:
            a, b, c, d = load(bias, j), splat(0.0), splat(0.0), splat(0.0)
            whole = first + (last - first) // 4 * 4
            for at in range(first, whole, 4):
                a = fma(splat(palette[code[at]]), load(weight, index[at] * units + j), a)
                b = fma(splat(palette[code[at + 1]]), load(weight, index[at + 1] * units + j), b)
                c = fma(splat(palette[code[at + 2]]), load(weight, index[at + 2] * units + j), c)
                d = fma(splat(palette[code[at + 3]]), load(weight, index[at + 3] * units + j), d)
            for at in range(whole, last):
                a = fma(splat(palette[code[at]]), load(weight, index[at] * units + j), a)
            store(z, to + j, (a + b) + (c + d))


@_part
@no_type_check
def _center(a, centered, rows, units):
    """The activations minus each unit's mean."""
    inverse = splat(np.float32(1.0) / np.float32(rows))
    for j in range(0, units, LANES):
        added = splat(0.0)
        for at in range(j, rows * units, units):
            added = added + load(a, at)
        mean = added * inverse
        for at in range(j, rows * units, units):
            store(centered, at, load(a, at) - mean)


@_part
@no_type_check
def _products(centered, products, rows, units):
    """centered^T centered: units x units."""
    size = rows * units
    for i in range(0, units, 4):
        j = 0
        while units - j >= 4 * LANES:
            for k in range(i, i + 4):
                a0, a1, a2, a3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
                for at in range(0, size, units):
                    x = splat(centered[at + k])
                    a0 = fma(x, load(centered, at + j), a0)
                    a1 = fma(x, load(centered, at + j + LANES), a1)
                    a2 = fma(x, load(centered, at + j + 2 * LANES), a2)
                    a3 = fma(x, load(centered, at + j + 3 * LANES), a3)
                store(products, k * units + j, a0)
                store(products, k * units + j + LANES, a1)
                store(products, k * units + j + 2 * LANES, a2)
                store(products, k * units + j + 3 * LANES, a3)
            j += 4 * LANES
        while j < units:
            a, b, c, d = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
            for at in range(0, size, units):
                x = load(centered, at + j)
                a = fma(splat(centered[at + i]), x, a)
                b = fma(splat(centered[at + i + 1]), x, b)
                c = fma(splat(centered[at + i + 2]), x, c)
                d = fma(splat(centered[at + i + 3]), x, d)
            store(products, i * units + j, a)
            store(products, (i + 1) * units + j, b)
            store(products, (i + 2) * units + j, c)
            store(products, (i + 3) * units + j, d)
            j += LANES


@_part
@no_type_check
def _terms(products, identity, real, variance, inverse_sd, rows, units, lambda_tc, eps):
    """Entropy and tc; turns `products` into M = dL/dCov. See `losses.infomax_gradient`."""
    inverse = np.float32(1.0) / np.float32(rows - 1)
    one, twice = np.float32(1.0), np.float32(2.0) * lambda_tc
    for i in range(units):
        own = products[i * units + i] * inverse + eps
        variance[i] = own if real[i] > 0 else one  # a unit that was added has no share in the loss
    entropy, tc = splat(0.0), splat(0.0)
    for j in range(0, units, LANES):
        entropy = entropy - _log(load(variance, j))
        store(inverse_sd, j, splat(1.0) / sqrt(load(variance, j)))
    for i in range(units):
        own = splat(0.0)
        for j in range(0, units, LANES):
            at = i * units + j
            scale = splat(inverse_sd[i]) * load(inverse_sd, j)
            correlation = load(products, at) * splat(inverse) * scale
            excess = correlation - load(identity, at)
            tc = fma(excess, excess, tc)
            own = fma(excess, correlation, own)
            store(products, at, splat(twice) * excess * scale)
        products[i * units + i] -= (one + twice * total(own)) / variance[i]
    return total(entropy), total(tc)


@_part
@no_type_check
def _grad_activation(centered, m, grad, rows, units):
    """dL/da = 2/(n-1) (a - mean) M."""
    factor = splat(np.float32(2.0) / np.float32(rows - 1))
    for first in range(0, rows * units, units):
        j = 0
        while units - j >= 4 * LANES:
            a0, a1, a2, a3 = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
            for k in range(units):
                x, at = splat(centered[first + k]), k * units + j
                a0 = fma(x, load(m, at), a0)
                a1 = fma(x, load(m, at + LANES), a1)
                a2 = fma(x, load(m, at + 2 * LANES), a2)
                a3 = fma(x, load(m, at + 3 * LANES), a3)
            store(grad, first + j, a0 * factor)
            store(grad, first + j + LANES, a1 * factor)
            store(grad, first + j + 2 * LANES, a2 * factor)
            store(grad, first + j + 3 * LANES, a3 * factor)
            j += 4 * LANES
        while j < units:
            a, b, c, d = splat(0.0), splat(0.0), splat(0.0), splat(0.0)
            for k in range(0, units, 4):
                a = fma(splat(centered[first + k]), load(m, k * units + j), a)
                b = fma(splat(centered[first + k + 1]), load(m, (k + 1) * units + j), b)
                c = fma(splat(centered[first + k + 2]), load(m, (k + 2) * units + j), c)
                d = fma(splat(centered[first + k + 3]), load(m, (k + 3) * units + j), d)
            store(grad, first + j, ((a + b) + (c + d)) * factor)
            j += LANES


@_part
@no_type_check
def _grad_weight(starts, index, code, palette, rows, grad, result, units):
    """dL/dW = dL/dz^T x, a row at a time, over the numbers of x that are not zero."""
    for at in range(0, len(result), LANES):
        store(result, at, splat(0.0))
    for i in range(len(rows)):
        first, last = starts[rows[i]], starts[rows[i] + 1]
        own = i * units
        j = 0
        while units - j >= 4 * LANES:
            g0, g1 = load(grad, own + j), load(grad, own + j + LANES)
            g2, g3 = load(grad, own + j + 2 * LANES), load(grad, own + j + 3 * LANES)
            for at in range(first, last):
                x, to = splat(palette[code[at]]), index[at] * units + j
                store(result, to, fma(x, g0, load(result, to)))
                store(result, to + LANES, fma(x, g1, load(result, to + LANES)))
                store(result, to + 2 * LANES, fma(x, g2, load(result, to + 2 * LANES)))
                store(result, to + 3 * LANES, fma(x, g3, load(result, to + 3 * LANES)))
            j += 4 * LANES
        if units - j >= 2 * LANES:
            g0, g1 = load(grad, own + j), load(grad, own + j + LANES)
            for at in range(first, last):
                x, to = splat(palette[code[at]]), index[at] * units + j
                store(result, to, fma(x, g0, load(result, to)))
                store(result, to + LANES, fma(x, g1, load(result, to + LANES)))
            j += 2 * LANES
        if j < units:
            g = load(grad, own + j)
            for at in range(first, last):
                to = index[at] * units + j
                store(result, to, fma(splat(palette[code[at]]), g, load(result, to)))


@_part
@no_type_check
def _grad_bias(grad, result, rows, units):
    """dL/db: the sum of dL/dz over the batch."""
    for j in range(0, units, LANES):
        added = splat(0.0)
        for at in range(j, rows * units, units):
            added = added + load(grad, at)
        store(result, j, added)


@_part
@no_type_check
def _power(base, exponent):
    """base^exponent by products alone: the C library's may round differently on another machine."""
    result = 1.0
    while exponent > 0:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


@_part
@no_type_check
def _adam(parameter, mean, square, grad, lr, steps):
    """One step, the `steps`-th."""
    step = np.float32(lr / (1.0 - _power(BETA1, steps)))
    inverse_root = np.float32(1.0 / np.sqrt(1.0 - _power(BETA2, steps)))
    for at in range(0, len(parameter), LANES):
        g = load(grad, at)
        m = fma(splat(1 - BETA1), g - load(mean, at), load(mean, at))
        v = fma(splat(1 - BETA2) * g, g, splat(BETA2) * load(square, at))
        store(mean, at, m)
        store(square, at, v)
        change = splat(step) * m / fma(sqrt(v), splat(inverse_root), splat(ADAM_EPS))
        store(parameter, at, load(parameter, at) - change)


@_part
@no_type_check
def _sgd(parameter, grad, step):
    for at in range(0, len(parameter), LANES):
        store(parameter, at, load(parameter, at) - splat(step) * load(grad, at))


@_part
@no_type_check
def _redundancy(weight, products, inputs, units, count, eps):
    """||G - I||_F^2 over the first `count` units, see `losses.redundancy`."""
    _products(weight, products, inputs, units)
    result = 0.0
    for i in range(count):
        own = np.sqrt(products[i * units + i]) + eps
        for j in range(count):
            other = np.sqrt(products[j * units + j]) + eps
            excess = products[i * units + j] / (own * other) - (1.0 if i == j else 0.0)
            result += excess * excess
    return result


@no_type_check
def _train_epoch(
    starts, index, code, palette, order, batch, real, weight, bias,
    weight_mean, weight_square, bias_mean, bias_square, steps, adam, lr, kind, head, lambda_tc, eps,
):  # fmt: skip
    """Trains one trial on the rows of `order`, a batch after another; changes its parameters and moments in place.

    starts, index, code, palette: see `NonZeros`. real: 1 for each unit, 0 for each that was added, (units,).
    weight: (D * units,), input by input. steps: how many were taken before.
    Returns the means over the rows of entropy and tc, and wr at the end.
    """
    units = len(real)
    z = np.empty(batch * units, np.float32)
    f = np.empty(batch * units if kind != IDENTITY else 0, np.float32)
    a = np.empty(batch * units if head else 0, np.float32)
    centered = np.empty(batch * units, np.float32)
    grad = np.empty(batch * units, np.float32)
    products = np.empty(units * units, np.float32)
    identity = np.zeros(units * units, np.float32)
    for i in range(units):
        identity[i * units + i] = real[i]
    variance = np.empty(units, np.float32)
    inverse_sd = np.empty(units, np.float32)
    if kind == IDENTITY:
        f = z
    if not head:
        a = f
    grad_weight = np.empty(len(weight), np.float32)
    grad_bias = np.empty(units, np.float32)
    entropy_sum = tc_sum = 0.0
    for begin in range(0, len(order), batch):
        rows = order[begin : begin + batch]
        n = len(rows)
        size = n * units
        _forward(starts, index, code, palette, rows, weight, bias, z, units)
        if kind != IDENTITY:
            _activate(kind, z, f, size, real, units)
        if head:
            _activate(SOFTMAX, f, a, size, real, units)
        _center(a, centered, n, units)
        _products(centered, products, n, units)
        entropy, tc = _terms(products, identity, real, variance, inverse_sd, n, units, lambda_tc, eps)
        _grad_activation(centered, products, grad, n, units)
        if head:
            _softmax_back(grad, a, size, units)
        _activate_back(kind, grad, z, f, size, units)
        _grad_weight(starts, index, code, palette, rows, grad, grad_weight, units)
        _grad_bias(grad, grad_bias, n, units)
        steps += 1
        if adam:
            _adam(weight, weight_mean, weight_square, grad_weight, lr, steps)
            _adam(bias, bias_mean, bias_square, grad_bias, lr, steps)
        else:
            _sgd(weight, grad_weight, np.float32(lr))
            _sgd(bias, grad_bias, np.float32(lr))
        entropy_sum += np.float64(entropy) * n
        tc_sum += np.float64(tc) * n
    wr = _redundancy(weight, products, len(weight) // units, units, int(real.sum()), np.float64(eps))
    return entropy_sum / len(order), tc_sum / len(order), wr


_settings: Any = config


def _cached(function: Any) -> Any:
    """The function, compiled when it is first called, unless its code for this CPU and this source is in the cache."""
    folder, before = cache_folder(__file__, lanes_file), _settings.CACHE_DIR
    if folder is None:
        return njit(error_model="numpy", nogil=True)(function)
    _settings.CACHE_DIR = str(folder)
    try:
        return njit(error_model="numpy", nogil=True, cache=True)(function)
    finally:
        _settings.CACHE_DIR = before


train_epoch = _cached(_train_epoch)
