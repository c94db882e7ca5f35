"""A user's own dataset: what is made of its arrays, and what a user is told of arrays that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infomax_tune.errors import ConfigError, DataError
from infomax_tune.parts import catalogue
from infomax_tune.parts.datasets import DataSource, Shape
from infomax_tune.parts.own_datasets import from_arrays, from_function, from_npz
from infomax_tune.science.data import Dataset, load
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.cost import epoch_cost
from infomax_tune.study.datasets import check_batch_size, check_labels, shape_of

TRAIN = np.array([[0.5, 1.0], [2.0, 3.0], [4.0, 5.0]])
TEST = np.array([[6.0, 7.0], [8.0, 9.0]])
LABELED = {"train": TRAIN, "test": TEST, "train_labels": np.array([0, 1, 1]), "test_labels": np.array([1, 0])}


def loaded(source: DataSource, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The dataset, in training's form, under the name `mine`."""
    monkeypatch.setitem(catalogue.ours("datasets"), "mine", source)
    catalogue._load.cache_clear()
    return load("mine")


# ---- arrays


def test_floats_become_float32_and_labels_int64(monkeypatch: pytest.MonkeyPatch) -> None:
    source = from_arrays(LABELED | {"train_labels": np.array([0.0, 1.0, 1.0])}, "mine")
    assert (source.shape, source.classes) == (Shape(3, 2, 2), 2)
    data = loaded(source, monkeypatch)
    assert data.train.dtype == data.test.dtype == np.float32
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    assert data.train.tolist() == [[0.5, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert data.test.tolist() == [[6.0, 7.0], [8.0, 9.0]]
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 1, 1], [1, 0])
    assert len(data.digest) == 16


