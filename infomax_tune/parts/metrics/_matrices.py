"""Functions of matrices that several metrics use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def distance_from_identity(matrix: Tensor) -> float:
    """||M - I||_F^2."""
    return (matrix - matrix.new_ones(len(matrix)).diag()).square().sum().item()


def rms_off_diagonal(matrix: Tensor) -> float:
    """Root mean square of the entries off the diagonal; NaN of a matrix (1, 1), which has none."""
    off_diagonal = ~matrix.new_ones(len(matrix)).diag().bool()
    return matrix[off_diagonal].square().mean().sqrt().item()


def entropy_rank(singular_values: Tensor) -> float:
    """exp(-sum p log p), p = s / sum s: of r equal singular values, r. NaN if all are 0."""
    p = singular_values / singular_values.sum()
    return p.xlogy(p).sum().neg().exp().item()
