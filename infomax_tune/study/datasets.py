"""What a config needs of its dataset, known before it is loaded."""

from __future__ import annotations

from infomax_tune.errors import ConfigError
from infomax_tune.parts import catalogue
from infomax_tune.parts.datasets import Shape
from infomax_tune.study.config import TrialConfig


def shape_of(name: str) -> Shape:
    """The size of the dataset of that name."""
    return catalogue.find("datasets", name).shape


def check_batch_size(config: TrialConfig) -> None:
    """Raises ConfigError if a batch is larger than the training set, or an epoch ends with a batch of a single row."""
    rows, batch = shape_of(config.data.dataset).train, config.data.batch_size
    if batch > rows:
        raise ConfigError(
            f"data.batch_size: {batch} is more than the {rows} training rows of {config.data.dataset}; "
            "use -1 for the full training set."
        )
    if batch > 0 and rows % batch == 1:
        raise ConfigError(
            f"data.batch_size: {batch} leaves a single row for the last batch ({config.data.dataset} has {rows} rows), "
            f"and one row has no variance; use {batch + 1}."
        )


def check_labels(config: TrialConfig) -> None:
    """Raises ConfigError if a probe is asked for, but the dataset has no labels to tell apart."""
    name = config.data.dataset
    if config.logging.probe and catalogue.find("datasets", name).classes < 2:
        raise ConfigError(
            f"logging.probe: {name} has no two different labels, so there is nothing to predict; use probe=false, or add "
            "labels to the dataset."
        )
