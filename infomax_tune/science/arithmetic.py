"""The number of our arithmetic, which identifies trials that another version computed differently."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ARITHMETIC = 3
"""Raise it with every change that can alter a bit of a trial: the order of operations, a formula, an initial weight,
the order of the data. It is part of each record, and a sweep does not mix two. Records from before it existed count as
1.

2: compiled loops, first weights drawn in two operations, and a Gaussian total correlation that leaves one unit out where
outputs sum to 1.
3: the loops' gradient of the weights is summed row by row.
4, of some trials: see `arithmetic_of`.
"""

_LARGEST_BATCH = 1024


def arithmetic_of(config: Mapping[str, Mapping[str, Any]]) -> int:
    """The arithmetic of a trial, as `TrialConfig.nested` has its config: that of the last change that altered its numbers.

    4: since then, trials with lambda_wr and those with more than 1,024 rows a batch run in the loops too.
    """
    batch, weight = config.get("data", {}).get("batch_size"), config.get("loss", {}).get("lambda_wr")
    is_large = isinstance(batch, int) and (batch == -1 or batch > _LARGEST_BATCH)
    is_weighted = isinstance(weight, (int, float)) and weight > 0
    return 4 if is_large or is_weighted else ARITHMETIC
