"""Intervals, against tables of the t distribution and cases solved by hand."""

import numpy as np
import pytest
import synthetic

from analysis.intervals import cell_statistics, t_interval
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


def test_cell_statistics_count_and_average_each_cell(results):
    """Against pandas, cell by cell."""
    rows = done(results)
    found = cell_statistics(rows, ["effective_rank"], by=cell_columns(results))
    wanted = rows.groupby(["activation", "hidden_dim"])["effective_rank"].agg(["mean", "median", "std", "count"])
    found = found.set_index(["activation", "hidden_dim"]).loc[wanted.index]
    for mine, theirs in (("mean", "mean"), ("median", "median"), ("sd", "std"), ("n", "count")):
        np.testing.assert_allclose(found[mine], wanted[theirs])
    assert (found["t_low"] < found["mean"]).all()


def test_missing_seeds_lower_n_and_a_cell_without_values_stays():
    """Nothing is dropped in silence."""
    table = synthetic.spoil(
        synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=6), failed=[0, 6, 7, 8, 9, 10, 11]
    )
    found = cell_statistics(table, ["loss"], by=["activation"]).set_index("activation")
    assert found["n"].to_dict() == {"relu": 5, "tanh": 0}
    assert np.isnan(found.loc["tanh", "mean"])
