"""An epoch of one trial as compiled loops over the numbers of the data that are not zero: what training uses on a CPU.

It computes what `losses` and the parts define, in float32, and nothing leaves the core's cache between the rows of a batch
and the new weights. Units are filled up to whole `LANES`; the units that are added stay zero.
"""

from __future__ import annotations

from typing import Any, no_type_check

import numpy as np
from numba import njit

from infomax_tune.parts import rowwise
from infomax_tune.science.lanes import (
    LANES,
    absolute,
    fma,
    largest,
    load,
    prefetch,
    splat,
    sqrt,
    store,
    total,
    where_less,
)
from infomax_tune.science.loop_functions import exp_below, inline, log

_CODES_A_LINE, _INDEXES_A_LINE = 64, 32
"""Numbers in a cache line."""
_ROWS_AHEAD = 24
_part = njit(error_model="numpy")


@_part
@no_type_check
def _softmax_row(z, a, first, real, units):
    """a = softmax(z) of the row that begins at `first`, over the real units."""
    top = splat(-np.inf)
    lowest = splat(-np.inf)
    for j in range(0, units, LANES):
        x = where_less(splat(0.5), load(real, j), load(z, first + j), lowest)
        top = where_less(top, x, x, top)
    top = splat(largest(top))
    added = splat(0.0)
    for j in range(0, units, LANES):
        e = exp_below(load(z, first + j) - top) * load(real, j)
        added = added + e
        store(a, first + j, e)
    scale = splat(np.float32(1.0) / total(added))
    for j in range(0, units, LANES):
        store(a, first + j, load(a, first + j) * scale)


@no_type_check
def _softmax(z, a, size, real, units):
    for first in range(0, size, units):
        _softmax_row(z, a, first, real, units)


@no_type_check
def _softmax_back(grad, z, a, size, real, units):
    """dL/dz = a (dL/da - sum(dL/da a)), in place."""
    for first in range(0, size, units):
        added = splat(0.0)
        for j in range(0, units, LANES):
            added = fma(load(grad, first + j), load(a, first + j), added)
        mean = splat(total(added))
        for j in range(0, units, LANES):
            store(grad, first + j, load(a, first + j) * (load(grad, first + j) - mean))


ROWWISE: dict[Any, Any] = {rowwise.softmax: (_softmax, _softmax_back)}
"""The loops of the functions of whole rows, by the function of tensors."""


@_part
@no_type_check
def _add_lse(grad, a, part, size, real, units, weight):
    """Adds the gradient of the term lse, its weight times softmax(-a) over the rows; returns its mean over them."""
    rows, added = size // units, 0.0
    for first in range(0, size, units):
        for j in range(0, units, LANES):
            store(part, j, splat(0.0) - load(a, first + j))
        lowest = splat(-np.inf)
        top = lowest
        for j in range(0, units, LANES):
            x = where_less(splat(0.5), load(real, j), load(part, j), lowest)
            top = where_less(top, x, x, top)
        highest = largest(top)
        summed = splat(0.0)
        for j in range(0, units, LANES):
            e = exp_below(load(part, j) - splat(highest)) * load(real, j)
            summed = summed + e
            store(part, j, e)
        shares = total(summed)
        added -= np.float64(highest) + np.log(np.float64(shares))
        scale = splat(weight / (np.float32(rows) * shares))
        for j in range(0, units, LANES):
            store(grad, first + j, fma(load(part, j), scale, load(grad, first + j)))
    return added / rows


