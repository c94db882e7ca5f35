"""The corrected test and its intervals, against every sign pattern written out, and what they promise."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from analysis.sign_flips import flip_family
from analysis.stats import compare


def written_out(differences):
    """p and step-down max-T p of each row, over all 2^n patterns, one comparison after another."""
    m, n = differences.shape

    def t(d):
        if not d.any():
            return 0.0
        sd = d.std(ddof=1)
        return np.inf if sd < 1e-9 * np.abs(d).max() else abs(d.mean()) / (sd / n**0.5)

    flipped = np.array([[t(d * signs) for d in differences] for signs in itertools.product((1, -1), repeat=n)])
    seen = flipped[0]
    p = [np.mean(flipped[:, i] >= seen[i] - 1e-7) for i in range(m)]
    order = sorted(range(m), key=lambda i: -seen[i])
    corrected, highest = [0.0] * m, 0.0
    for place, i in enumerate(order):
        highest = max(highest, np.mean(flipped[:, order[place:]].max(axis=1) >= seen[i] - 1e-7))
        corrected[i] = highest
    return p, corrected


@settings(max_examples=40, deadline=None, derandomize=True)
@given(hnp.arrays(float, st.tuples(st.integers(1, 5), st.integers(2, 7)), elements=st.integers(-4, 4).map(float)))
def test_p_and_its_correction_equal_enumeration(differences):
    """Whole numbers make ties and comparisons without any difference."""
    found = flip_family(differences)
    p, corrected = written_out(differences)
    assert found.p.tolist() == pytest.approx(p)
    assert found.p_max_t.tolist() == pytest.approx(corrected)


def test_a_family_of_any_size_can_be_told_apart_by_ten_seeds():
    """6 activations x 4 lambdas x 10 seeds with effects of tens of standard deviations: Holm would say 0 of 60 pairs."""
    rng = np.random.default_rng(0)
    rows = [
        {"activation": name, "hidden_dim": 16, "lambda_tc": lam, "seed": seed, "effective_rank": 30 * i + rng.normal()}
        for i, name in enumerate("abcdef")
        for lam in (0.1, 1, 10, 100)
        for seed in range(10)
    ]
    pairs = compare(pd.DataFrame(rows), "effective_rank", "activation", ["lambda_tc"])
    assert len(pairs) == 60
    assert (60 * pairs["p"] > 0.05).all()
    assert pairs["significant"].all()


def test_the_same_differences_always_have_the_same_p_and_the_order_of_comparisons_is_nothing():
    """More seeds than can be counted: the draws have a seed, and one comparison's place gives it no advantage."""
    differences = np.random.default_rng(1).normal(0.4, 1, (5, 25))
    one, again = flip_family(differences, draws=999), flip_family(differences[::-1], draws=999)
    assert not one.exact
    assert one.p_max_t.tolist() == again.p_max_t[::-1].tolist()
    assert one.low.tolist() == again.low[::-1].tolist()
    assert (one.p >= 1 / 1000).all()


def test_an_interval_has_0_inside_just_where_the_test_does_not_reject():
    """So the text and a forest plot beside it cannot disagree."""
    rng = np.random.default_rng(2)
    for _ in range(40):
        found = flip_family(rng.normal(rng.normal(0, 1, (8, 1)), 1, (8, int(rng.integers(6, 11)))))
        assert ((found.low < 0) & (found.high > 0)).tolist() == (found.p_max_t > 0.05).tolist()


def test_gaps_scale_and_too_few_seeds():
    """A comparison with fewer than two seeds has no test; scale and sign pass through; five seeds have no interval."""
    differences = np.array([[1.0, 2, 3, 4, 5, 7], [np.nan, 2, np.nan, np.nan, np.nan, np.nan]])
    found = flip_family(differences)
    assert found.p[0] == 2 / 64
    assert np.isnan([found.p[1], found.p_max_t[1], found.low[1]]).all()
    turned = flip_family(-1e-200 * differences)
    assert turned.p[0] == found.p[0]
    assert turned.high[0] == pytest.approx(-1e-200 * found.low[0])
    few = flip_family(differences[:, :5])
    assert few.p[0] == 2 / 32
    assert np.isnan(few.low[0])
    assert flip_family(np.zeros((2, 6))).p_max_t.tolist() == [1, 1]


@pytest.mark.parametrize("noise", ["normal", "lognormal"])
@pytest.mark.parametrize("effects", [(0, 0, 0, 0), (0, 0, 0, 3)])
def test_simultaneous_intervals_hold_all_differences_and_no_null_is_told_apart_too_often(noise, effects):
    """300 studies of 10 seeds, with and without an effect beside the pairs that have none; within binomial error."""
    rng = np.random.default_rng(3)
    i, j = np.triu_indices(4, 1)
    mean = np.array(effects, float)
    truth = mean[i] - mean[j]
    held = wrong = 0
    for _ in range(300):
        values = getattr(rng, noise)(size=(4, 10)) + mean[:, None]
        found = flip_family(values[i] - values[j])
        held += bool(((found.low - 1e-9 <= truth) & (truth <= found.high + 1e-9)).all())
        wrong += bool((found.p_max_t[truth == 0] <= 0.05).any())
    assert held >= stats.binom.ppf(0.001, 300, 0.93)
    assert wrong <= stats.binom.ppf(0.999, 300, 0.05)
