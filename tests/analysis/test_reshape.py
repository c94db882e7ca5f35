"""Summaries and splits of a results table, against hand-solved cases and pandas' own groupby."""

import numpy as np
import pandas as pd
import pytest
import synthetic

from analysis import reshape, wording
from analysis.metrics import METRICS
from analysis.schema import activation_order
from infomax_tune.parts import catalogue
from infomax_tune.study import columns


def test_activations_come_in_the_order_of_the_study_and_unknown_ones_last():
    """Not in the alphabet's order."""
    assert activation_order(["tanh", "gelu", "relu", "identity"]) == ["identity", "relu", "tanh", "gelu"]


def test_every_metric_column_of_the_contract_is_known():
    """A column without a label or direction would be missing from the report."""
    optional = {name for name, term in catalogue.ours("terms").items() if not term.always}
    assert set(METRICS) == set(columns.FINAL) | optional


def test_summary_of_a_whole_study_is_pandas_groupby(results):
    """Mean, sd and n by activation, and by activation x width."""
    table = reshape.summary(results)
    for group, keys in (("activation", ["activation"]), ("activation x width", ["activation", "hidden_dim"])):
        mine = table[(table["group"] == group) & (table["metric"] == "output_correlation")].set_index(keys)
        wanted = results.groupby(keys)["output_correlation"].agg(["mean", "std", "count"])
        mine = mine.loc[wanted.index]
        np.testing.assert_allclose(mine["mean"], wanted["mean"])
        np.testing.assert_allclose(mine["sd"], wanted["std"])
        assert mine["n"].tolist() == wanted["count"].tolist()
        assert set(mine["n_seeds"]) == {10}
        assert (mine["ci_low"] < mine["mean"]).all()
        assert (mine["mean"] < mine["ci_high"]).all()


def test_summary_interval_over_widths_takes_seeds_as_the_sample():
    """Two seeds whose means over the widths are 15 and 17: mean 16, sd sqrt 2, t(1) = 12.7062."""
    table = synthetic.make_results({"activation": ["relu"], "hidden_dim": [16, 32]}, seeds=2)
    table["effective_rank"] = [10.0, 12.0, 20.0, 22.0]
    row = reshape.summary(table).query("group == 'activation' and metric == 'effective_rank'").iloc[0]
    assert (row["mean"], row["n"], row["n_seeds"]) == (16, 4, 2)
    assert row["ci_high"] - 16 == pytest.approx(12.7062, abs=1e-4)


def test_a_seed_without_one_width_leaves_the_pooled_row_and_is_counted():
    """A lost wide trial would pull the mean down; its seed's other width is left out instead."""
    table = synthetic.make_results({"activation": ["relu"], "hidden_dim": [16, 32]}, seeds=3)
    table["effective_rank"] = [10.0, 10.0, 10.0, 20.0, 20.0, 20.0]
    table = synthetic.spoil(table, diverged=[5])
    summary = reshape.summary(table).query("metric == 'effective_rank'")
    pooled = summary[summary["group"] == "activation"].iloc[0]
    assert (pooled["planned"], pooled["n"], pooled["left_out"], pooled["mean"]) == (6, 4, 1, 15)
    wide = summary[summary["hidden_dim"] == 32].iloc[0]
    assert (wide["planned"], wide["n"], wide["left_out"]) == (3, 2, 0)


def test_a_group_of_which_nothing_finished_stays_in_the_summary():
    """With n = 0, not without a row."""
    table = synthetic.spoil(synthetic.make_results({"activation": ["relu", "tanh"]}, seeds=2), failed=[2, 3])
    lost = reshape.summary(table).query("activation == 'tanh' and metric == 'loss'")
    assert lost["n"].tolist() == [0, 0]
    assert lost["planned"].tolist() == [2, 2]
    assert lost["mean"].isna().all()


