"""The study's main test: sign-flips of paired differences, corrected over a family by a studentized step-down max-T.

Arrays in, arrays out. Imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_EXACT_SEEDS = 14
"""Up to this many seeds, every sign pattern is counted (2^14 = 16,384); above that, patterns are drawn."""

DRAWS = 9_999
"""Random sign patterns if they cannot all be counted. The observed pattern counts as one more."""

SEED = 20_240_229
"""Seed of those draws: the same table always gives the same p."""

MIN_SEEDS = 6
"""The fewest seeds that can reach 5%: 2 / 2^6 = 0.031."""

_CHUNK = 4_000_000
"""Numbers in memory at once."""


@dataclass(frozen=True)
class Flipped:
    """A family of comparisons, one entry each.

    p: two-sided, for "the differences are symmetric about 0". p_max_t: corrected for the whole family. low, high:
    simultaneous interval of the mean difference. exact: whether every sign pattern was counted.
    """

    p: np.ndarray
    p_max_t: np.ndarray
    low: np.ndarray
    high: np.ndarray
    exact: bool


def sign_patterns(n: int, *, draws: int = DRAWS, seed: int = SEED) -> np.ndarray:
    """Sign patterns (f, n) of +1 and -1, the observed one (all +1) first.

    Up to MAX_EXACT_SEEDS, one of each pair of mirror images, which are equally extreme: 2^(n - 1) patterns. Above that,
    random ones.
    """
    if n <= MAX_EXACT_SEEDS:
        codes = np.arange(2 ** max(0, n - 1))
        return 1.0 - 2.0 * ((codes[:, None] >> np.arange(n)) & 1)
    drawn = np.random.default_rng(seed).choice([-1.0, 1.0], size=(draws, n))
    return np.concatenate([np.ones((1, n)), drawn])


def flip_family(differences: np.ndarray, *, confidence: float = 0.95, draws: int = DRAWS) -> Flipped:
    """The tests and intervals of a family of paired comparisons.

    differences: (m, n), one row per comparison and one column per seed; NaN if a comparison lacks the seed. A seed is one
    block: its sign is flipped in all comparisons at once, which keeps their dependence.

    Test: the statistic is |t|, the mean difference divided by its standard error. p is the share of sign patterns whose |t|
    is at least the observed one. p_max_t: the comparisons in the order of their |t|, each against the largest |t| among
    itself and those after it (step-down). The smallest value of both is 2 / 2^n, whatever the number of comparisons.
    Comparisons of fewer than MIN_SEEDS seeds cannot have a p below 5%, so they form a separate family.
    Interval: mean +- c times the standard error. c is the quantile, over the patterns, of the family's largest |t| of the
    differences about their means, but at least the quantile that a single-step test would use. If the step-down test
    rejects 0, the interval's end beyond 0 is moved to 0. An interval therefore has 0 inside it if and only if the test does
    not reject. No interval below MIN_SEEDS. NaN for fewer than 2 seeds; p is 1 if all differences are 0.
    Source: Westfall & Young (1993), algorithm 4.1; Romano & Wolf (2005); Strassburger & Bretz (2008) on such intervals.
    """
    differences = np.atleast_2d(np.asarray(differences, dtype=float))
    enough = np.isfinite(differences).sum(axis=1) >= MIN_SEEDS
    if enough.all() or not enough.any():
        return _flip(differences, confidence, draws)
    # Comparisons that can never be significant must not cost the others: |t| of three seeds is unbounded.
    parts = {flag: _flip(differences[enough == flag], confidence, draws) for flag in (True, False)}

    def joined(name: str) -> np.ndarray:
        values = np.empty(len(differences))
        for flag, part in parts.items():
            values[enough == flag] = getattr(part, name)
        return values

    return Flipped(joined("p"), joined("p_max_t"), joined("low"), joined("high"), parts[True].exact)


def _flip(differences: np.ndarray, confidence: float, draws: int) -> Flipped:
    """Like `flip_family`, with all comparisons in one family."""
    there = np.isfinite(differences)
    n = there.sum(axis=1)
    tested = np.flatnonzero(n >= 2)
    p, p_max_t, low, high = (np.full(len(differences), np.nan) for _ in range(4))
    used = there[tested].any(axis=0)
    exact = bool(used.sum() <= MAX_EXACT_SEEDS)
    if not len(tested):
        return Flipped(p, p_max_t, low, high, exact)
    d, there, n = differences[tested][:, used], there[tested][:, used], n[tested]
    d = np.where(there, d, 0.0)
    largest = np.abs(d).max(axis=1, keepdims=True)
    scaled = d / np.where(largest > 0, largest, 1.0)  # squares of the smallest differences must not vanish
    patterns = sign_patterns(int(used.sum()), draws=draws)
    observed = t_statistics(scaled.sum(axis=1)[None], scaled, n)[0]
    order = np.argsort(-observed, kind="stable")
    centered = np.where(there, scaled - scaled.sum(axis=1, keepdims=True) / n[:, None], 0.0)
    alone, beyond = np.zeros(len(n)), np.zeros(len(n))
    largest_about_0, largest_about_mean = [], []
    reached = _reached(observed)
    step = max(1, _CHUNK // len(n))
    for first in range(0, len(patterns), step):
        some = patterns[first : first + step]
        t = t_statistics(some @ scaled.T, scaled, n)
        alone += (t >= reached).sum(axis=0)
        # Column i is then the largest |t| of the i-th comparison and all less extreme ones.
        after = np.maximum.accumulate(t[:, order[::-1]], axis=1)[:, ::-1]
        beyond += (after >= reached[order]).sum(axis=0)
        largest_about_0.append(after[:, 0])
        largest_about_mean.append(t_statistics(some @ centered.T, centered, n).max(axis=1))
    p[tested] = alone / len(patterns)
    p_max_t[tested[order]] = np.maximum.accumulate(beyond / len(patterns))
    critical = max(_quantile(largest_about_0, confidence), _quantile(largest_about_mean, confidence))
    critical *= 1 + 1e-9  # an interval that ends at 0 has it inside, whatever the last bits are
    mean = d.sum(axis=1) / n
    se = np.sqrt(np.where(there, (d - mean[:, None]) ** 2, 0.0).sum(axis=1) / (n - 1) / n)
    # Without spread there is no uncertainty, and an infinite quantile times 0 is not a number.
    half = np.where(se > 0, critical * np.where(se > 0, se, 1.0), 0.0)
    enough = (n >= MIN_SEEDS) & np.isfinite(half)
    bottom, top = mean - half, mean + half
    rejected = p_max_t[tested] <= 1 - confidence + 1e-12
    bottom = np.where(rejected & (mean > 0), np.maximum(bottom, 0.0), bottom)
    top = np.where(rejected & (mean < 0), np.minimum(top, 0.0), top)
    low[tested], high[tested] = np.where(enough, bottom, np.nan), np.where(enough, top, np.nan)
    return Flipped(p, p_max_t, low, high, exact)


def t_statistics(sums: np.ndarray, differences: np.ndarray, n: np.ndarray) -> np.ndarray:
    """|t| of each sum (f, m) of sign-flipped differences; flips do not change their squares. 0 if all are 0."""
    squares = (differences**2).sum(axis=1)
    share = sums**2 / np.where(squares > 0, n * squares, 1.0)  # share of the squares that the mean explains: 0 to 1
    with np.errstate(divide="ignore"):
        return np.sqrt((n - 1) * share / np.where(1 - share > 1e-12, 1 - share, 0.0))


def _reached(observed: np.ndarray) -> np.ndarray:
    """The threshold for "at least the observed": sums in another order differ in their last bits."""
    return np.where(np.isfinite(observed), observed * (1 - 1e-9) - 1e-9, observed)


def _quantile(parts: list[np.ndarray], share: float) -> float:
    """The value that no more than 1 - share of the patterns exceed."""
    values = np.sort(np.concatenate(parts))
    return float(values[min(len(values) - 1, int(np.ceil(share * len(values) - 1e-9)) - 1)])
