"""The study itself at one epoch: 180 trials, real MNIST, real Ray."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infomax_tune.parts.datasets import DATA_DIR_VARIABLE, default_data_dir
from infomax_tune.science import data
from infomax_tune.study import columns
from tests.command import infomax_tune


def has_mnist() -> bool:
    folder = Path(os.environ.get(DATA_DIR_VARIABLE) or default_data_dir())
    return (folder / "MNIST" / "raw" / "train-images-idx3-ubyte").exists()


@pytest.mark.skipif(
    not has_mnist(), reason="needs MNIST: give the folder that holds MNIST/raw as $INFOMAX_TUNE_DATA_DIR"
)
def test_the_whole_study_runs_on_mnist(tmp_path: Path) -> None:
    """In one test with the data it runs on, so that without MNIST one test is skipped, and only that."""
    mnist = data.load("mnist")
    assert (mnist.train.shape, mnist.test.shape) == ((60_000, 784), (10_000, 784))
    for part in (mnist.train, mnist.test):
        assert (part.min(), part.max()) == (0, 1)
    assert mnist.train.mean() == pytest.approx(0.1307, abs=1e-4)
    assert mnist.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(mnist.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]

    out = tmp_path / "study"
    done = infomax_tune("sweep", "activation_study", "--set", "epochs=1", "--out", out)
    assert "180 trials: 180 done" in done.stdout
    results = pd.read_csv(out / "results.csv")
    assert len(results) == 180
    assert (results.groupby(["activation", "hidden_dim"]).size() == 10).all()
    assert results["seed"].value_counts().eq(18).all()

    width = results["hidden_dim"]
    always = [name for name in (*columns.TERMS, *columns.METRICS) if name != "max_avg_responsibility"]
    assert results[always].notna().all(axis=None)
    assert results["effective_rank"].between(1, width).all()
    assert results["dead_units"].between(0, width).all()
    for metric in ("weight_redundancy", "output_correlation"):
        assert results[metric].between(0, width * width).all()
    assert results["rankme"].between(1, width).all()
    assert results["ridge_accuracy"].between(0.3, 0.95).all()
    assert (results["variance_ratio"] >= 0).all()
    assert (results["gaussian_total_correlation"] > 0).all()
    assert (results["convergence_epoch"] == 1).all()
    loss = results["entropy"] + results["lambda_tc"] * results["tc"] + results["lambda_wr"] * results["wr"]
    assert (results["loss"] - loss).abs().max() < 1e-3
    shares = results["activation"] == "softmax"
    assert results.loc[shares, "max_avg_responsibility"].between(1 / 64, 1).all()
    assert results.loc[~shares, "max_avg_responsibility"].isna().all()
    assert results.loc[results["activation"] == "tanh", "activation_std"].between(0, 1).all()
    assert (results.loc[results["activation"].isin(["relu", "softplus"]), "activation_mean"] > 0).all()

    # learning: an epoch leaves every layer better decorrelated than it began
    history = pd.read_parquet(out / "history.parquet").set_index(["trial_id", "epoch"])["output_correlation"].unstack()
    linear = results.loc[results["activation"] == "identity", "trial_id"]
    assert (history.loc[linear, 1] < history.loc[linear, 0]).all()
    # seeds are blocks: at epoch 0 all activations of a seed and width share their weights
    start = (
        pd.read_parquet(out / "history.parquet")
        .query("epoch == 0")
        .merge(results, on="trial_id", suffixes=("", "_end"))
    )
    assert (start.groupby(["hidden_dim", "seed"])["effective_rank"].nunique() == 1).all()