def test_one_seed_has_a_mean_and_no_interval():
    """Intervals are marked as not available."""
    row = reshape.summary(synthetic.make_results({}, seeds=1)).query("metric == 'loss'").iloc[0]
    assert np.isfinite(row["mean"])
    assert np.isnan([row["sd"], row["ci_low"], row["ci_high"]]).all()


def test_settings_that_vary_split_the_summary():
    """A mean over lambdas would mean nothing."""
    table = reshape.summary(synthetic.make_results({"activation": ["relu"], "lambda_tc": [0.1, 1.0]}, seeds=3))
    assert table.query("metric == 'loss'")["lambda_tc"].tolist() == [0.1, 1.0, 0.1, 1.0]


def test_counts_add_up_to_what_was_planned(results):
    """Each status has its column, whether it occurs or not."""
    table = reshape.counts(synthetic.spoil(results, failed=[0], missing=[1, 2], diverged=[179]))
    assert table["planned"].sum() == 180
    assert table[["done", "diverged", "failed", "missing"]].sum().tolist() == [176, 1, 1, 2]
    assert table["activation"].drop_duplicates().tolist() == list(synthetic.ACTIVATIONS)


def test_infinite_values_are_missing_to_the_statistics_and_told():
    """A mean with an infinity in it says nothing."""
    table = synthetic.make_results({}, seeds=3)
    table.loc[0, "variance_ratio"] = np.inf
    table.loc[1, "variance_ratio"] = np.nan
    assert reshape.done(table)["variance_ratio"].notna().sum() == 1
    told = "\n".join(reshape.gaps(table))
    assert "variance_ratio is infinite in 1 of 3 finished trials" in told
    assert "variance_ratio has no value in 1 of 3 finished trials" in told
    assert "Not recorded in this study: max_avg_responsibility, probe_accuracy." in told


def test_trained_and_untrained_are_the_same_trials(results):
    """Epoch 0 of the history, paired by trial; trials of no epochs are their own epoch 0 and left out."""
    random = synthetic.make_results({"activation": ["relu"]}, seeds=2, objective="random", epochs=0)
    both = pd.concat([results, random.assign(trial_id=["r1", "r2"])], ignore_index=True)
    history = synthetic.make_history(both)
    stages = reshape.with_untrained(both, history)
    assert stages["stage"].value_counts().to_dict() == {"trained": 180, "untrained": 180}
    start = history.query("epoch == 0").set_index("trial_id")["effective_rank"]
    mine = stages[stages["stage"] == "untrained"].set_index("trial_id")["effective_rank"]
    pd.testing.assert_series_equal(mine, start.loc[mine.index])
    assert reshape.with_untrained(results, None).empty


def test_baselines_are_named_by_objective_and_by_lambda_only_where_needed():
    """One reconstruction, two InfoMax: only InfoMax needs its lambda."""
    table = pd.DataFrame({"objective": ["infomax", "infomax", "reconstruction"], "lambda_tc": [0.1, 1.0, 1.0]})
    named = reshape.with_setting(table, ["objective", "lambda_tc"])
    assert named["setting"].tolist() == ["infomax (lambda_tc=0.1)", "infomax (lambda_tc=1)", "reconstruction"]


def test_settings_that_look_alike_are_not_one():
    table = pd.DataFrame({"lambda_tc": [0.1, 0.1000001, 0.3, 0.1 + 0.2, 10**-1.5, np.nan]})
    named = reshape.with_setting(table, ["lambda_tc"])["setting"].tolist()
    assert named == ["0.1", "0.1000001", "0.3", "0.30000000000000004", "0.0316228", "nan"]
    assert wording.show(0.1000001) == "0.1000001"  # in titles and sentences


def test_infomax_rows_drop_baselines_and_keep_a_table_without_them(results):
    """What is said of activations is said of InfoMax."""
    mixed = results.assign(objective=np.where(results["seed"] > 5, "reconstruction", "infomax"))
    assert set(reshape.infomax_rows(mixed)["seed"]) == {1, 2, 3, 4, 5}
    assert len(reshape.infomax_rows(results)) == 180
