"""ridge_accuracy: the test accuracy of a linear classifier in closed form, which is fast enough to be always measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from infomax_tune.parts.metrics import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_ROWS = 8192
"""Rows at a time: in double precision, all would take much memory."""


def measure(train: Tensor, train_labels: NDArray[np.int64], test: Tensor, test_labels: NDArray[np.int64]) -> float:
    """Test accuracy of ridge regression on the classes, one against all. Range: 0 to 1; NaN unless there are 2 to 1,000 classes.

    The least squares of scikit-learn's RidgeClassifier (alpha = 1, an intercept without penalty) on activations standardized
    by (std + 1e-6) on the training set, in float64: B = (X^T X + I)^-1 X^T Y. A row's class is that of its largest output.
    """
    import torch

    classes, own = np.unique(train_labels, return_inverse=True)
    if not 2 <= len(classes) <= 1000:
        return math.nan
    k, of_row = train.shape[1], torch.from_numpy(own)
    mean = train.mean(dim=0, dtype=torch.float64)
    gram, sums = mean.new_zeros(k, k), mean.new_zeros(len(classes), k)
    for rows, labels in zip(train.split(_ROWS), of_row.split(_ROWS), strict=True):
        centered = rows.double() - mean
        gram += centered.T @ centered
        sums.index_add_(0, labels, centered)  # X^T Y: Y is 1 for a row's class, and 0
    scale = (gram.diagonal() / (len(train) - 1)).sqrt() + 1e-6
    ridge = mean.new_ones(k).diag()
    slopes = torch.linalg.solve(gram / (scale[:, None] * scale) + ridge, (sums / scale).T)
    share = torch.bincount(of_row, minlength=len(classes)) / mean.new_tensor(len(train))
    predicted = ((test.double() - mean) / scale @ slopes + share).argmax(dim=1)
    return float((classes[predicted.numpy()] == test_labels).mean())


ridge_accuracy = Metric(
    measure,
    on="labels",
    label="ridge accuracy",
    better="higher",
    explanation="Test accuracy of a linear classifier of the outputs, fitted by ridge regression. Higher is better.",
    low=0.0,
    high=1.0,
    place=12,
    report_place=45,
)
