"""Functions of whole rows, in which each unit's output depends on the others: softmax, and its gradient.

An activation of rows runs in compiled loops only if it is one of these (`science/loop_functions.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def softmax(z: Tensor) -> Tensor:
    """e^z_j / sum_i e^z_i over the units, the last dimension."""
    return z.softmax(dim=-1)


def softmax_backward(grad: Tensor, z: Tensor, a: Tensor) -> Tensor:
    """dL/dz from dL/da: a_j (dL/da_j - sum_i dL/da_i a_i)."""
    return a * (grad - (grad * a).sum(dim=-1, keepdim=True))
