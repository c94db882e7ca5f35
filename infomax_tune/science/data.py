"""The datasets as arrays. Image sets come through torchvision; `digits` and `synthetic_2d` need no download."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import tempfile
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infomax_tune.errors import DataError
from infomax_tune.process.code_cache import user_cache
from infomax_tune.science.nonzeros import NonZeros, nonzeros
from infomax_tune.study.datasets import SHAPES, Shape

DATA_DIR_VARIABLE = "INFOMAX_TUNE_DATA_DIR"
DATA_SEED = 42
"""Seed of every split and synthetic draw, whatever the trial's seed."""


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


PINNED = {
    "mnist": "84f9ebafeabe68e9",
    "digits": "31ca7601c8249281",
    "synthetic_2d": "886a4579450c923d",
}
"""The digests that these sets always have. fashion_mnist and kmnist have none yet: their files are checked by torchvision
when it downloads them, and not later."""

_TORCHVISION_ERRORS = (RuntimeError, OSError, ValueError, AssertionError, KeyError, TypeError)
"""What torchvision raises for files that are missing, damaged or of another kind."""
_TORCHVISION_CLASS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}


def default_data_dir() -> Path:
    """Where image sets are looked for and downloaded to: $INFOMAX_TUNE_DATA_DIR, else the user's cache folder.

    Raises DataError if the user has no home.
    """
    if chosen := os.environ.get(DATA_DIR_VARIABLE):
        return Path(chosen)
    folder = user_cache()
    if folder is None:
        raise DataError(
            f"this user has no home folder to look for image datasets in; name a folder with --data-dir (or ${DATA_DIR_VARIABLE}), "
            "or try a dataset that needs no download: --set dataset=digits (for `run`: dataset=digits)."
        )
    return folder


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """The dataset of that name. Image sets are read from `data_dir`, and downloaded there if they are missing.

    Raises DataError if an image set is damaged, or missing and cannot be downloaded, if torchvision does not work, or if
    a set whose digest is known has another one.
    """
    if name == "digits":
        return _digits()
    if name == "synthetic_2d":
        return _synthetic_2d()
    return _images(name, data_dir or default_data_dir())


def _digest(*arrays: NDArray[Any]) -> str:
    """16 hex digits of a SHA-256 over the arrays' types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


def _generated(name: str, maker: str, *arrays: Any) -> Dataset:
    """A dataset that a library makes. Raises DataError if the library now makes a different one."""
    dataset = Dataset(name, *arrays, digest=_digest(*arrays))
    if dataset.digest != PINNED[name]:
        raise DataError(
            f"{name}: {_installed(maker)} with {_installed('numpy')} produces different numbers here than elsewhere "
            f"(their digest is {dataset.digest}, not {PINNED[name]}), so its trials could not be compared with others. "
            f"Install another version of {maker} or NumPy, or choose another dataset."
        )
    return dataset


_Part = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""Images, (n, height, width), and their labels."""


def _images(name: str, data_dir: Path) -> Dataset:
    raw = data_dir / _TORCHVISION_CLASS[name] / "raw"
    try:
        parts = [_read_part(raw, part) for part in ("train", "t10k")]
    except (OSError, ValueError):  # torchvision downloads what is missing, and says what is wrong
        parts = _through_torchvision(name, data_dir)
    (train_images, train_labels), (test_images, test_labels) = parts
    digest = _digest(train_images, test_images, train_labels, test_labels)  # of bytes: a quarter of the floats to read
    dataset = Dataset(name, _pixels(train_images), _pixels(test_images), train_labels, test_labels, digest)
    found, expected = Shape(len(dataset.train), len(dataset.test), dataset.train.shape[1]), SHAPES[name]
    if found != expected:
        raise DataError(f"{name}: the files under {data_dir} hold {found}, expected {expected}. {_ways_out(name)}")
    if (len(train_labels), len(test_labels)) != (expected.train, expected.test):
        labels = f"{len(train_labels)} and {len(test_labels)} labels"
        raise DataError(f"{name}: the files under {data_dir} hold {labels}, expected {expected}. {_ways_out(name)}")
    if digest != PINNED.get(name, digest):
        raise DataError(
            f"{name}: the files under {data_dir} hold different images or labels (their digest is {digest}, not "
            f"{PINNED[name]}). To download them again, remove {data_dir / _TORCHVISION_CLASS[name]}. {_ways_out(name)}"
        )
    return dataset


def _read_part(raw: Path, part: str) -> _Part:
    """The images and labels in files as torchvision leaves them. torchvision would import torch, which takes seconds.

    Raises OSError or ValueError if they are missing or not whole.
    """
    images, labels = _read_idx(raw / f"{part}-images-idx3-ubyte", 3), _read_idx(raw / f"{part}-labels-idx1-ubyte", 1)
    return images, labels.astype(np.int64)


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An array of bytes in the format of http://yann.lecun.com/exdb/mnist: type, number of dimensions, sizes, data."""
    content = path.read_bytes()
    magic, *shape = np.frombuffer(content, ">u4", count=1 + dimensions)
    if magic != 0x0800 + dimensions:
        raise ValueError(f"{path}: not {dimensions} dimensions of bytes")
    return np.frombuffer(content, np.uint8, offset=4 * (1 + dimensions)).reshape(shape)


