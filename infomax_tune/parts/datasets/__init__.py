"""The datasets, one file each; the object in it has the file's name. What several share is in files that begin with _."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from infomax_tune.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DATA_DIR_VARIABLE = "INFOMAX_TUNE_DATA_DIR"
DATA_SEED = 42
"""Seed of every split and synthetic draw, whatever the trial's seed."""


@dataclass(frozen=True)
class Shape:
    """A dataset's size: training rows, test rows, inputs."""

    train: int
    test: int
    inputs: int


class Arrays(NamedTuple):
    """What a dataset holds. train: float32 (n, d), or uint8 of any shape whose first size is n: images, which are
    flattened and scaled from 0..255 to 0..1. test: the same with m rows. labels: int64 (n,) and (m,).
    """

    train: NDArray[Any]
    test: NDArray[Any]
    train_labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]


class Clusters(NamedTuple):
    """Round clusters of points in a plane, with one standard deviation."""

    centers: tuple[tuple[float, float], ...] = ()
    sd: float = 0.0


NO_CLUSTERS = Clusters()


@dataclass(frozen=True)
class DataSource:
    """A dataset: what is known of it before it is loaded, and how it is loaded.

    load(data_dir): its arrays; data_dir is where image sets are kept, None for `default_data_dir`. Raises DataError.
    classes: the number of different labels; 0 if there are none, and then all labels are 0.
    digest: the one that its arrays always have; "" if none is known. To pin one, enter any: the error names the right one.
    different(data_dir): what an error says before and after the digests if the arrays have another one.
    clusters: drawn behind the weights of two inputs. place, explanation: as of an `Activation`.
    """

    shape: Shape
    classes: int
    load: Callable[[Path | None], Arrays]
    digest: str = ""
    different: Callable[[Path | None], tuple[str, str]] = lambda data_dir: ("the data has changed", ".")
    clusters: Clusters = NO_CLUSTERS
    place: int = 1000
    explanation: str = ""


def default_data_dir() -> Path:
    """Where image sets are looked for and downloaded to: $INFOMAX_TUNE_DATA_DIR, else the user's cache folder.

    Raises DataError if the user has no home.
    """
    from infomax_tune.process.code_cache import user_cache
    from infomax_tune.process.paths import user_path

    if chosen := os.environ.get(DATA_DIR_VARIABLE):
        return user_path(chosen)
    folder = user_cache()
    if folder is None:
        raise DataError(
            f"this user has no home folder to look for image datasets in; name a folder with --data-dir (or ${DATA_DIR_VARIABLE}), "
            "or try a dataset that needs no download: --set dataset=digits (for `run`: dataset=digits)."
        )
    return folder


def split(rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which rows are for training and which for testing, a fifth, in the order of scikit-learn's `train_test_split`."""
    import numpy as np

    test, train = np.split(np.random.RandomState(DATA_SEED).permutation(rows), [-(-rows // 5)])
    return train, test


def part_from(given: Any, where: str) -> DataSource:
    """A user's dataset: a DataSource, or a function that returns its arrays. Raises DataError, or ConfigError."""
    from infomax_tune.parts.own_datasets import from_function

    if isinstance(given, DataSource):
        return given
    if callable(given):
        return from_function(given, where)
    raise ConfigError(f"{where}: is not a dataset, but {given!r}; write a function that returns its arrays")
