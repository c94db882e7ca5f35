"""Rows of data as the numbers in them that are not zero: what the compiled loops read. A fifth of MNIST's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

MOST_A_ROW = 512
"""With more numbers than this in a row that are not zero, dense products are as fast."""


@dataclass(frozen=True)
class NonZeros:
    """Row i holds palette[code[at]] at input index[at], for `at` from starts[i] to starts[i + 1].

    starts: (n + 1,) int64. index: uint16. code: uint8, or uint16 if there are more than 256 different numbers. palette:
    float32, the different numbers: pixels have 255 of them, and a byte is a quarter of a float.
    """

    starts: NDArray[np.int64]
    index: NDArray[np.uint16]
    code: NDArray[np.unsignedinteger[Any]]
    palette: NDArray[np.float32]


def nonzeros(rows: Float32[np.ndarray, "n d"]) -> NonZeros | None:
    """The numbers of these rows that are not zero, exactly; None for rows that the compiled loops are not made for.

    Those are rows with more than `MOST_A_ROW` such numbers on average, with more than 2^16 inputs, or with more than 2^16
    different numbers.
    """
    there = rows != 0
    counts = there.sum(axis=1)
    if rows.shape[1] > 2**16 or counts.sum() > MOST_A_ROW * len(rows):
        return None
    values = rows[there]
    palette = np.unique(values)
    if len(palette) > 2**16 or not np.isfinite(palette).all():
        return None
    code = np.searchsorted(palette, values).astype(np.uint8 if len(palette) <= 2**8 else np.uint16)
    index = np.broadcast_to(np.arange(rows.shape[1], dtype=np.uint16), rows.shape)[there]
    return NonZeros(np.concatenate([[0], np.cumsum(counts)]).astype(np.int64), index, code, palette)
