"""The datasets: what they hold, and what a user is told when one cannot be had."""

from __future__ import annotations

import builtins
import dataclasses
import gzip
import hashlib
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from http.client import BadStatusLine
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from infomax_tune.errors import ConfigError, DataError
from infomax_tune.parts import catalogue
from infomax_tune.parts.datasets import DATA_DIR_VARIABLE, Shape, default_data_dir
from infomax_tune.science import data
from infomax_tune.science.data import Dataset
from infomax_tune.study.config import TrialConfig, choices
from infomax_tune.study.datasets import check_batch_size, shape_of

MakeConfig = Callable[..., TrialConfig]

PINNED = {name: source.digest for name, source in catalogue.ours("datasets").items() if source.digest}

WAY_OUT = r"--data-dir .*--set dataset=digits"


def assert_is_well_formed(dataset: Dataset, classes: int) -> None:
    shape = shape_of(dataset.name)
    assert dataset.train.shape == (shape.train, shape.inputs)
    assert dataset.test.shape == (shape.test, shape.inputs)
    assert dataset.train_labels.shape == (shape.train,)
    assert dataset.test_labels.shape == (shape.test,)
    assert dataset.train.dtype == dataset.test.dtype == np.float32
    assert dataset.train_labels.dtype == dataset.test_labels.dtype == np.int64
    for labels in (dataset.train_labels, dataset.test_labels):
        assert set(labels) == set(range(classes))


def assert_same(one: Dataset, other: Dataset) -> None:
    for name in ("train", "test", "train_labels", "test_labels"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_every_dataset_a_config_may_name_has_a_shape() -> None:
    assert all(isinstance(shape_of(name), Shape) for name in choices("data.dataset"))


# ---- digits and synthetic_2d


def test_digits_are_1437_and_360_images_of_64_pixels_in_0_to_1(digits: Dataset) -> None:
    assert shape_of("digits") == Shape(1437, 360, 64)
    assert_is_well_formed(digits, classes=10)
    for part in (digits.train, digits.test):
        assert part.min() == 0
        assert part.max() == 1


def test_digits_are_all_of_scikit_learns_each_with_its_label(digits: Dataset) -> None:
    """The split loses, repeats and mislabels none."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    expected = sorted((row.tobytes(), label) for row, label in zip(bunch.data, bunch.target, strict=True))
    images = np.concatenate([digits.train, digits.test]).astype(np.float64) * 16
    labels = np.concatenate([digits.train_labels, digits.test_labels])
    assert sorted((row.tobytes(), label) for row, label in zip(images, labels, strict=True)) == expected


def test_digits_are_the_same_through_scikit_learn(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a version that keeps its file elsewhere, say."""
    import sklearn.datasets  # noqa: F401 - before the next line, which it would notice

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert_same(digits, data.load("digits"))


def test_synthetic_2d_is_8000_and_2000_points(synthetic_2d: Dataset) -> None:
    assert shape_of("synthetic_2d") == Shape(8000, 2000, 2)
    assert_is_well_formed(synthetic_2d, classes=8)


def test_synthetic_2d_is_eight_round_clusters_on_a_circle_of_radius_2(synthetic_2d: Dataset) -> None:
    points = np.concatenate([synthetic_2d.train, synthetic_2d.test]).astype(np.float64)
    labels = np.concatenate([synthetic_2d.train_labels, synthetic_2d.test_labels])
    for label in range(8):
        cluster = points[labels == label]
        assert 1100 < len(cluster) < 1400
        angle = label * np.pi / 4
        np.testing.assert_allclose(cluster.mean(axis=0), [2 * np.cos(angle), 2 * np.sin(angle)], atol=0.05)
        np.testing.assert_allclose(np.cov(cluster.T), 0.09 * np.eye(2), atol=0.015)


@pytest.mark.parametrize("name", ["digits", "synthetic_2d"])
def test_a_dataset_is_the_same_every_time_whatever_the_global_generator(name: str) -> None:
    """And loading it leaves that generator alone."""
    state = np.random.get_state()  # noqa: NPY002 the global one is meant
    try:
        np.random.seed(1)  # noqa: NPY002
        before = np.random.get_state()  # noqa: NPY002
        one = data.load(name)
        assert all(np.array_equal(now, then) for now, then in zip(np.random.get_state(), before, strict=True))  # noqa: NPY002
        np.random.seed(2)  # noqa: NPY002
        assert_same(one, data.load(name))
    finally:
        np.random.set_state(state)  # noqa: NPY002


# ---- digests


@pytest.mark.parametrize("name", ["digits", "synthetic_2d"])
def test_a_generated_set_has_the_digest_that_is_pinned(name: str) -> None:
    """A digest of types, shapes and bytes; also where NumPy uses no AVX, and with NumPy 1.26 and scikit-learn 1.5."""
    dataset = data.load(name)
    digest = hashlib.sha256()
    for array in (dataset.train, dataset.test, dataset.train_labels, dataset.test_labels):
        digest.update(f"{array.dtype.str} {array.shape};".encode() + array.tobytes())
    assert dataset.digest == digest.hexdigest()[:16] == PINNED[name]


@pytest.mark.parametrize(("name", "maker"), [("digits", "scikit-learn"), ("synthetic_2d", "numpy")])
def test_a_generated_set_that_a_library_makes_otherwise_is_refused(
    name: str, maker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = "synthetic_2d.DATA_SEED" if name == "synthetic_2d" else "DATA_SEED"
    monkeypatch.setattr(f"infomax_tune.parts.datasets.{seed}", 43)
    message = rf"^{name}: {maker} [\d.]+ with numpy [\d.]+ produces different numbers here.*not {PINNED[name]}.*Install"
    with pytest.raises(DataError, match=message):
        data.load(name)


def test_mnist_is_mnist() -> None:
    folder = default_data_dir()
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip("needs MNIST: give the folder that holds MNIST/raw as $INFOMAX_TUNE_DATA_DIR")
    assert data.load("mnist", folder).digest == PINNED["mnist"]


def test_other_images_under_mnists_name_are_refused(fake_raw: Path) -> None:
    found = rf"^mnist: the files under .* hold different images or labels .*not {PINNED['mnist']}"
    message = rf"{found}.*remove .*MNIST\. .*{WAY_OUT}"
    with pytest.raises(DataError, match=message):
        data.load("mnist", fake_raw.parents[1])


def test_every_array_is_part_of_the_digest(folder: Path, any_mnist: None) -> None:
    """One changed pixel or label in any of the files makes another one."""
    digests = {data.load("mnist", folder).digest}
    for file in FILES:
        damage(folder, file, lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]))
        digests.add(data.load("mnist", folder).digest)
    assert len(digests) == 1 + len(FILES)