def test_images_of_bytes_are_flattened_and_scaled_by_255(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.array([[[0, 51], [102, 255]], [[0, 0], [0, 0]]], np.uint8)
    source = from_arrays({"train": images, "test": images[::-1]}, "mine")
    assert source.shape == Shape(2, 2, 4)
    data = loaded(source, monkeypatch)
    assert data.train.dtype == np.float32
    np.testing.assert_allclose(data.train, [[0, 0.2, 0.4, 1], [0, 0, 0, 0]], rtol=1e-7)
    np.testing.assert_allclose(data.test, [[0, 0, 0, 0], [0, 0.2, 0.4, 1]], rtol=1e-7)


def test_other_whole_numbers_are_not_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    data = loaded(
        from_arrays({"train": [[0, 255], [3, 4]], "test": [[True, False], [True, True]]}, "mine"), monkeypatch
    )
    assert data.train.tolist() == [[0, 255], [3, 4]]
    assert data.test.tolist() == [[1, 0], [1, 1]]


def test_without_labels_there_are_no_classes_and_all_labels_are_0(monkeypatch: pytest.MonkeyPatch) -> None:
    source = from_arrays({"train": TRAIN, "test": TEST}, "mine")
    assert source.classes == 0
    data = loaded(source, monkeypatch)
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == ([0, 0, 0], [0, 0])


def test_x_and_y_are_split_as_scikit_learn_splits_with_seed_42(monkeypatch: pytest.MonkeyPatch) -> None:
    """12 rows: 9 for training, 3 for testing."""
    from sklearn.model_selection import train_test_split

    x, y = np.arange(24.0).reshape(12, 2), np.arange(12) % 4
    source = from_arrays({"x": x, "y": y}, "mine")
    assert (source.shape, source.classes) == (Shape(9, 3, 2), 4)
    data = loaded(source, monkeypatch)
    train, test, train_labels, test_labels = train_test_split(x, y, test_size=0.2, random_state=42)
    assert (data.train.tolist(), data.test.tolist()) == (train.tolist(), test.tolist())
    assert (data.train_labels.tolist(), data.test_labels.tolist()) == (train_labels.tolist(), test_labels.tolist())
    assert from_arrays({"x": x}, "mine").classes == 0


def test_other_numbers_have_another_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    other = LABELED | {"test_labels": np.array([1, 1])}
    digests = {loaded(from_arrays(arrays, "mine"), monkeypatch).digest for arrays in (LABELED, dict(LABELED), other)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"train": None}, r"holds test, train_labels, test_labels\. Give the arrays train and test", id="no train"),
        pytest.param({"test": None}, r"holds train, train_labels, test_labels\. Give", id="no test"),
        pytest.param(dict.fromkeys(LABELED), r"holds no array\. Give the arrays train and test", id="nothing"),
        pytest.param({"x": TRAIN}, r"holds .*, x\. Give", id="train and x"),
        pytest.param({"train": None, "test": None, "y": np.zeros(3)}, r"holds .*, y\. Give", id="y alone"),
        pytest.param({"train_label": [1]}, r"array: 'train_label' is unknown; did you mean 'train_labels'\?", id="name"),
        pytest.param({"train_labels": None}, r"holds test_labels alone; give .* both", id="labels of one"),
        pytest.param({"train": np.array([1.0, 2, 3])}, r"train has the shape \(3,\); it must be \(rows, inputs\)", id="1-d"),
        pytest.param({"test": np.float64(1)}, r"test has the shape \(\);", id="a number"),
        pytest.param({"train": np.zeros((0, 2))}, r"train has the shape \(0, 2\);", id="empty"),
        pytest.param({"test": np.zeros((2, 0))}, r"test has the shape \(2, 0\);", id="no inputs"),
        pytest.param({"train": TRAIN[:1]}, r"train has a single row, .* give at least 2", id="one row"),
        pytest.param({"test": TEST[:1]}, r"test has a single row", id="one row to test"),
        pytest.param({"test": np.zeros((2, 3))}, r"train has 2 inputs, test has 3; they must be the same", id="inputs"),
        pytest.param({"train": TRAIN * [np.nan, 1]}, r"train holds 3 values that are NaN or infinite", id="NaN"),
        pytest.param({"test": [[1, 2], [-np.inf, 1]]}, r"test holds 1 values that are NaN or infinite", id="infinite"),
        pytest.param({"test": [[1, 2], [1e39, 1]]}, r"test holds 1 values .*as float32", id="infinite as float32"),
        pytest.param({"train": TRAIN.astype(str)}, r"train holds <U\d+, not numbers", id="text"),
        pytest.param({"train": TRAIN * 1j}, r"train holds complex128, not numbers", id="complex"),
        pytest.param({"train": [[1], [1, 2]]}, r"holds something that is no array \(.+\)\. Give", id="ragged"),
        pytest.param({"train": TRAIN.astype(np.uint8)}, r"train is uint8, test is float64; only uint8 are", id="types"),
        pytest.param({"train_labels": [0, 1]}, r"train_labels has the shape \(2,\), but there are 3 rows; .*\(3,\)", id="few"),
        pytest.param({"test_labels": [[0], [1]]}, r"test_labels has the shape \(2, 1\), but there are 2 rows", id="a column"),
        pytest.param({"test_labels": [0, 0.5]}, r"test_labels must hold whole numbers", id="half"),
        pytest.param({"test_labels": [0, np.nan]}, r"test_labels must hold whole numbers", id="a missing label"),
        pytest.param({"test_labels": ["a", "b"]}, r"test_labels must hold whole numbers", id="labels of text"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_used_are_refused(change: dict[str, object], message: str) -> None:
    arrays = {name: array for name, array in (LABELED | change).items() if array is not None}
    with pytest.raises(DataError, match=rf"^mine: {message}"):
        from_arrays(arrays, "mine")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": TRAIN[:1]}, r"x has a single row"),
        ({"x": TRAIN}, r"test has a single row"),
        ({"x": TRAIN[0]}, r"x has the shape \(2,\)"),
        ({"x": TRAIN, "y": [1, 2]}, r"y has the shape \(2,\), but there are 3 rows"),
    ],
)
def test_an_x_that_cannot_be_split_is_refused(arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=rf"^mine: {message}"):
        from_arrays(arrays, "mine")


# ---- files


def test_an_npz_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "mine.npz", **LABELED)
    data = loaded(from_npz(tmp_path / "mine.npz"), monkeypatch)
    assert data.train.tolist() == TRAIN.tolist()
    assert data.test_labels.tolist() == [1, 0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^{re.escape(str(tmp_path))}/mine\.npz: there is no such file\.$"):
        from_npz(tmp_path / "mine.npz")


def save_pickle(path: Path) -> None:
    np.savez(path, train=np.array([{}, {}], dtype=object), test=TEST)


def save_one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, TRAIN)


