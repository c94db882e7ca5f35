"""Whether seeds learn the same units: the numbers by hand, and an interval of seeds, not of pairs."""

import itertools

import numpy as np
import pytest
import synthetic

from analysis.consistency import matched_cosine, seed_consistency

ONE_CELL = {"activation": ["relu"], "hidden_dim": [4]}


def study(weights):
    """A cell of as many seeds, and what loads their weights."""
    table = synthetic.make_results(ONE_CELL, seeds=len(weights))
    given = dict(zip(table["trial_id"], weights, strict=True))
    return table, lambda trial: None if given[trial] is None else (given[trial], np.zeros(4))


def test_units_are_matched_one_to_one_so_that_they_are_most_alike():
    """By trying all permutations; the order, the sign and the length of a unit's weights do not matter."""
    rng = np.random.default_rng(0)
    one, other = (rng.normal(size=(4, 6)) for _ in range(2))
    one, other = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (one, other))
    cosines = np.abs(one @ other.T)
    best = max(np.mean([cosines[i, j] for i, j in enumerate(order)]) for order in itertools.permutations(range(4)))
    assert matched_cosine(one, other) == pytest.approx(best)
    turned = np.diag([1, -2, 3, 0.5]) @ other[[2, 0, 3, 1]]
    (row,) = seed_consistency(*study([one, turned])).to_dict("records")
    assert row["consistency"] == pytest.approx(best)


def test_seeds_that_learn_the_same_are_at_1_and_random_ones_at_random():
    rng = np.random.default_rng(1)
    same = rng.normal(size=(4, 50))
    (row,) = seed_consistency(*study([same[rng.permutation(4)] for _ in range(5)])).to_dict("records")
    assert [row[name] for name in ("seeds", "pairs", "consistency", "ci_low", "ci_high")] == pytest.approx(
        [5, 10, 1, 1, 1]
    )
    (row,) = seed_consistency(*study([rng.uniform(-1, 1, (4, 50)) for _ in range(10)])).to_dict("records")
    assert row["random"] == pytest.approx(row["consistency"], abs=0.05)


def test_the_interval_knows_that_the_pairs_of_a_seed_are_not_independent():
    """One seed of eight is unlike all others: of 28 pairs, 7 are low together. An interval over pairs would be far narrower."""
    rng = np.random.default_rng(2)
    same = rng.normal(size=(4, 50))
    table, load = study([same] * 7 + [rng.normal(size=(4, 50))])
    (row,) = seed_consistency(table, load).to_dict("records")
    pairs = np.r_[np.ones(21), np.full(7, (28 * row["consistency"] - 21) / 7)]
    assert row["ci_high"] - row["ci_low"] > 1.3 * 2 * 1.96 * pairs.std(ddof=1) / np.sqrt(28)
    assert row["ci_low"] < row["consistency"] < row["ci_high"]
    again = seed_consistency(table, load)
    assert again.equals(seed_consistency(table, load))


def test_cells_without_two_networks_have_no_row():
    """Weights that were not saved, one seed, trials that did not finish."""
    weight = np.eye(4)
    assert seed_consistency(*study([weight, None])).empty
    assert seed_consistency(*study([weight])).empty
    table, load = study([weight, weight])
    assert seed_consistency(synthetic.spoil(table, failed=[0]), load).empty
    (row,) = seed_consistency(*study([weight, weight])).to_dict("records")
    assert np.isnan(row["ci_low"])  # one pair has no spread
