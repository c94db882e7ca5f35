"""Image sets in MNIST's format: read as torchvision leaves them, downloaded through it if they are missing."""

from __future__ import annotations

import contextlib
import gzip
import math
import tempfile
import zlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from infomax_tune.errors import DataError
from infomax_tune.parts.datasets import DATA_DIR_VARIABLE, Arrays, DataSource, Shape, default_data_dir
from infomax_tune.parts.datasets._libraries import installed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHAPE = Shape(60_000, 10_000, 784)
_TORCHVISION_ERRORS = (RuntimeError, OSError, ValueError, AssertionError, KeyError, TypeError)
"""What torchvision raises for files that are missing, damaged or of another kind."""


def image_set(name: str, held: str, digest: str = "", **facts: Any) -> DataSource:
    """An image set of ten classes. held: torchvision's class of it, and the folder that holds its files.

    digest: without one, its files are checked by torchvision when it downloads them, and not later.
    """
    way_out = (
        f"Give the folder that holds {held}/raw with --data-dir (or ${DATA_DIR_VARIABLE}), "
        "or try a dataset that needs no download: --set dataset=digits (for `run`: dataset=digits)."
    )

    def load(data_dir: Path | None) -> Arrays:
        data_dir = data_dir or default_data_dir()
        try:
            parts = [_read_part(data_dir / held / "raw", part) for part in ("train", "t10k")]
        except (OSError, ValueError):  # torchvision downloads what is missing, and says what is wrong
            parts = _through_torchvision(name, held, data_dir, way_out)
        (train, train_labels), (test, test_labels) = parts
        found = Shape(len(train), len(test), math.prod(train.shape[1:]))
        if found != _SHAPE:
            raise DataError(f"{name}: the files under {data_dir} hold {found}, expected {_SHAPE}. {way_out}")
        if (len(train_labels), len(test_labels)) != (_SHAPE.train, _SHAPE.test):
            labels = f"{len(train_labels)} and {len(test_labels)} labels"
            raise DataError(f"{name}: the files under {data_dir} hold {labels}, expected {_SHAPE}. {way_out}")
        return Arrays(train, test, train_labels, test_labels)

    def different(data_dir: Path | None) -> tuple[str, str]:
        data_dir = data_dir or default_data_dir()
        return (
            f"the files under {data_dir} hold different images or labels",
            f". To download them again, remove {data_dir / held}. {way_out}",
        )

    return DataSource(_SHAPE, 10, load, digest, different, **facts)


_Part = tuple["NDArray[np.uint8]", "NDArray[np.int64]"]
"""Images, (n, height, width), and their labels."""


def _read_part(raw: Path, part: str) -> _Part:
    """The images and labels in files as torchvision leaves them, or as they are downloaded by hand, with .gz at the end.
    torchvision would import torch, which takes seconds.

    Raises OSError or ValueError if they are missing or not whole, DataError if a .gz file is not whole.
    """
    images, labels = _read_idx(raw / f"{part}-images-idx3-ubyte", 3), _read_idx(raw / f"{part}-labels-idx1-ubyte", 1)
    return images, labels.astype("int64")


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """An array of bytes in the format of http://yann.lecun.com/exdb/mnist: type, number of dimensions, sizes, data."""
    packed = path.with_name(f"{path.name}.gz")
    if path.exists() or not packed.exists():
        return _parse_idx(path.read_bytes(), dimensions)
    try:
        return _parse_idx(gzip.decompress(packed.read_bytes()), dimensions)
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{packed}: is cut off or damaged ({error}). To download it again, remove it.") from None


def _parse_idx(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    import numpy as np

    magic, *shape = np.frombuffer(content, ">u4", count=1 + dimensions)
    if magic != 0x0800 + dimensions:
        raise ValueError(f"not {dimensions} dimensions of bytes")
    return np.frombuffer(content, np.uint8, offset=4 * (1 + dimensions)).reshape(shape)


def _through_torchvision(name: str, held: str, data_dir: Path, way_out: str) -> list[_Part]:
    """Both parts of an image set, downloaded if they are missing. Raises DataError."""
    dataset_class = getattr(_torchvision_datasets(name), held)
    parts = [_open(dataset_class, name, data_dir, way_out, train=train) for train in (True, False)]
    return [(part.data.numpy(), part.targets.numpy()) for part in parts]


def _open(dataset_class: Any, name: str, data_dir: Path, way_out: str, *, train: bool) -> Any:
    """torchvision's dataset, from the files in `data_dir`, which are downloaded if they are missing."""
    from http.client import HTTPException  # only a download needs it

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
            raise DataError(f"{name}: {what} ({_first_line(error)}).{fix} {way_out}") from None
    try:
        _download(dataset_class, data_dir)
        return dataset_class(root=str(data_dir), train=train, download=False)
    except (*_TORCHVISION_ERRORS, HTTPException) as error:
        raise DataError(
            f"{name}: not found under {data_dir}, and the download failed ({_first_line(error)}). {way_out}"
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


def _torchvision_datasets(name: str) -> ModuleType:
    try:
        from torchvision import datasets  # a broken torchvision must not break digits
    except (ImportError, RuntimeError) as error:
        raise DataError(
            f"{name} needs torchvision, which does not work here: {installed('torchvision')} with {installed('torch')} "
            f"({str(error).strip().splitlines()[0]}). Install a matching pair from the same place: "
            "pip install --force-reinstall torch torchvision. "
            "Datasets that need no torchvision still work: --set dataset=digits (for `run`: dataset=digits)."
        ) from None
    return datasets
