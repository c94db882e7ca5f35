"""What is known of a measured column of the tables, apart from how it is measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Column:
    """A measured column: how the report names, reads and averages its numbers.

    better: "higher", "lower", or None for neither. redundancy: whether it is a main metric of the study, compared with
    epoch 0 and drawn against the width. headline: whether it is also shown where there is room for few. log: a ratio,
    averaged and compared by its logarithm. integer: a count.
    grows: with the number of units K ("unit") or with their pairs K (K - 1) ("pair"); a mean over widths divides by it.
    low, high: the range of values; if the metric grows by unit, high is the limit for one unit. ranked: whether
    activations may be ranked by it; no if their output range determines it, or another metric says the same.
    chance(units, inputs, rows): its value if nothing was learned: of random directions of so many inputs, or of
    independent outputs on so many test rows. floor(units): the least value if outputs sum to 1. None if not known.
    explanation: a sentence or two for the report's readers.
    place: where it stands in the tables. Files have this order, so a new one is last, and none is ever moved.
    report_place: where it stands in the report, which goes from what was learned to how the training went.
    """

    label: str = ""
    better: Literal["higher", "lower"] | None = None
    explanation: str = ""
    redundancy: bool = False
    headline: bool = False
    log: bool = False
    integer: bool = False
    grows: Literal["unit", "pair"] | None = None
    low: float = -math.inf
    high: float = math.inf
    ranked: bool = True
    chance: Callable[[int, int, int], float] | None = None
    floor: Callable[[int], float] | None = None
    place: int = 1000
    report_place: int = 1000

    @property
    def sign(self) -> int:
        """+1 if higher is better, -1 if lower is, 0 if neither is."""
        if self.better is None:
            return 0
        return 1 if self.better == "higher" else -1
