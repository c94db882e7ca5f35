"""probe_accuracy: the test accuracy of a linear classifier on frozen activations."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from infomax_tune.parts.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


def measure(train: Tensor, train_labels: NDArray[np.int64], test: Tensor, test_labels: NDArray[np.int64]) -> float:
    """Test accuracy of multinomial logistic regression on standardized activations. Range: 0 to 1.

    scikit-learn's LogisticRegression (L2, C = 1, lbfgs, 200 iterations at most), features standardized on the training set.
    """
    from sklearn.exceptions import ConvergenceWarning  # slow to import, and only a probe needs it
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a nearly converged probe is good enough
        probe.fit(train.double().numpy(), train_labels)
    return float(probe.score(test.double().numpy(), test_labels))


probe_accuracy = Metric(
    measure,
    on="labels",
    setting="logging.probe",
    label="probe accuracy",
    better="higher",
    explanation="Test accuracy of a linear classifier on the frozen outputs. Higher is better.",
    low=0.0,
    high=1.0,
    place=11,
    report_place=80,
)
