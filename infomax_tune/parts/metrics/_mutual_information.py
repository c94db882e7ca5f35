"""The mutual information of pairs of units, with and without the order of the samples."""

from __future__ import annotations

import math

import numpy as np

from infomax_tune.parts.metrics import Layer

_ROWS, _PAIRS = 1000, 100


def mean_over_pairs(layer: Layer, *, permuted: bool = False) -> float:
    """Mean over 100 pairs of units of their mutual information on 1,000 samples, in nats; of all pairs or samples if fewer.

    Kraskov's estimate (2004) with k = 3, scikit-learn's, which sets negative ones to 0. Pairs and samples are drawn alike for
    every layer of the same size. Dead and constant units are left out; NaN if there is no pair, or at most 3 samples.
    permuted: the samples of one unit of each pair are permuted, so that nothing is shared.
    """
    from sklearn.feature_selection import mutual_info_regression  # slow to import

    a = layer.activations[:, layer.live].numpy()
    generator = np.random.default_rng(0)
    first, second = np.triu_indices(a.shape[1], k=1)
    if len(first) == 0 or len(a) <= 3:
        return math.nan
    sample = a[generator.choice(len(a), min(len(a), _ROWS), replace=False)]
    found = []
    for pair in generator.choice(len(first), min(len(first), _PAIRS), replace=False):
        x, y = sample[:, [first[pair]]], sample[:, second[pair]]
        if permuted:
            y = generator.permutation(y)
        found.append(mutual_info_regression(x, y, n_neighbors=3, random_state=0)[0])
    return float(np.mean(found))