# ---- batch sizes


@pytest.mark.parametrize(
    ("dataset", "size"), [("digits", 1437), ("digits", -1), ("digits", 128), ("mnist", 60_000), ("synthetic_2d", 2)]
)
def test_a_batch_size_that_leaves_two_rows_or_more_is_accepted(
    make_config: MakeConfig, dataset: str, size: int
) -> None:
    assert check_batch_size(make_config(dataset=dataset, batch_size=size)) is None


def test_a_batch_of_more_than_all_rows_is_refused(make_config: MakeConfig) -> None:
    message = (
        r"data\.batch_size: 1438 is more than the 1437 training rows of digits; use -1 for the full training set\."
    )
    with pytest.raises(ConfigError, match=message):
        check_batch_size(make_config(dataset="digits", batch_size=1438))


@pytest.mark.parametrize(("dataset", "size"), [("digits", 2), ("digits", 4), ("digits", 1436), ("mnist", 59_999)])
def test_a_batch_size_that_leaves_a_single_row_is_refused(make_config: MakeConfig, dataset: str, size: int) -> None:
    message = rf"data\.batch_size: {size} leaves a single row for the last batch \({dataset} has {shape_of(dataset).train} rows\)"
    with pytest.raises(ConfigError, match=message):
        check_batch_size(make_config(dataset=dataset, batch_size=size))


