"""Functions of matrices that several metrics use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def distance_from_identity(matrix: Tensor) -> float:
    """||M - I||_F^2."""
    return (matrix - matrix.new_ones(len(matrix)).diag()).square().sum().item()
