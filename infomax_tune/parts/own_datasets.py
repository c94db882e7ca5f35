"""A user's own dataset, from an .npz file or from a function: its arrays are checked, and it is then like any other.

The arrays are `train` and `test`, each (rows, inputs), and may be `train_labels` and `test_labels`. Instead of these it may
be `x` and its labels `y`, which are split 80/20. Images may keep their height and width. uint8 are pixels, from 0 to 255.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from infomax_tune.errors import DataError, unknown
from infomax_tune.parts.datasets import Arrays, DataSource, Shape, split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = ("train", "test", "train_labels", "test_labels")
WHOLE = ("x", "y")
_HOW = "Give the arrays train and test, and train_labels and test_labels if there are labels; or x, and y if there are."


def from_npz(path: Path | BinaryIO, where: str = "") -> DataSource:
    """The dataset in a file that `numpy.savez` wrote. where: its name in errors. Raises DataError."""
    import zipfile
    import zlib

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:  # a pickle could run any code
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    # TypeError, AttributeError: an .npy file is one array
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where or path}: cannot be read as an .npz file of numbers ({error}). {_HOW}") from None
    return from_arrays(arrays, where or str(path))


def from_function(function: Callable[[], Any], where: str) -> DataSource:
    """The dataset that a function returns: a dict of the arrays, or a tuple (train, test) or (train, test, train_labels,
    test_labels). It must return the same arrays every time. where: its name in errors. Raises DataError.
    """
    try:
        made = function()
    except (Exception, SystemExit) as error:
        raise DataError(f"{where}: raised {type(error).__name__}: {error}") from error
    if isinstance(made, (tuple, list)) and len(made) in (2, 4):
        made = dict(zip(NAMES, made, strict=False))
    if not isinstance(made, Mapping):
        raise DataError(f"{where}: returned {type(made).__name__}, not a dict of arrays, or a tuple of 2 or 4. {_HOW}")
    return from_arrays(made, where)


def from_arrays(arrays: Mapping[str, Any], where: str) -> DataSource:
    """The dataset of these arrays. where: its name in errors. Raises DataError."""
    import numpy as np

    try:
        given = {name: np.asarray(array) for name, array in arrays.items()}
    except (
        ValueError,
        TypeError,
        RuntimeError,
    ) as error:  # lists of unequal lengths; tensors on a GPU or with a gradient
        raise DataError(f"{where}: holds something that is no array ({error}). {_HOW}") from None
    for name in given:
        if name not in NAMES + WHOLE:
            raise DataError(f"{where}: {unknown('array', name, NAMES + WHOLE)}")
    if "x" in given and not given.keys() & set(NAMES):
        given = _split(given, where)
    missing = [name for name in ("train", "test") if name not in given]
    if missing or given.keys() & set(WHOLE):
        raise DataError(f"{where}: holds {', '.join(given) or 'no array'}. {_HOW}")
    labeled = [name for name in NAMES[2:] if name in given]
    if len(labeled) == 1:
        raise DataError(f"{where}: holds {labeled[0]} alone; give the labels of both train and test, or none.")

    train, test = (_inputs(given[name], name, where) for name in ("train", "test"))
    if train.shape[1] != test.shape[1]:
        raise DataError(f"{where}: train has {train.shape[1]} inputs, test has {test.shape[1]}; they must be the same.")
    if (train.dtype == np.uint8) != (test.dtype == np.uint8):
        raise DataError(
            f"{where}: train is {given['train'].dtype}, test is {given['test'].dtype}; only uint8 are scaled from 0..255 to "
            "0..1, so give both in one type."
        )
    if labeled:
        pairs = (("train_labels", len(train)), ("test_labels", len(test)))
        labels = tuple(_labels(given[name], name, rows, where) for name, rows in pairs)
    else:
        labels = np.zeros(len(train), np.int64), np.zeros(len(test), np.int64)
    shape = Shape(len(train), len(test), train.shape[1])
    classes = len(np.unique(labels[0])) if labeled else 0
    return DataSource(shape, classes, lambda data_dir: Arrays(train, test, *labels), explanation=f"your own, {where}")


def _split(given: Mapping[str, NDArray[Any]], where: str) -> dict[str, NDArray[Any]]:
    """`x` and `y` as arrays for training and testing."""
    rows = len(_inputs(given["x"], "x", where))
    train, test = split(rows)
    both = {"train": given["x"][train], "test": given["x"][test]}
    if "y" in given:
        y = _labels(given["y"], "y", rows, where)
        both |= {"train_labels": y[train], "test_labels": y[test]}
    return both


def _inputs(array: NDArray[Any], name: str, where: str) -> NDArray[Any]:
    """A row of inputs per row: float32, or uint8 if they are pixels. Raises DataError."""
    import numpy as np

    if array.dtype.kind not in "buif":
        raise DataError(f"{where}: {name} holds {array.dtype}, not numbers.")
    if array.ndim < 2 or array.size == 0:
        raise DataError(
            f"{where}: {name} has the shape {array.shape}; it must be (rows, inputs), or (rows, height, width)."
        )
    if len(array) < 2:
        raise DataError(f"{where}: {name} has a single row, and one row has no variance; give at least 2.")
    array = array.reshape(len(array), math.prod(array.shape[1:]))
    if array.dtype == np.uint8:
        return array
    with np.errstate(over="ignore"):  # it is told as infinite
        inputs = array.astype(np.float32)
    if bad := np.count_nonzero(~np.isfinite(inputs)):
        raise DataError(
            f"{where}: {name} holds {bad} values that are NaN or infinite (as float32); remove or replace them."
        )
    return inputs


def _labels(array: NDArray[Any], name: str, rows: int, where: str) -> NDArray[np.int64]:
    """A label per row. Raises DataError."""
    import numpy as np

    if array.shape != (rows,):
        raise DataError(
            f"{where}: {name} has the shape {array.shape}, but there are {rows} rows; it must be ({rows},)."
        )
    if array.dtype.kind in "buif":
        with np.errstate(invalid="ignore"):  # NaN, which equals nothing
            labels = array.astype(np.int64)
        if (labels == array).all():
            return labels
    raise DataError(f"{where}: {name} must hold whole numbers, one for each class.")
