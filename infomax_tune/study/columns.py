"""The names and order of the columns in the tables."""

from __future__ import annotations

from infomax_tune.parts.catalogue import ours
from infomax_tune.parts.loss_columns import LOSS_COLUMNS

SETTINGS: dict[str, str] = {
    "dataset": "data.dataset",
    "objective": "loss.objective",
    "activation": "model.activation",
    "head": "model.head",
    "hidden_dim": "model.hidden_dim",
    "lambda_tc": "loss.lambda_tc",
    "lambda_wr": "loss.lambda_wr",
    "variance_eps": "loss.variance_eps",
    "batch_size": "data.batch_size",
    "epochs": "training.epochs",
    "lr": "training.lr",
    "optimizer": "training.optimizer",
    "seed": "training.seed",
}
"""The results table's columns for a trial's settings, each with the setting it shows; the rows are sorted by them."""

TERMS: tuple[str, ...] = tuple(LOSS_COLUMNS)
"""The loss and its terms: means over the rows of an epoch."""

METRICS: tuple[str, ...] = tuple(name for name, metric in ours("metrics").items() if metric.on == "layer")
"""Measured on the weights and on the whole test set's activations: at epoch 0, during training and at the end."""

FINAL: tuple[str, ...] = (*TERMS, *ours("metrics"))
"""The final numbers of a trial."""

RESULTS: tuple[str, ...] = ("trial_id", "status", "diverged_epoch", *SETTINGS, *FINAL)
HISTORY: tuple[str, ...] = ("epoch", *TERMS, *METRICS)
TIMINGS: tuple[str, ...] = (
    "trial_id",
    "train_s",
    "evaluate_s",
    "store_s",
    "tensorboard_s",
    "epochs_trained",
    "pack_size",
    "device",
    "threads",
    "host",
    "environment",
    "finished",
)
