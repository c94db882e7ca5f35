"""Intervals, against tables of the t distribution and cases solved by hand."""

import numpy as np
import pytest
import synthetic

from analysis.dynamics import convergence_speed, equal_spread, loss_spread
from analysis.intervals import bca_interval, cell_statistics, mean_median_iqm, t_interval
from analysis.reshape import cell_columns, done


def test_t_interval_uses_the_tabled_quantile():
    """t(9) at 97.5% is 2.262157."""
    low, high = t_interval(5.0, 2.0, 10)
    assert high - 5 == pytest.approx(2.262157 * 2 / 10**0.5, abs=1e-6)
    assert 5 - low == pytest.approx(high - 5)


def test_t_interval_of_one_seed_is_missing():
    """One value has no spread; the neighbor keeps its interval."""
    low, high = t_interval([1.0, 1.0], [np.nan, 0.0], [1, 2])
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (1, 1)


def test_iqm_is_the_mean_of_the_middle_half():
    """Of 1..8 with an absurd last value the middle four are 3, 4, 5, 6."""
    mean, median, iqm = mean_median_iqm(np.array([[1, 2, 3, 4, 5, 6, 7, 800.0]]))[:, 0]
    assert (mean, median, iqm) == (828 / 8, 4.5, 4.5)


def test_bootstrap_gives_the_same_numbers_for_one_seed_and_others_for_another():
    """And a row's interval does not depend on what is asked for beside it."""
    values = np.random.default_rng(0).normal(size=(3, 10))
    whole = bca_interval(values, mean_median_iqm, seed=1, n_resamples=499)
    alone = bca_interval(values[1:2], mean_median_iqm, seed=1, n_resamples=499)
    other = bca_interval(values, mean_median_iqm, seed=2, n_resamples=499)
    np.testing.assert_allclose(whole[0][:, 1], alone[0][:, 0], rtol=1e-14)
    assert (whole[0] != other[0]).any()


def test_no_draw_touches_the_global_generator():
    """The caller's random numbers are the caller's."""
    np.random.seed(0)  # noqa: NPY002  # the global generator is the point
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the global generator is the point
    bca_interval(np.arange(20.0).reshape(2, 10), mean_median_iqm, seed=1, n_resamples=99)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002  # the global generator is the point


def test_bootstrap_of_few_equal_or_nearly_equal_seeds():
    """Under five: none. All equal: no width. Nine equal and one other: percentiles instead of 0 / 0."""
    few = np.r_[np.arange(4.0), [np.nan] * 6]
    tied = np.r_[np.zeros(9), 1.0]
    low, high = bca_interval(np.stack([few, np.full(10, 3.0), tied]), mean_median_iqm, seed=0, n_resamples=499)
    assert np.isnan([low[:, 0], high[:, 0]]).all()
    assert (low[:, 1] == 3).all()
    assert (high[:, 1] == 3).all()
    assert (low[1, 2], high[1, 2]) == (0, 0)
    assert low[0, 2] <= 0.1 <= high[0, 2]


def test_bootstrap_moves_with_the_data():
    """Shift and scale pass through."""
    values = np.random.default_rng(0).normal(size=(1, 12))
    low, high = bca_interval(values, mean_median_iqm, seed=1, n_resamples=499)
    low2, high2 = bca_interval(3 * values + 7, mean_median_iqm, seed=1, n_resamples=499)
    np.testing.assert_allclose([low2, high2], [3 * low + 7, 3 * high + 7])


def test_cell_statistics_count_and_average_each_cell(results):
    """Against pandas, cell by cell."""
    rows = done(results)
    found = cell_statistics(rows, ["effective_rank"], seed=0, by=cell_columns(results), n_resamples=99)
    wanted = rows.groupby(["activation", "hidden_dim"])["effective_rank"].agg(["mean", "median", "std", "count"])
    found = found.set_index(["activation", "hidden_dim"]).loc[wanted.index]
    for mine, theirs in (("mean", "mean"), ("median", "median"), ("sd", "std"), ("n", "count")):
        np.testing.assert_allclose(found[mine], wanted[theirs])
    assert (found["iqm_low"] < found["iqm"]).all()


def test_missing_seeds_lower_n_and_a_cell_without_values_stays():
    """Nothing is dropped in silence."""
    table = synthetic.spoil(
        synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=6), failed=[0, 6, 7, 8, 9, 10, 11]
    )
    found = cell_statistics(table, ["loss"], seed=0, by=["activation"], n_resamples=99).set_index("activation")
    assert found["n"].to_dict() == {"relu": 5, "tanh": 0}
    assert np.isnan(found.loc["tanh", "mean"])


def test_convergence_speed_by_hand():
    """Quartiles of 10, 20, 30, 40 and the share of a run of 100 epochs."""
    table = synthetic.make_results({}, seeds=4).assign(convergence_epoch=[10, 20, 30, 40])
    found = convergence_speed(table).iloc[0]
    assert (found["n"], found["median"], found["q25"], found["q75"], found["share"]) == (4, 25, 17.5, 32.5, 0.25)


def test_loss_spread_has_an_interval_around_the_sd(results):
    """The sd is pandas'; its interval holds it."""
    found = loss_spread(results, seed=0, n_resamples=499)
    wanted = results.groupby(["activation", "hidden_dim"])["loss"].std()
    np.testing.assert_allclose(found.set_index(["activation", "hidden_dim"]).loc[wanted.index, "sd"], wanted)
    assert (found["sd_low"] < found["sd"]).all()
    assert (found["sd"] < found["sd_high"]).all()


def test_brown_forsythe_sees_a_spread_ten_times_as_wide():
    """And nothing where the spreads are equal."""
    table = synthetic.make_results({"activation": ["relu", "tanh"]})
    centered = table["loss"] - table.groupby("activation")["loss"].transform("mean")
    same = table.assign(loss=np.tile(centered[:10], 2))
    wide = same.assign(loss=same["loss"] * np.where(same["activation"] == "tanh", 10, 1))
    assert equal_spread(same)["p"].iloc[0] == pytest.approx(1)
    assert equal_spread(wide)["p"].iloc[0] < 0.05
