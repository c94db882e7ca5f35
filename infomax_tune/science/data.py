"""A dataset as arrays in memory. `parts.datasets` has the datasets."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infomax_tune.errors import DataError
from infomax_tune.parts import catalogue
from infomax_tune.science.nonzeros import NonZeros, nonzeros


@dataclass(frozen=True)
class Dataset:
    """Inputs and labels. train: (n, d) float32; test: (m, d) float32; labels: (n,) and (m,) int64.

    digest: of all of these as they were read, see `load`; "" for a set that `load` does not know.
    """

    name: str
    train: NDArray[np.float32]
    test: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_labels: NDArray[np.int64]
    digest: str = ""

    @functools.cached_property
    def nonzeros(self) -> NonZeros | None:
        """The training rows for the compiled loops, see `nonzeros`; made once, and pickled along once it is made."""
        return nonzeros(self.train)


def shuffle(seed: int, epoch: int, rows: int) -> NDArray[np.int64]:
    """The order of the training rows in an epoch, from seed and epoch alone: no generator's state has to be kept."""
    return np.random.default_rng([seed, epoch]).permutation(rows)


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """The dataset of that name. Image sets are read from `data_dir`, and downloaded there if they are missing.

    Raises DataError if an image set is damaged, or missing and cannot be downloaded, if torchvision does not work, or if
    a set whose digest is known has another one.
    """
    source = catalogue.find("datasets", name)
    arrays = source.load(data_dir)
    digest = digest_of(*arrays)  # of images as bytes: a quarter of the floats to read
    if digest != (source.digest or digest):
        what, then = source.different(data_dir)
        raise DataError(f"{name}: {what} (their digest is {digest}, not {source.digest}){then}")
    return Dataset(name, _rows(arrays.train), _rows(arrays.test), arrays.train_labels, arrays.test_labels, digest)


def digest_of(*arrays: NDArray[Any]) -> str:
    """16 hex digits of a SHA-256 over the arrays' types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _rows(inputs: NDArray[Any]) -> NDArray[np.float32]:
    """Inputs as `Dataset` has them. uint8 are the pixels of images."""
    if inputs.dtype != np.uint8:
        return inputs
    return inputs.reshape(len(inputs), -1).astype(np.float32) / np.float32(255)
