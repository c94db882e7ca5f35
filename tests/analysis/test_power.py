"""What few seeds can show, against enumeration and the noncentral t distribution."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.power import detectable_effect, power_of, seeds_needed, smallest_p


@pytest.mark.parametrize(("n", "p"), [(0, 1), (1, 1), (2, 0.5), (5, 2 / 32), (10, 2 / 1024)])
def test_smallest_p_counts_the_two_most_extreme_sign_patterns(n, p):
    """Of 2^n sign patterns two are all of one sign."""
    assert smallest_p(n) == p


@given(st.integers(1, 3000), st.sampled_from([0.05, 0.01, 0.001]))
def test_seeds_needed_is_the_first_number_that_reaches_the_level(comparisons, alpha):
    """One seed fewer is not enough, this many are."""
    n = seeds_needed(comparisons, alpha)
    assert smallest_p(n) * comparisons <= alpha
    assert smallest_p(n - 1) * comparisons > alpha


def test_ten_seeds_cannot_reach_five_percent_over_45_comparisons_and_the_sentence_says_what_would():
    """The study's own case: 15 pairs x 3 widths."""
    power = power_of(10, 45)
    assert not power.reachable
    assert power.seeds_needed == 11
    assert power.smallest_holm_p == pytest.approx(45 * 2 / 1024)
    assert "no pair of this family can reach 0.05" in power.sentence
    assert "11 seeds would be the fewest that can" in power.sentence


def test_ten_seeds_can_reach_five_percent_over_15_comparisons():
    """The pairs of six activations."""
    power = power_of(10, 15)
    assert power.reachable
    assert "this family can reach 0.05" in power.sentence


def test_one_seed_allows_no_test_and_nothing_to_compare_is_said_so():
    """The two ends of the scale."""
    assert "One seed allows no test" in power_of(1, 15).sentence
    assert power_of(10, 0).sentence == "There is nothing to compare."


@pytest.mark.parametrize(("n", "comparisons"), [(3, 1), (10, 15), (30, 45)])
def test_detectable_effect_has_the_power_it_promises(n, comparisons):
    """The noncentral t distribution gives back 80%."""
    effect = detectable_effect(n, comparisons)
    critical = stats.t.ppf(1 - 0.05 / comparisons / 2, n - 1)
    away = effect * math.sqrt(n)
    found = stats.nct.sf(critical, n - 1, away) + stats.nct.cdf(-critical, n - 1, away)
    assert found == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize(("n", "comparisons"), [(3, 2), (4, 1), (9, 45), (12, 45), (20, 45), (60, 15), (300, 1)])
def test_detectable_effect_is_right_where_scipy_has_no_number_for_the_far_tail(n, comparisons):
    """A search that took the gap for "not enough" went past it, to several times the effect. Here without that tail:
    the power is the mean, over the sample's spread, of the normal probability that the mean is far enough out."""
    effect = detectable_effect(n, comparisons)
    critical = stats.t.ppf(1 - 0.05 / comparisons / 2, n - 1)
    spread = np.sqrt(stats.chi2.ppf((np.arange(20_000) + 0.5) / 20_000, n - 1) / (n - 1))
    assert stats.norm.sf(critical * spread - effect * math.sqrt(n)).mean() == pytest.approx(0.8, abs=1e-4)


def test_detectable_effect_of_one_seed_is_not_a_number():
    """There is no spread to measure an effect by."""
    assert math.isnan(detectable_effect(1, 1))
