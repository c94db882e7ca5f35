"""What a number of seeds can and cannot show, before anything is trained: the smallest p and the detectable effect.

Everything here is for the study's own test, the step-down max-T over sign-flips. Imports the test and wording.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from analysis.sign_flips import DRAWS, MAX_EXACT_SEEDS, sign_patterns, t_statistics
from analysis.wording import counted, format_p

ALPHA = 0.05
STUDIES = 500
"""Simulated studies per power estimate; its standard error is then at most 2 percent."""

MAX_BLOCK = 100
"""Comparisons simulated at once; the largest |t| of a larger family is combined from several such blocks."""

MAX_PATTERNS = 999
"""Sign patterns in a simulated test. The report's own tests draw more, which adds almost no power."""


def smallest_p(n_seeds: int) -> float:
    """The smallest two-sided p of a sign-flip test on n seeds: 2 / 2^n (1 for n < 2).

    If all n differences have one sign, two of the 2^n equally likely sign patterns are as extreme. If patterns are drawn,
    p is at least one over their number. The correction over a family (max-T) has the same floor.
    """
    if n_seeds < 1:
        return 1.0
    return max(min(1.0, 2.0 / 2.0**n_seeds), 0.0 if n_seeds <= MAX_EXACT_SEEDS else 1 / (DRAWS + 1))


def seeds_needed(alpha: float = ALPHA) -> int:
    """The fewest seeds with which any comparison can reach p <= alpha, whatever the size of its family: 6 for 5%."""
    return max(2, math.ceil(math.log2(2 / alpha)))


def power(effect: float, n_seeds: int, n_comparisons: int, alpha: float = ALPHA) -> float:
    """The share of studies, 0 to 1, in which the corrected test finds one difference of this paired Cohen's d.

    By simulation: n seeds, normal differences, the other n_comparisons - 1 independent and without any effect. This is the
    hard case: dependent comparisons cost less. The same arguments give the same number.
    """
    if n_seeds < seeds_needed(alpha) or n_comparisons < 1:
        return 0.0
    patterns, own, others = _null_studies(n_seeds, n_comparisons)
    return _found(effect, patterns, own, others, alpha)


@lru_cache(maxsize=256)
def detectable_effect(n_seeds: int, n_comparisons: int, alpha: float = ALPHA, share: float = 0.8) -> float:
    """The paired Cohen's d that the corrected test detects in this share of studies; see `power`. Infinite below 6 seeds."""
    if n_seeds < seeds_needed(alpha) or n_comparisons < 1:
        return math.inf
    patterns, own, others = _null_studies(n_seeds, n_comparisons)
    low, high = 0.0, 1.0
    while _found(high, patterns, own, others, alpha) < share:
        low, high = high, 2 * high
        if high > 1e3:
            return math.inf
    while high - low > 0.005 * high:
        middle = (low + high) / 2
        if _found(middle, patterns, own, others, alpha) < share:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=4)
def _null_studies(n_seeds: int, n_comparisons: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sign patterns (f, n), the noise of one comparison (studies, n), and the largest |t| of the others (studies, f)."""
    rng = np.random.default_rng([n_seeds, n_comparisons])
    patterns = sign_patterns(n_seeds, draws=MAX_PATTERNS)
    if len(patterns) > MAX_PATTERNS + 1:
        rest = rng.choice(len(patterns) - 1, MAX_PATTERNS, replace=False) + 1
        patterns = patterns[np.r_[0, rest]]
    own = rng.normal(size=(STUDIES, n_seeds))
    others = np.zeros((STUDIES, len(patterns)))
    if n_comparisons > 1:
        blocks = math.ceil((n_comparisons - 1) / MAX_BLOCK)
        size = math.ceil((n_comparisons - 1) / blocks)
        for study in range(STUDIES):
            noise = rng.normal(size=(size, n_seeds))
            others[study] = t_statistics(patterns @ noise.T, noise, np.full(size, n_seeds)).max(axis=1)
        if blocks > 1:
            one = others
            others = np.stack([one[rng.choice(STUDIES, blocks)].max(axis=0) for _ in range(STUDIES)])
    return patterns, own, others


def _found(effect: float, patterns: np.ndarray, own: np.ndarray, others: np.ndarray, alpha: float) -> float:
    """The share of studies whose own comparison, shifted by `effect`, has a corrected p <= alpha."""
    differences = own + effect
    seeds = np.full(len(own), own.shape[1])
    mine = t_statistics(patterns @ differences.T, differences, seeds).T  # (studies, f)
    p = (np.maximum(mine, others) >= mine[:, :1] * (1 - 1e-9)).mean(axis=1)
    return float((p <= alpha).mean())


@dataclass(frozen=True)
class Power:
    """What a family of paired comparisons can show. `sentence` says it in words.

    reachable: whether any p can be as small as alpha. effect: the paired Cohen's d detected in 4 of 5 studies.
    """

    n_seeds: int
    n_comparisons: int
    alpha: float
    smallest_p: float
    reachable: bool
    seeds_needed: int
    effect: float
    sentence: str


def power_of(n_seeds: int, n_comparisons: int, alpha: float = ALPHA) -> Power:
    """The power statement for a family of comparisons, each over n seeds, corrected together. Needs no data."""
    p, needed = smallest_p(n_seeds), seeds_needed(alpha)
    reachable = n_comparisons > 0 and p <= alpha
    effect = detectable_effect(n_seeds, n_comparisons, alpha) if reachable else math.inf
    seeds, family = counted(n_seeds, "seed"), counted(n_comparisons, "comparison")
    if n_comparisons == 0:
        sentence = "There is nothing to compare."
    elif n_seeds < 2:
        sentence = f"One seed allows no test; reaching p = {alpha:g} takes at least {needed} seeds."
    elif reachable:
        sentence = (
            f"With {seeds} and {family}, the corrected test detects a difference of {effect:.2g} standard deviations (paired "
            f"Cohen's d) in 4 of 5 studies. The smallest possible p is {format_p(p)}."
        )
    else:
        sentence = (
            f"With {seeds}, p cannot be below {format_p(p)}, so no difference can reach {alpha:g}, however large. "
            f"At least {counted(needed, 'seed')} are needed."
        )
    return Power(n_seeds, n_comparisons, alpha, p, reachable, needed, effect, sentence)
