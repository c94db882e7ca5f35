"""The names and order of the columns in the tables."""

from __future__ import annotations

from collections.abc import Iterable

from infomax_tune.parts.catalogue import ours, short
from infomax_tune.study.config import NAMES, TrialConfig

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

LATER: dict[str, str] = {
    name.split(".")[1]: name for name in NAMES if name not in SETTINGS.values() and not name.startswith("logging.")
}
"""Further columns for settings. A table has one if a trial of its sweep does not have the default."""

TERMS: tuple[str, ...] = ("loss", *(name for name, term in ours("terms").items() if term.always))
"""The loss and its terms that every table has: means over the rows of an epoch."""

METRICS: tuple[str, ...] = tuple(name for name, metric in ours("metrics").items() if metric.on == "layer")
"""Measured on the weights and on the whole test set's activations: at epoch 0, during training and at the end."""

FINAL: tuple[str, ...] = (*TERMS, *(name for name, metric in ours("metrics").items() if metric.shape == "number"))
"""The final numbers of a trial."""

OF_UNITS: tuple[str, ...] = tuple(name for name, metric in ours("metrics").items() if metric.shape == "units")
"""What is measured of each unit at the end."""

RESULTS: tuple[str, ...] = ("trial_id", "status", "diverged_epoch", *SETTINGS, *FINAL)
HISTORY: tuple[str, ...] = ("epoch", *TERMS, *METRICS)
UNITS: tuple[str, ...] = ("trial_id", "unit", *OF_UNITS)
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


def settings_of(trials: Iterable[TrialConfig]) -> dict[str, str]:
    """The columns for the settings of these trials, each with the setting it shows.

    Of the settings that this version does not know, those that tell trials apart are shown.
    """
    trials = list(trials)
    given = {name for config in trials for name in config.numbers()}
    foreign = [name for name in sorted(given - {*NAMES}) if len({config.flat().get(name) for config in trials}) > 1]
    known = SETTINGS | {column: name for column, name in LATER.items() if name in given}
    taken = {*known, *RESULTS}
    return known | {name if (short := name.split(".")[1]) in taken else short: name for name in foreign}


def further_of(trials: Iterable[TrialConfig]) -> tuple[str, ...]:
    """The measured columns of these trials beside `FINAL`: further terms that have a weight, then the user's own metrics."""
    terms: set[str] = set()
    own: set[str] = set()
    for config in trials:
        numbers = config.numbers()
        terms |= {name for name, term in ours("terms").items() if not term.always and f"loss.{term.weight}" in numbers}
        own |= {short(name) for kind, name in config.parts() if kind in ("terms", "metrics")}
    return (*(name for name in ours("terms") if name in terms), *sorted(own))
