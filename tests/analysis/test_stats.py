"""Paired comparisons, against enumeration and cases solved by hand."""

import itertools

import numpy as np
import pandas as pd
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analysis.reshape import done, mean_over_width
from analysis.stats import compare, paired_p


def enumerate_signs(d):
    """Two-sided p of the mean by every sign pattern, in plain Python."""
    observed = abs(sum(d))
    patterns = list(itertools.product((1, -1), repeat=len(d)))
    extreme = sum(abs(sum(s * x for s, x in zip(signs, d, strict=True))) >= observed - 1e-9 for signs in patterns)
    return extreme / len(patterns)


def table_of(values):
    """A results table of one width from activation -> {seed: effective rank}."""
    rows = [
        {"activation": name, "hidden_dim": 16, "seed": seed, "effective_rank": value, "weight_redundancy": value}
        for name, found in values.items()
        for seed, value in found.items()
    ]
    return pd.DataFrame(rows)


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(float, st.integers(2, 7), elements=st.integers(-5, 5).map(float)))
def test_sign_flip_p_equals_enumeration(d):
    """Small integers make ties, which is where counting goes wrong."""
    p, method = paired_p([d])
    assert method == ["sign-flip, exact"]
    assert p[0] == pytest.approx(enumerate_signs(d.tolist()))


def test_ten_differences_of_one_sign_give_the_smallest_p_there_is():
    """2 / 2^10."""
    p, _ = paired_p([np.arange(1.0, 11.0), -np.arange(1.0, 11.0)])
    assert p.tolist() == [2 / 1024, 2 / 1024]


def test_one_test_at_every_number_of_seeds():
    """Fourteen seeds are counted, 30 are drawn: the same test, whose p then differs from the exact one by its draws."""
    p, method = paired_p([np.arange(1.0, 15.0)])
    assert method == ["sign-flip, exact"]
    assert p[0] == 2 / 2**14
    d = np.random.default_rng(1).normal(0.35, 1, 30)
    drawn, method = paired_p([d])
    assert method == ["sign-flip, 9,999 draws"]
    signs = np.random.default_rng(2).choice([-1, 1], (200_000, 30))
    wanted = np.mean(np.abs(signs @ d) >= abs(d.sum()))
    assert drawn[0] == pytest.approx(wanted, abs=4 * (wanted / 9_999) ** 0.5)


def test_no_difference_is_p_one_and_one_seed_is_no_test():
    """Nothing to see, and nothing to see it with."""
    p, method = paired_p([np.zeros(5), np.array([3.0]), np.array([])])
    assert p[0] == 1
    assert np.isnan(p[1:]).all()
    assert method == ["sign-flip, exact", "none", "none"]


def test_a_pair_solved_by_hand():
    """Differences 1, 2, 3: mean 2, sd 1, t(2) = 4.302653, and three of three seeds better."""
    rows = table_of({"relu": {1: 2.0, 2: 4.0, 3: 6.0}, "tanh": {1: 1.0, 2: 2.0, 3: 3.0}})
    pair = compare(rows, "effective_rank").iloc[0]
    assert (pair["a"], pair["b"], pair["n"], pair["left_out"]) == ("relu", "tanh", 3, 0)
    assert (pair["mean_a"], pair["mean_b"], pair["difference"], pair["median_difference"]) == (4, 2, 2, 2)
    assert pair["cohens_d"] == pytest.approx(2)
    assert pair["ci_low"] == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-6)
    assert pair["ci_high"] == pytest.approx(2 + 4.302653 / 3**0.5, abs=1e-6)
    assert pair["superiority"] == 1
    assert pair["p"] == 2 / 8


def test_superiority_follows_the_better_direction_and_halves_ties():
    """Lower redundancy is better: relu is better once, worse once, tied twice."""
    rows = table_of({"relu": {1: 1.0, 2: 3.0, 3: 2.0, 4: 2.0}, "tanh": {1: 2.0, 2: 2.0, 3: 2.0, 4: 2.0}})
    assert compare(rows, "weight_redundancy")["superiority"].tolist() == [0.5]
    one = table_of({"relu": {1: 1.0, 2: 1.5}, "tanh": {1: 2.0, 2: 2.0}})
    assert compare(one, "weight_redundancy")["superiority"].tolist() == [1.0]
    assert compare(one, "effective_rank")["superiority"].tolist() == [0.0]


def test_seeds_with_one_value_are_counted_as_left_out():
    """Seed 3 has no tanh, seed 4 no relu."""
    rows = table_of({"relu": {1: 1.0, 2: 2.0, 3: 9.0}, "tanh": {1: 1.5, 2: 2.5, 4: 9.0}})
    pair = compare(rows, "effective_rank").iloc[0]
    assert (pair["n"], pair["left_out"]) == (2, 2)


def test_a_difference_without_spread_has_no_effect_size():
    """Everything divided by nothing is not a large effect."""
    rows = table_of({"relu": {1: 2.0, 2: 3.0}, "tanh": {1: 1.0, 2: 2.0}})
    assert np.isnan(compare(rows, "effective_rank")["cohens_d"].iloc[0])


def test_a_family_is_of_all_widths_by_default_and_of_one_width_if_asked(results):
    """45 comparisons in one family, or 15 in each of three."""
    rows = done(results)
    whole = compare(rows, "effective_rank")
    assert set(whole["family_size"]) == {45}
    assert set(whole["smallest_p"]) == {2 / 1024}
    each = compare(rows, "effective_rank", family="stratum")
    assert set(each["family_size"]) == {15}
    assert each["significant"].any()


def test_untestable_pairs_do_not_make_the_family_larger():
    """tanh has one seed: two of three pairs cannot be tested."""
    rows = table_of({"identity": dict.fromkeys(range(5), 1.0), "relu": dict.fromkeys(range(5), 2.0), "tanh": {0: 3.0}})
    table = compare(rows, "effective_rank")
    assert len(table) == 3
    assert set(table["family_size"]) == {1}
    assert table["p"].isna().sum() == 2
    assert not table.loc[table["p"].isna(), "significant"].any()


def test_comparisons_do_not_depend_on_the_order_of_rows(results):
    """The pairing is by seed, not by place."""
    rows = done(results)
    shuffled = rows.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(compare(rows, "effective_rank"), compare(shuffled, "effective_rank"))


def test_what_a_seed_adds_to_every_activation_cancels(results):
    """Seeds are blocks: a shift of a whole block changes no difference and no p."""
    rows = mean_over_width(results)
    moved = rows.assign(effective_rank=rows["effective_rank"] + 100 * rows["seed"])
    before, after = compare(rows, "effective_rank"), compare(moved, "effective_rank")
    assert after["difference"].tolist() == pytest.approx(before["difference"].tolist(), abs=1e-9)
    assert after["p"].tolist() == before["p"].tolist()


def test_only_pairs_against_one_level_when_asked(results):
    """A baseline comparison is a smaller family."""
    table = compare(mean_over_width(results), "effective_rank", against="tanh")
    assert set(table["a"]) == {"tanh"}
    assert len(table) == 5
    assert set(table["family_size"]) == {5}


def test_pairs_stay_within_a_stratum_of_everything_else():
    """Two lambdas: activations are compared at each, never across."""
    table = synthetic.make_results({"activation": ["relu", "tanh"], "lambda_tc": [0.1, 1.0]}, seeds=4)
    pairs = compare(done(table), "effective_rank")
    assert pairs["lambda_tc"].tolist() == [0.1, 1.0]
    assert pairs["n"].tolist() == [4, 4]
