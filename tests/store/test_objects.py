"""objects.py: an output folder in an object store keeps what one on a disk keeps."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from botocore.exceptions import ClientError
from s3fs.errors import translate_boto_error

from infomax_tune.errors import ConfigError, StoreError
from infomax_tune.follow.listing import list_outputs
from infomax_tune.store import objects
from infomax_tune.store.files import exists, names_in, read_bytes, remove, set_aside, write_atomically
from infomax_tune.store.objects import is_object, location
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.trial_status import TrialStatus
from tests.conftest import MakeConfig
from tests.folders import make_sweep
from tests.store.records import leave_record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return location(f"memory://objects{tmp_path}")


@pytest.mark.parametrize("text", ["out", "/tmp/out", "a:b/c", "c:/out", "s3:/out", "file:///tmp/out"])
def test_a_path_is_a_path(text: str) -> None:
    assert location(text) == Path(text.removeprefix("file://"))


def test_a_url_is_one_however_it_is_given(folder: Path) -> None:
    for given in (str(folder), f"{folder}/", Path(str(folder)), folder, pickle.loads(pickle.dumps(folder))):
        assert is_object(location(given))
        assert str(location(given)) == str(folder)


@pytest.mark.parametrize("kind", ["s4", "sftp", "smb", "webdav", "http", "local", "simplecache"])
def test_a_kind_of_store_that_is_unknown_or_cannot_keep_the_promises_is_an_error(kind: str) -> None:
    message = rf"{kind}://bucket/out: not a place that can hold results; use a folder, s3://BUCKET/PREFIX or gs://"
    with pytest.raises(ConfigError, match=message):
        location(f"{kind}://bucket/out")


@pytest.mark.parametrize("url", ["s3://bucket/out", "s3a://bucket/out", "memory://bucket/out"])
def test_these_kinds_of_store_are_known(url: str) -> None:
    assert is_object(location(url))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(kind: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec, "get_filesystem_class", fail)
    with pytest.raises(ConfigError, match="pip install s3fs"):
        location("s3://bucket/out")


def test_an_object_is_written_read_listed_renamed_and_removed(folder: Path) -> None:
    path = folder / "a" / "file"
    assert not exists(path)
    assert names_in(folder) == []
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert exists(path)
    assert read_bytes(path) == b"two"
    assert names_in(folder) == ["a"]
    set_aside(path)
    write_atomically(path, b"three")
    set_aside(path)
    assert names_in(folder / "a") == ["file.damaged-1", "file.damaged-2"]
    assert objects.matching(folder, "*/*.damaged-*") == [folder / "a" / f"file.damaged-{n}" for n in (1, 2)]
    for name in names_in(folder / "a"):
        remove(folder / "a" / name)
    remove(folder / "a" / "file")  # it is not there
    with pytest.raises(FileNotFoundError):
        read_bytes(path)


def test_what_the_store_cannot_do_is_an_error_and_not_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the store is\n  away")

    path = folder / "record.json"
    write_atomically(path, b"x")
    for name, act in (
        ("cat_file", lambda: TrialFolder(folder).find()),
        ("pipe_file", lambda: write_atomically(path, b"y")),
        ("rm_file", lambda: remove(path)),
        ("ls", lambda: names_in(folder)),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(fsspec.filesystem("memory").__class__, name, fail)
            with pytest.raises(StoreError, match=r"cannot be \w+ \(the store is away\)"):
                act()
    assert read_bytes(path) == b"x"


def refuse(code: str) -> Callable[..., None]:
    """A put that s3fs was refused by a store that tells this code, and no condition as AWS does."""

    def put(*_: object, **__: object) -> None:
        raise translate_boto_error(ClientError({"Error": {"Code": code, "Message": "no"}}, "PutObject"))

    return put


@pytest.mark.parametrize("code", ["PreconditionFailed", "412"])
def test_an_object_that_exists_is_found_out_in_every_s3_store(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(fsspec.filesystem("memory").__class__, "pipe_file", refuse(code))
    assert not objects.create(folder / "lock", b"x")


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "409"])
def test_a_put_beside_another_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(objects, "_WAIT_S", 0.01)
    store = fsspec.filesystem("memory").__class__
    put, refused = store.pipe_file, []

    def refuse_twice(*words: Any, **options: Any) -> None:
        if len(refused) < 2:
            refused.append(code)
            refuse(code)()
        put(*words, **options)

    with monkeypatch.context() as patch:
        patch.setattr(store, "pipe_file", refuse_twice)
        assert objects.create(folder / "lock", b"x")
    assert objects.read(folder / "lock") == b"x"
    monkeypatch.setattr(store, "pipe_file", refuse(code))
    with pytest.raises(StoreError, match="another process keeps writing it"):
        objects.create(folder / "lock", b"x")


def test_a_trial_leaves_its_record_and_damage_is_found(folder: Path, make_config: MakeConfig) -> None:
    config = make_config(dataset="digits")
    trial = TrialFolder(folder / "trials" / config.trial_id)
    assert trial.find(config).status == TrialStatus.MISSING
    trial.write_failure("Traceback\nValueError: no", 3)
    assert trial.find(config).problem == "ValueError: no"
    leave_record(trial, config)
    assert trial.find(config).status == TrialStatus.DONE
    assert names_in(trial.path) == ["history.csv", "record.json", "weights.safetensors"]
    write_atomically(trial.path / "history.csv", b"epoch\n0\n")
    assert trial.find(config).status == TrialStatus.DAMAGED


def test_what_a_sweep_would_overwrite_is_refused(folder: Path) -> None:
    write_atomically(folder / "thesis.tex", b"x")
    SweepFolder(folder).create()
    write_atomically(folder / "results.csv", b"x")
    with pytest.raises(StoreError, match=r"holds results.csv, which no sweep made"):
        SweepFolder(folder).create()


def test_a_sweep_has_the_bytes_that_it_has_on_a_disk(folder: Path, tmp_path: Path) -> None:
    settings = ("epochs=2", "activation=[relu, tanh]", "hidden_dim=[16]", "seed=[1, 2]")
    here = make_sweep(tmp_path / "here", *settings)
    there = make_sweep(folder, *settings, runs=False)
    names = ["results.csv", "results.parquet", "history.parquet", "units.parquet", "sweep.yaml"]
    names += [f"trials/{path.name}/weights.safetensors" for path in here.trial_folders()]
    for name in names:
        assert read_bytes(there.root / name) == read_bytes(here.root / name), name


def test_sweeps_and_runs_in_a_store_are_listed(folder: Path) -> None:
    make_sweep(folder / "a", "epochs=1", "activation=[relu]", "seed=[1, 2]", runs=False)
    make_sweep(folder / "deeper/b", "epochs=1", "activation=[relu]", "seed=[1]", runs=False)
    write_atomically(folder / "notes.txt", b"x")
    listed = list_outputs(folder)
    assert [(each.out, each.kind, each.state, each.ended) for each in listed] == [
        (str(folder / "a"), "sweep", "finished", 2),
        (str(folder / "deeper/b"), "sweep", "finished", 1),
    ]
    assert all(each.size > 5000 and each.changed.year > 2020 for each in listed)
    assert list_outputs(folder / "nothing") == []
