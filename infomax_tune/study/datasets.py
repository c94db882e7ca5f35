"""Facts about each dataset that are known before it is loaded."""

from __future__ import annotations

from dataclasses import dataclass

from infomax_tune.errors import ConfigError
from infomax_tune.study.config import TrialConfig


@dataclass(frozen=True)
class Shape:
    """A dataset's size: training rows, test rows, inputs."""

    train: int
    test: int
    inputs: int


SHAPES: dict[str, Shape] = {
    "mnist": Shape(60_000, 10_000, 784),
    "fashion_mnist": Shape(60_000, 10_000, 784),
    "kmnist": Shape(60_000, 10_000, 784),
    "digits": Shape(1437, 360, 64),
    "synthetic_2d": Shape(8000, 2000, 2),
}


def check_batch_size(config: TrialConfig) -> None:
    """Raises ConfigError if a batch is larger than the training set, or an epoch ends with a batch of a single row."""
    rows, batch = SHAPES[config.data.dataset].train, config.data.batch_size
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
