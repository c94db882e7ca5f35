"""What seeds can show, against enumeration and simulated studies."""

import math

import numpy as np
import pytest

from analysis.power import detectable_effect, power, power_of, seeds_needed, smallest_p
from analysis.sign_flips import flip_family


@pytest.mark.parametrize(("n", "p"), [(0, 1), (1, 1), (2, 0.5), (5, 2 / 32), (10, 2 / 1024), (30, 1 / 10_000)])
def test_smallest_p_counts_the_two_most_extreme_sign_patterns(n, p):
    """Two of 2^n sign patterns are all of one sign; if patterns are drawn, the observed one alone gives the smallest p."""
    assert smallest_p(n) == p


def test_six_seeds_are_the_fewest_that_can_reach_five_percent_in_a_family_of_any_size():
    """Five cannot: 2 / 32."""
    assert seeds_needed() == 6
    assert smallest_p(6) <= 0.05 < smallest_p(5)
    for comparisons in (1, 45, 585):
        assert power_of(6, comparisons).reachable
        assert not power_of(5, comparisons).reachable
    assert math.isinf(detectable_effect(5, 1))
    assert power(100, 5, 1) == 0
    assert power(100, 6, 585) == 1
    assert "At least 6 seeds are needed" in power_of(5, 45).sentence


@pytest.mark.parametrize(("seeds", "comparisons"), [(10, 15), (10, 1), (18, 6)])
def test_the_effect_that_is_promised_is_found_in_four_studies_of_five(seeds, comparisons):
    """In 300 separate studies, by the test that the report uses. The promise once came from a t test but was applied to
    Holm's correction of sign-flips, which found the effect in 55% of studies (10 seeds, 15 pairs)."""
    effect = detectable_effect(seeds, comparisons)
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(300):
        differences = rng.normal(size=(comparisons, seeds))
        differences[0] += effect
        found += bool(flip_family(differences, draws=999).p_max_t[0] <= 0.05)
    # Three standard errors of these studies, plus the two percent error of the promise itself.
    assert found / 300 == pytest.approx(0.8, abs=3 * (0.8 * 0.2 / 300 + 0.02**2) ** 0.5)


def test_a_plan_is_told_its_power_before_anything_is_trained():
    """From two numbers alone, the same each time, more with more seeds and less with more comparisons."""
    plan = power_of(10, 15)
    assert plan.reachable
    assert f"{plan.effect:.2g} standard deviations" in plan.sentence
    assert plan == power_of(10, 15)
    assert detectable_effect(12, 15) < plan.effect < detectable_effect(10, 200)
    assert power(plan.effect, 10, 15) == pytest.approx(0.8, abs=0.01)
    assert power(0, 10, 15) < 0.05


def test_one_seed_allows_no_test_and_nothing_to_compare_is_said_so():
    """The two ends of the scale."""
    assert "One seed allows no test" in power_of(1, 15).sentence
    assert power_of(10, 0).sentence == "There is nothing to compare."