@pytest.mark.parametrize("name", ["digits", "mnist", "synthetic_2d"])
def test_the_batch_size_a_refusal_proposes_is_accepted(make_config: MakeConfig, name: str) -> None:
    """For every size that leaves a single row."""
    rows = shape_of(name).train
    refused = [size for size in range(2, rows) if rows % size == 1]
    assert refused
    for size in refused:
        with pytest.raises(ConfigError, match=r"use \d+") as caught:
            check_batch_size(make_config(dataset=name, batch_size=size))
        proposed = re.search(r"use (-?\d+)", str(caught.value))
        assert proposed
        check_batch_size(make_config(dataset=name, batch_size=int(proposed[1])))


# ---- image sets that are missing or broken


FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@pytest.fixture(scope="session")
def fake_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MNIST's four files with the right shapes, the images all 255 and each label its row's number modulo 10."""
    raw = tmp_path_factory.mktemp("fake") / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, rows in (("train", 60_000), ("t10k", 10_000)):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", np.full((rows, 28, 28), 255, np.uint8))
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", (np.arange(rows) % 10).astype(np.uint8))
    return raw


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format of MNIST's files: a magic number, the sizes (big-endian), the bytes."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture
def folder(filled: Path, no_network: None) -> Path:
    """A data folder with a copy of the fake MNIST that a test may damage; nothing can be downloaded."""
    return filled


@pytest.fixture
def filled(fake_raw: Path, tmp_path: Path) -> Path:
    """A data folder with a copy of the fake MNIST that a test may damage."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in fake_raw.iterdir():
        os.link(file, raw / file.name)
    return tmp_path


@pytest.fixture
def any_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST's digest is not checked."""
    ours = catalogue.ours("datasets")
    monkeypatch.setitem(ours, "mnist", dataclasses.replace(ours["mnist"], digest=""))


