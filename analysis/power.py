"""What a number of seeds can and cannot show: the smallest p, the seeds a family needs, the effect that is found.

Imports wording only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis.wording import counted, format_p

ALPHA = 0.05


def smallest_p(n_seeds: int) -> float:
    """The smallest two-sided p of an exact paired test on n seeds: 2 / 2^n (1 for n < 2).

    All n differences have one sign; of the 2^n equally likely sign patterns two are as extreme. The same number holds
    for the sign-flip test and for Wilcoxon's signed-rank test.
    """
    return min(1.0, 2.0 / 2.0**n_seeds) if n_seeds > 0 else 1.0


def seeds_needed(n_comparisons: int, alpha: float = ALPHA) -> int:
    """The fewest seeds with which the first of this many Holm-corrected comparisons can reach p <= alpha."""
    return max(2, math.ceil(math.log2(2 * max(1, n_comparisons) / alpha)))


def detectable_effect(n_seeds: int, n_comparisons: int, alpha: float = ALPHA, power: float = 0.8) -> float:
    """The paired Cohen's d that a paired t test finds with this power at level alpha / n_comparisons; NaN for n < 2.

    A guide, not a promise: Holm's first step and normal differences are assumed, and the exact test of few seeds is
    coarser than the t test. Source: statsmodels TTestPower.
    """
    from scipy.optimize import brentq
    from statsmodels.stats.power import TTestPower

    if n_seeds < 2:
        return math.nan
    level = alpha / max(1, n_comparisons)

    def excess(effect: float) -> float:
        found = float(TTestPower().power(effect, n_seeds, level, alternative="two-sided"))
        if math.isnan(found):
            # SciPy's noncentral t has no number for a far tail: that of the wrong sign, of less than one in a million.
            found = float(TTestPower().power(effect, n_seeds, level / 2, alternative="larger"))
        return found - power

    # TTestPower's own solver starts at 0.5 and does not converge for the few seeds of such studies.
    enough = 1.0
    while excess(enough) < 0:
        enough *= 2
        if enough > 1e6:
            return math.inf
    return float(brentq(excess, 0.0, enough))  # type: ignore[arg-type]  # a tuple only with full_output


@dataclass(frozen=True)
class Power:
    """What a family of paired comparisons can show. `sentence` says it in words."""

    n_seeds: int
    n_comparisons: int
    alpha: float
    smallest_p: float
    smallest_holm_p: float
    reachable: bool
    seeds_needed: int
    sentence: str


def power_of(n_seeds: int, n_comparisons: int, alpha: float = ALPHA) -> Power:
    """The power statement of a family of comparisons, each over n seeds, Holm-corrected together."""
    p = smallest_p(n_seeds)
    holm = min(1.0, p * max(1, n_comparisons))
    needed = seeds_needed(n_comparisons, alpha)
    reachable = n_comparisons > 0 and holm <= alpha
    seeds, family = counted(n_seeds, "seed"), counted(n_comparisons, "comparison")
    start = f"With {seeds} the smallest exact two-sided p is {format_p(p)}"
    if n_comparisons == 0:
        sentence = "There is nothing to compare."
    elif n_seeds < 2:
        sentence = f"One seed allows no test; {needed} seeds would be the fewest for this family of {family}."
    elif reachable:
        sentence = (
            f"{start}, and {format_p(holm)} after Holm's correction over {family}: this family can reach {alpha:g}."
        )
    else:
        sentence = (
            f"{start}, and {format_p(holm)} after Holm's correction over {family}: no pair of this family can reach "
            f"{alpha:g}, however large its difference. {counted(needed, 'seed')} would be the fewest that can."
        )
    return Power(n_seeds, n_comparisons, alpha, p, holm, reachable, needed, sentence)
