"""digits: scikit-learn's images of handwritten digits. They come with the package, so they need no download."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infomax_tune.parts.datasets import Arrays, DataSource, Shape, split
from infomax_tune.parts.datasets._libraries import made_by

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def load(data_dir: Path | None) -> Arrays:
    table = _table()
    inputs, labels = (table[:, :-1] / 16).astype("float32"), table[:, -1].astype("int64")
    train, test = split(len(table))
    return Arrays(inputs[train], inputs[test], labels[train], labels[test])


def _table() -> NDArray[np.float64]:
    """A row per image, of its pixels and its label. Read from the file: importing scikit-learn takes a second."""
    import numpy as np

    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or []:
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.exists():
            return np.loadtxt(path, delimiter=",")
    from sklearn.datasets import load_digits  # of a version that keeps it elsewhere

    bunch: Any = load_digits()
    return np.column_stack([bunch.data, bunch.target])


digits = DataSource(
    Shape(1437, 360, 64), 10, load, "31ca7601c8249281", made_by("scikit-learn"), place=4,
    explanation="8 x 8 images of handwritten digits, without a download",
)  # fmt: skip