@_part
@no_type_check
def _add_l1(grad, a, size, units, count, weight):
    """Adds the gradient of the term l1, its weight times the sign of a, over all entries; returns the mean of |a|."""
    zero, entries = splat(0.0), np.float32(size // units) * np.float32(count)
    scale = splat(weight / entries)
    added = 0.0
    for first in range(0, size, units):
        row = zero
        for j in range(0, units, LANES):
            x = load(a, first + j)
            row = row + absolute(x)  # a unit that was added is 0
            change = where_less(x, zero, zero - scale, where_less(zero, x, scale, zero))
            store(grad, first + j, load(grad, first + j) + change)
        added += np.float64(total(row))
    return added / np.float64(entries)


@_part
@no_type_check
def _add_redundancy(weight, gram, identity, inverse, result, inputs, units, scale, eps):
    """Adds `scale` times the gradient of the term wr to dL/dW; returns its value. See `parts/terms/wr.py`.

    Written out, with P = W W^T and l = |w| + eps: the gradient is M W, M_ij = 4 E_ij / (l_i l_j), less
    4 sum_k E_ik P_ik / l_k / (|w_i| l_i^2) on the diagonal.
    """
    _products(weight, gram, inputs, units)
    tiny = np.float32(2.0**-126)
    for i in range(units):
        inverse[i] = np.float32(1.0) / (np.sqrt(gram[i * units + i]) + eps)
    value = 0.0
    for i in range(units):
        norm, own = max(np.sqrt(gram[i * units + i]), tiny), splat(inverse[i])
        excesses, radial = splat(0.0), splat(0.0)
        for j in range(0, units, LANES):
            at = i * units + j
            product = load(gram, at)
            excess = product * own * load(inverse, j) - load(identity, at)
            excesses = fma(excess, excess, excesses)
            radial = fma(excess * load(inverse, j), product, radial)
            store(gram, at, splat(np.float32(4.0) * scale) * excess * own * load(inverse, j))
        value += np.float64(total(excesses))
        gram[i * units + i] -= np.float32(4.0) * scale * total(radial) * inverse[i] * inverse[i] / norm
    for first in range(0, inputs * units, units):
        for j in range(0, units, LANES):
            a, b, c, d = load(result, first + j), splat(0.0), splat(0.0), splat(0.0)
            for k in range(0, units, 4):
                a = fma(splat(weight[first + k]), load(gram, k * units + j), a)
                b = fma(splat(weight[first + k + 1]), load(gram, (k + 1) * units + j), b)
                c = fma(splat(weight[first + k + 2]), load(gram, (k + 2) * units + j), c)
                d = fma(splat(weight[first + k + 3]), load(gram, (k + 3) * units + j), d)
            store(result, first + j, (a + b) + (c + d))
    return value


@inline
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
def _terms(products, identity, real, variance, inverse_sd, rows, units, lambda_var, lambda_tc, eps):
    """Entropy and tc; turns `products` into M = dL/dCov. See `losses.infomax_gradient`."""
    inverse = np.float32(1.0) / np.float32(rows - 1)
    one, twice = np.float32(1.0), np.float32(2.0) * lambda_tc
    for i in range(units):
        own = products[i * units + i] * inverse + eps
        variance[i] = own if real[i] > 0 else one  # a unit that was added has no share in the loss
    entropy, tc = splat(0.0), splat(0.0)
    for j in range(0, units, LANES):
        entropy = entropy - log(load(variance, j))
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
        products[i * units + i] -= (lambda_var + twice * total(own)) / variance[i]
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
    weight_moments, bias_moments, factors, update, activate, activate_back, is_identity, head, head_back, has_head,
    lambda_var, lambda_tc, lambda_wr, lambda_lse, lambda_l1, eps,
):  # fmt: skip
    """Trains one trial on the rows of `order`, a batch after another; changes its parameters and moments in place.

    starts, index, code, palette: see `NonZeros`. real: 1 for each unit, 0 for each that was added, (units,).
    weight: (D * units,), input by input. moments: (2, size of the parameter), or (2, 0) without any. factors: of each
    step, see `Rule`, (steps, factors). update, activate, head: see `loops_of_rule` and `loops_of_activation`.
    Returns the means over the rows of entropy, tc, wr, lse and l1; where lambda_wr is 0, wr is that at the end.
    """
    units, count = len(real), int(real.sum())
    z = np.empty(batch * units, np.float32)
    f = z if is_identity else np.empty(batch * units, np.float32)
    a = np.empty(batch * units, np.float32) if has_head else f
    centered = np.empty(batch * units, np.float32)
    grad = np.empty(batch * units, np.float32)
    products = np.empty(units * units, np.float32)
    identity = np.zeros(units * units, np.float32)
    for i in range(units):
        identity[i * units + i] = real[i]
    variance = np.empty(units, np.float32)
    inverse_sd = np.empty(units, np.float32)
    grad_weight = np.empty(len(weight), np.float32)
    grad_bias = np.empty(units, np.float32)
    entropy_sum = tc_sum = wr_sum = lse_sum = l1_sum = 0.0
    for begin in range(0, len(order), batch):
        rows = order[begin : begin + batch]
        n = len(rows)
        size = n * units
        _forward(starts, index, code, palette, rows, weight, bias, z, units)
        if not is_identity:
            activate(z, f, size, real, units)
        if has_head:
            head(f, a, size, real, units)
        _center(a, centered, n, units)
        _products(centered, products, n, units)
        entropy, tc = _terms(products, identity, real, variance, inverse_sd, n, units, lambda_var, lambda_tc, eps)
        _grad_activation(centered, products, grad, n, units)
        if lambda_lse != 0:
            lse_sum += _add_lse(grad, a, variance, size, real, units, lambda_lse) * n
        if lambda_l1 != 0:
            l1_sum += _add_l1(grad, a, size, units, count, lambda_l1) * n
        if has_head:
            head_back(grad, f, a, size, real, units)
        if not is_identity:
            activate_back(grad, z, f, size, real, units)
        _grad_weight(starts, index, code, palette, rows, grad, grad_weight, units)
        _grad_bias(grad, grad_bias, n, units)
        if lambda_wr != 0:
            inputs = len(weight) // units
            wr_sum += n * _add_redundancy(
                weight, products, identity, inverse_sd, grad_weight, inputs, units, lambda_wr, eps
            )
        step = factors[begin // batch]
        update(weight, weight_moments[0], weight_moments[1], grad_weight, step)
        update(bias, bias_moments[0], bias_moments[1], grad_bias, step)
        entropy_sum += np.float64(entropy) * n
        tc_sum += np.float64(tc) * n
    n = max(1, len(order))
    wr = wr_sum / n
    if lambda_wr == 0:
        wr = _redundancy(weight, products, len(weight) // units, units, count, np.float64(eps))
    return entropy_sum / n, tc_sum / n, wr, lse_sum / n, l1_sum / n