def _through_torchvision(name: str, data_dir: Path) -> list[_Part]:
    """Both parts of an image set, downloaded if they are missing. Raises DataError."""
    dataset_class = getattr(_torchvision_datasets(name), _TORCHVISION_CLASS[name])
    parts = [_open(dataset_class, name, data_dir, train=train) for train in (True, False)]
    return [(part.data.numpy(), part.targets.numpy()) for part in parts]


def _open(dataset_class: Any, name: str, data_dir: Path, *, train: bool) -> Any:
    """torchvision's dataset, from the files in `data_dir`, which are downloaded if they are missing."""
    raw = data_dir / dataset_class.__name__ / "raw"
    there = raw.is_dir()
    try:
        return dataset_class(root=str(data_dir), train=train, download=False)
    except _TORCHVISION_ERRORS as error:
        if there and "not found" not in str(error):
            what, fix = f"cannot read the files under {data_dir}", ""
            damaged = None if isinstance(error, OSError) else _damaged_file(raw)
            if damaged:
                what, fix = f"{damaged} is cut off or damaged", " To download it again, remove it."
            raise DataError(f"{name}: {what} ({_first_line(error)}).{fix} {_ways_out(name)}") from None
    try:
        _download(dataset_class, data_dir)
        return dataset_class(root=str(data_dir), train=train, download=False)
    except (*_TORCHVISION_ERRORS, HTTPException) as error:
        raise DataError(
            f"{name}: not found under {data_dir}, and the download failed ({_first_line(error)}). {_ways_out(name)}"
        ) from None


def _download(dataset_class: Any, data_dir: Path) -> None:
    """Downloads an image set to a temporary folder, and moves the files into place once all are complete; existing
    files stay. So an interrupted download leaves nothing that could be mistaken for the data.
    """
    is_new = not data_dir.exists()
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".downloading-", dir=data_dir) as aside:
            dataset_class(root=aside, train=True, download=True)  # all four files
            raw = data_dir / dataset_class.__name__ / "raw"
            raw.mkdir(parents=True, exist_ok=True)
            for path in (Path(aside) / dataset_class.__name__ / "raw").glob("*-ubyte"):
                if not (raw / path.name).exists():
                    path.rename(raw / path.name)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):
                data_dir.rmdir()
        raise


def _damaged_file(raw: Path) -> Path | None:
    """The first of these files that does not hold what its header says."""
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    for path in sorted(raw.glob("*-ubyte")):
        try:
            read_sn3_pascalvincent_tensor(str(path), strict=False)
        except _TORCHVISION_ERRORS:
            return path
    return None


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(": ")


def _ways_out(name: str) -> str:
    return (
        f"Give the folder that holds {_TORCHVISION_CLASS[name]}/raw with --data-dir (or ${DATA_DIR_VARIABLE}), "
        "or try a dataset that needs no download: --set dataset=digits (for `run`: dataset=digits)."
    )


def _torchvision_datasets(name: str) -> ModuleType:
    try:
        from torchvision import datasets  # a broken torchvision must not break digits
    except (ImportError, RuntimeError) as error:
        raise DataError(
            f"{name} needs torchvision, which does not work here: {_installed('torchvision')} with {_installed('torch')} "
            f"({str(error).strip().splitlines()[0]}). Install a matching pair from the same place: "
            "pip install --force-reinstall torch torchvision. "
            "Datasets that need no torchvision still work: --set dataset=digits (for `run`: dataset=digits)."
        ) from None
    return datasets


def _installed(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # for a message only

    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def _pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _digits() -> Dataset:
    """scikit-learn's images of digits, in the order of its `train_test_split`."""
    table = _digits_table()
    inputs, labels = (table[:, :-1] / 16).astype(np.float32), table[:, -1].astype(np.int64)
    order = np.random.RandomState(DATA_SEED).permutation(len(table))
    test, train = np.split(order, [SHAPES["digits"].test])
    return _generated("digits", "scikit-learn", inputs[train], inputs[test], labels[train], labels[test])


def _digits_table() -> NDArray[np.float64]:
    """A row per image, of its pixels and its label. Read from the file: importing scikit-learn takes a second."""
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or []:
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.exists():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # of a version that keeps it elsewhere

    bunch: Any = load_digits()
    return np.column_stack([bunch.data, bunch.target])


def _synthetic_2d() -> Dataset:
    """8 isotropic Gaussian clusters (sd 0.3) on a circle of radius 2, 10,000 points, the first 80% for training."""
    generator = np.random.default_rng(DATA_SEED)
    labels = generator.integers(8, size=10_000)
    angle = 2 * np.pi * labels / 8
    centers = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points = (centers + generator.normal(scale=0.3, size=(10_000, 2))).astype(np.float32)
    return _generated("synthetic_2d", "numpy", points[:8000], points[8000:], labels[:8000], labels[8000:])