def damage(folder: Path, file: str, content: Callable[[bytes], bytes]) -> None:
    path = folder / "MNIST" / "raw" / file
    whole = path.read_bytes()
    path.unlink()  # it is a link: the original stays
    path.write_bytes(content(whole))


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every download fails as it does without a network."""
    from torchvision.datasets import mnist as torchvision_mnist

    def fail(*args: object, **kwargs: object) -> None:
        raise URLError("Temporary failure in name resolution")

    monkeypatch.setattr(torchvision_mnist, "download_and_extract_archive", fail)


def test_mnist_files_are_read_without_a_download(folder: Path, any_mnist: None) -> None:
    dataset = data.load("mnist", folder)
    assert_is_well_formed(dataset, classes=10)
    assert dataset.train.min() == dataset.test.max() == 1
    assert dataset.train_labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_files_that_were_downloaded_by_hand_are_read_as_they_are(folder: Path, any_mnist: None) -> None:
    raw = folder / "MNIST" / "raw"
    for file in FILES[1:]:  # the first was unpacked
        (raw / f"{file}.gz").write_bytes(gzip.compress((raw / file).read_bytes(), 1))
        (raw / file).unlink()
    assert_is_well_formed(data.load("mnist", folder), classes=10)
    assert {path.name for path in raw.iterdir()} == {FILES[0], *(f"{file}.gz" for file in FILES[1:])}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<!DOCTYPE html><html>404</html>", id="a web page"),
        pytest.param(gzip.compress(bytes(10**5))[:-20], id="cut off"),
        pytest.param(gzip.compress(b"<!DOCTYPE html>"), id="something else in it"),
    ],
)
def test_a_damaged_file_that_was_downloaded_by_hand_is_named(content: bytes, folder: Path) -> None:
    path = folder / "MNIST" / "raw" / FILES[1]
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(content)
    with pytest.raises(DataError, match=rf"{path}\.gz: is cut off or damaged .* remove it\."):
        data.load("mnist", folder)


def test_the_data_folder_is_the_one_of_the_environment_variable(
    folder: Path, any_mnist: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(folder))
    assert default_data_dir() == folder
    assert data.load("mnist").train.shape == (60_000, 784)


def test_the_data_folder_is_in_the_users_cache_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_data_dir() == tmp_path / "cache" / "infomax-tune"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_data_dir() == tmp_path / ".cache" / "infomax-tune"


@pytest.mark.parametrize(
    ("name", "held"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_a_missing_image_set_without_a_network_names_the_ways_out(
    name: str, held: str, tmp_path: Path, no_network: None
) -> None:
    folder = tmp_path / "empty"
    message = (
        rf"^{name}: not found under {re.escape(str(folder))}, and the download failed \(.+\)\. .*{held}/raw.*{WAY_OUT}"
    )
    with pytest.raises(DataError, match=message):
        data.load(name, folder)


def test_a_download_that_raises_url_error_itself_is_told_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    def fail(self: object) -> None:
        raise URLError("Network is unreachable")

    monkeypatch.setattr(MNIST, "download", fail)
    with pytest.raises(DataError, match=rf"^mnist: not found .*Network is unreachable.*{WAY_OUT}"):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_of_an_image_set_is_told_without_a_traceback(file: str, folder: Path) -> None:
    (folder / "MNIST" / "raw" / file).unlink()
    with pytest.raises(DataError, match=rf"^mnist: .*{WAY_OUT}"):
        data.load("mnist", folder)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda whole: b"", id="empty"),
        pytest.param(lambda whole: whole[:6], id="cut in the header"),
        pytest.param(lambda whole: whole[: len(whole) // 2], id="cut in half"),
        pytest.param(lambda whole: whole[:-1], id="one byte short"),
        pytest.param(lambda whole: whole + b"\0", id="one byte more"),
        pytest.param(lambda whole: gzip.compress(whole[:1000]), id="still compressed"),
        pytest.param(lambda whole: b"<!DOCTYPE html><html>404</html>", id="a web page"),
        pytest.param(lambda whole: whole[:2] + b"\x0d" + whole[3:], id="another type of number"),
    ],
)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_file_of_an_image_set_is_told_without_a_traceback(
    file: str, content: Callable[[bytes], bytes], folder: Path
) -> None:
    damage(folder, file, content)
    with pytest.raises(DataError, match=rf"^mnist: .*{WAY_OUT}"):
        data.load("mnist", folder)


def test_files_of_another_size_are_told_with_what_they_hold(folder: Path) -> None:
    """EMNIST's digits under MNIST's name, say."""
    raw = folder / "MNIST" / "raw"
    (raw / "t10k-images-idx3-ubyte").unlink()
    (raw / "t10k-labels-idx1-ubyte").unlink()
    write_idx(raw / "t10k-images-idx3-ubyte", np.zeros((20, 28, 28), np.uint8))
    write_idx(raw / "t10k-labels-idx1-ubyte", np.zeros(20, np.uint8))
    message = rf"hold Shape\(train=60000, test=20, inputs=784\), expected Shape\(train=60000, test=10000, .*{WAY_OUT}"
    with pytest.raises(DataError, match=message):
        data.load("mnist", folder)


def test_fewer_labels_than_images_are_told(folder: Path) -> None:
    """A whole file, but of another set: the probe would fail on it hours later."""
    labels = folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.unlink()
    shutil.copy(folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", labels)
    with pytest.raises(DataError, match=rf"^mnist: .*{WAY_OUT}"):
        data.load("mnist", folder)


# ---- downloads


class Mirror:
    """A server on this machine with MNIST's compressed files. cut: a file of which it sends half, then hangs up."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.cut: str | None = None
        self.files = files
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.respond(b"")

            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                content = mirror.files[name]
                self.respond(content[: len(content) // 2] if name == mirror.cut else content)

            def respond(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(mirror.files[self.path.rpartition("/")[2]])))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture(scope="module")
def compressed(fake_raw: Path) -> dict[str, bytes]:
    return {f"{path.name}.gz": gzip.compress(path.read_bytes(), 1) for path in fake_raw.iterdir()}


@pytest.fixture
def mirror(compressed: dict[str, bytes], any_mnist: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """The only place that torchvision downloads from."""
    from torchvision.datasets import MNIST

    made = Mirror(compressed)
    monkeypatch.setattr(MNIST, "mirrors", [made.url])
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in made.files.items()]
    monkeypatch.setattr(MNIST, "resources", sums)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def all_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("cut", [f"{file}.gz" for file in FILES])
def test_a_download_that_breaks_off_leaves_nothing_and_the_next_one_is_whole(
    cut: str, mirror: Mirror, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    mirror.cut = cut
    with pytest.raises(DataError, match=rf"^mnist: not found .* the download failed .*{WAY_OUT}"):
        data.load("mnist", folder)
    assert not folder.exists()
    mirror.cut = None
    assert data.load("mnist", folder).train_labels[:3].tolist() == [0, 1, 2]
    assert all_files(folder) == sorted(f"MNIST/raw/{file}" for file in FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_download_that_is_killed_while_it_unpacks_is_not_taken_for_the_data(
    file: str, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file was half unpacked."""
    from torchvision.datasets import mnist as torchvision_mnist

    whole = torchvision_mnist.download_and_extract_archive

    class Killed(BaseException):
        pass

    def kill(url: str, download_root: str, filename: str, md5: str) -> None:
        whole(url, download_root, filename=filename, md5=md5)
        if filename == f"{file}.gz":
            path = Path(download_root, file)
            path.write_bytes(path.read_bytes()[:1000])
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(torchvision_mnist, "download_and_extract_archive", kill)
        with pytest.raises(Killed):
            data.load("mnist", tmp_path)
    assert all_files(tmp_path) == []
    (tmp_path / ".downloading-killed" / "MNIST" / "raw").mkdir(parents=True)
    assert_is_well_formed(data.load("mnist", tmp_path), classes=10)


def test_a_download_completes_a_folder_and_overwrites_no_file_in_it(mirror: Mirror, filled: Path) -> None:
    raw = filled / "MNIST" / "raw"
    (raw / FILES[0]).unlink()
    kept = {file: (raw / file).stat().st_ino for file in FILES[1:]}
    assert_is_well_formed(data.load("mnist", filled), classes=10)
    assert {file: (raw / file).stat().st_ino for file in FILES[1:]} == kept


@pytest.mark.parametrize("file", FILES)
def test_a_cut_file_is_named_and_downloaded_anew_once_it_is_removed(file: str, mirror: Mirror, filled: Path) -> None:
    path = filled / "MNIST" / "raw" / file
    damage(filled, file, lambda whole: whole[: len(whole) // 2])
    message = (
        rf"^mnist: {re.escape(str(path))} is cut off or damaged \(.+\)\. To download it again, remove it\. .*{WAY_OUT}"
    )
    with pytest.raises(DataError, match=message):
        data.load("mnist", filled)
    path.unlink()
    assert_is_well_formed(data.load("mnist", filled), classes=10)


def test_a_server_that_speaks_no_http_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    def garbled(self: object) -> None:
        raise BadStatusLine("\x00\x01")

    monkeypatch.setattr(MNIST, "download", garbled)
    with pytest.raises(DataError, match=rf"^mnist: not found .*{WAY_OUT}"):
        data.load("mnist", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_user_without_a_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user has no entry in /etc/passwd."""
    for name in (DATA_DIR_VARIABLE, "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(DataError, match=rf"^this user has no home folder .*{WAY_OUT}"):
        data.load("mnist")


# ---- a torchvision that does not work


@pytest.fixture(params=["operator torchvision::nms does not exist", "libcudart.so.13: cannot open shared object file"])
def broken_torchvision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Importing torchvision raises, as it does beside a torch it was not built for. Gives the reason."""
    error = (RuntimeError if "operator" in request.param else ImportError)(request.param)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def broken(name: str, *args: object, **kwargs: object):
        if name.split(".", maxsplit=1)[0] == "torchvision":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", broken)
    return request.param


def test_a_broken_torchvision_is_told_with_the_pair_and_the_fix(broken_torchvision: str, tmp_path: Path) -> None:
    from importlib.metadata import version

    pair = re.escape(f"torchvision {version('torchvision')} with torch {version('torch')}")
    message = (
        rf"^mnist needs torchvision, which does not work here: {pair} \({re.escape(broken_torchvision)}\)\. "
        r".*pip install --force-reinstall torch torchvision.*--set dataset=digits"
    )
    with pytest.raises(DataError, match=message):
        data.load("mnist", tmp_path)


def test_digits_and_synthetic_2d_need_no_torchvision(
    broken_torchvision: str, digits: Dataset, synthetic_2d: Dataset
) -> None:
    assert_same(data.load("digits"), digits)
    assert_same(data.load("synthetic_2d"), synthetic_2d)