def save_half(path: Path) -> None:
    np.savez(path, **LABELED)
    path.write_bytes(path.read_bytes()[:300])


def save_damaged(path: Path) -> None:
    np.savez_compressed(path, train=np.arange(2000.0).reshape(1000, 2), test=TEST)
    whole = bytearray(path.read_bytes())
    whole[500:600] = bytes(100)
    path.write_bytes(whole)


@pytest.mark.parametrize(
    "save",
    [
        save_pickle,
        save_one_array,
        save_half,
        save_damaged,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("1,2\n3,4\n"),
        Path.mkdir,
    ],
)
def test_a_file_that_is_no_npz_of_numbers_is_refused(save: Callable[[Path], object], tmp_path: Path) -> None:
    save(tmp_path / "mine.npz")
    with pytest.raises(
        DataError, match=r"mine\.npz: cannot be read as an \.npz file of numbers \(.+\)\. Give the arrays"
    ):
        from_npz(tmp_path / "mine.npz")


# ---- functions


@pytest.mark.parametrize("made", [LABELED, tuple(LABELED.values()), list(LABELED.values())])
def test_a_function_returns_a_dict_or_four_arrays(made: object, monkeypatch: pytest.MonkeyPatch) -> None:
    data = loaded(from_function(lambda: made, "mine.py:points"), monkeypatch)
    assert data.train.tolist() == TRAIN.tolist()
    assert data.test_labels.tolist() == [1, 0]


def test_a_function_may_return_two_arrays() -> None:
    source = from_function(lambda: (TRAIN, TEST), "mine.py:points")
    assert (source.shape, source.classes) == (Shape(3, 2, 2), 0)


@pytest.mark.parametrize("made", [None, TRAIN, (TRAIN, TEST, TRAIN)])
def test_a_function_that_returns_something_else_is_refused(made: object) -> None:
    with pytest.raises(
        DataError, match=r"^mine\.py:points: returned \w+, not a dict of arrays, or a tuple of 2 or 4\."
    ):
        from_function(lambda: made, "mine.py:points")


def test_the_error_of_a_function_is_told_and_kept() -> None:
    def points() -> None:
        raise KeyError("a")

    with pytest.raises(DataError, match=r"^mine\.py:points: raised KeyError: 'a'$") as caught:
        from_function(points, "mine.py:points")
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_arrays_of_a_function_are_checked() -> None:
    with pytest.raises(DataError, match=r"^mine\.py:points: train has a single row"):
        from_function(lambda: (TRAIN[:1], TEST), "mine.py:points")


# ---- in a study


@pytest.fixture
def mine(make_config: Callable[..., TrialConfig], monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrialConfig]:
    """Makes configs with the dataset `mine`, of 3 training rows: without labels, or with these for training."""

    def make(labels: list[int] | None = None, **settings: object) -> TrialConfig:
        labeled = {} if labels is None else {"train_labels": labels, "test_labels": [0, 1]}
        monkeypatch.setitem(
            catalogue.ours("datasets"), "mine", from_arrays({"train": TRAIN, "test": TEST} | labeled, "mine")
        )
        catalogue._load.cache_clear()
        config = make_config(**settings)
        return config.model_copy(update={"data": config.data.model_copy(update={"dataset": "mine"})})

    return make


@pytest.mark.parametrize("labels", [None, [1, 1, 1]])
def test_a_probe_needs_two_different_labels(mine: Callable[..., TrialConfig], labels: list[int] | None) -> None:
    with pytest.raises(ConfigError, match=r"^logging\.probe: mine has no two different labels, .* use probe=false"):
        check_labels(mine(labels, probe=True))
    check_labels(mine(labels, probe=False))
    check_labels(mine([0, 1, 1], probe=True))


def test_its_size_is_known_to_the_estimate_and_to_the_check_of_the_batch(mine: Callable[..., TrialConfig]) -> None:
    config = mine(batch_size=2)
    assert shape_of("mine") == Shape(3, 2, 2)
    assert epoch_cost("mine", 16) == 3 * 2 * (16 + 10)
    with pytest.raises(ConfigError, match=r"2 leaves a single row for the last batch \(mine has 3 rows\)"):
        check_batch_size(config)
