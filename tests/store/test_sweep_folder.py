"""The store: files whole or not at all, damage noticed, tables that do not depend on how they came about."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infomax_tune.errors import DamagedFileError, LockedError, StoreError
from infomax_tune.store import files
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig

MakeConfig = Callable[..., TrialConfig]


def leave_record(folder: TrialFolder, config: TrialConfig, *, value: float = 1.5, status: str = "done") -> None:
    result = dict.fromkeys(columns.FINAL, value) if status == "done" else {}
    history = [{"epoch": epoch, "epoch_s": 0.1, **dict.fromkeys(columns.HISTORY[1:], value / 3)} for epoch in (0, 1)]
    weights = {"weight": np.full((2, 3), value, np.float32), "bias": np.zeros(2, np.float32)}
    timing = {"train_s": 0.1, "host": "here"}
    folder.write_record(Record(config.trial_id, status, 1, config.nested(), result, timing), history, weights)


def test_a_record_comes_back_as_it_was_written(tmp_path: Path, make_config: MakeConfig) -> None:
    config, folder = make_config(), TrialFolder(tmp_path / "trial")
    leave_record(folder, config, value=0.1 + 0.2)
    record = folder.read_record()
    assert record is not None
    assert record.trial_id == config.trial_id
    assert record.result["effective_rank"] == 0.1 + 0.2
    assert set(record.files) == {"history.csv", "weights.safetensors"}
    assert folder.read_history()["loss"].tolist() == [(0.1 + 0.2) / 3] * 2
    assert folder.read_weights()["weight"].shape == (2, 3)


def test_missing_values_stay_missing(tmp_path: Path, make_config: MakeConfig) -> None:
    config, folder = make_config(), TrialFolder(tmp_path)
    result = {"loss": 1.0, "max_avg_responsibility": math.nan}
    folder.write_record(Record(config.trial_id, "done", 0, config.nested(), result, {}), [{"epoch": 0}], None)
    record = folder.read_record()
    assert record is not None
    assert math.isnan(record.result["max_avg_responsibility"])
    assert json.loads((tmp_path / "record.json").read_text())["result"]["max_avg_responsibility"] is None
    assert folder.read_history()["loss"].isna().all()


def test_a_record_replaces_the_checkpoint_and_the_failure(tmp_path: Path, make_config: MakeConfig) -> None:
    config, folder = make_config(), TrialFolder(tmp_path)
    folder.write_checkpoint(Checkpoint(config.trial_id, 3, {"weight": np.ones((2, 2), np.float32)}, [], {}))
    folder.write_failure("Traceback\nValueError: broken", 3)
    assert folder.find().status == "failed"
    assert folder.find().problem == "ValueError: broken"
    leave_record(folder, config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "record.json", "weights.safetensors"]
    folder.write_failure("too late", 4)
    assert folder.read_failure() is None


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path, make_config: MakeConfig) -> None:
    folder = TrialFolder(tmp_path)
    weight = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    history = [{"epoch": 0, "effective_rank": 1 / 3}, {"epoch": 1, "loss": 0.1, "epoch_s": 2.5}]
    folder.write_checkpoint(Checkpoint("tanh-k4-s1-00000000", 1, {"weight": weight}, history, {"train_s": 2.5}))
    checkpoint = folder.read_checkpoint()
    assert checkpoint is not None
    assert checkpoint.epoch == 1
    assert checkpoint.timing == {"train_s": 2.5}
    assert checkpoint.tensors["weight"].tobytes() == weight.tobytes()
    assert checkpoint.history[0]["effective_rank"] == 1 / 3
    assert math.isnan(checkpoint.history[0]["loss"])
    assert checkpoint.history[1]["epoch_s"] == 2.5


@pytest.mark.parametrize("name", ["record.json", "history.csv", "weights.safetensors", "checkpoint.safetensors"])
def test_every_flipped_bit_and_every_cut_is_noticed(name: str, tmp_path: Path, make_config: MakeConfig) -> None:
    config, folder = make_config(), TrialFolder(tmp_path)
    leave_record(folder, config)
    folder.write_checkpoint(Checkpoint(config.trial_id, 1, {"weight": np.ones((2, 2), np.float32)}, [], {}))
    path = tmp_path / name
    whole = path.read_bytes()
    damaged = [whole[:length] for length in {0, 1, 7, len(whole) // 2, len(whole) - 1}]
    places = np.random.default_rng(0).integers(len(whole) * 8, size=60)
    for place in places:
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << (place % 8)
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        if name == "checkpoint.safetensors":
            with pytest.raises(DamagedFileError, match="cannot be believed"):
                folder.read_checkpoint()
        elif json_equal(name, data, whole):
            continue  # a changed space between two values changes nothing
        else:
            assert folder.find().status == "damaged"


def json_equal(name: str, data: bytes, whole: bytes) -> bool:
    try:
        return name == "record.json" and json.loads(data) == json.loads(whole)
    except ValueError:
        return False


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    files.write_atomically(path, b"old")

    def crash(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(StoreError, match="No space left"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_tables_do_not_depend_on_the_order_of_writing_or_of_the_plan(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    configs = [make_config(activation=name, seed=seed) for name in ("tanh", "relu") for seed in (10, 2, 1)]
    tables = []
    for number, order in enumerate([configs, configs[::-1], configs[3:] + configs[:3]]):
        folder = SweepFolder(tmp_path / str(number))
        folder.create()
        for config in order:
            leave_record(folder.trial(config.trial_id), config, value=config.training.seed / 7)
        folder.write_tables(order)
        names = ("results.csv", "results.parquet", "history.parquet")
        tables.append([(folder.root / name).read_bytes() for name in names])
    assert tables[0] == tables[1] == tables[2]


def test_the_tables_have_a_row_for_every_planned_trial_and_the_same_columns_always(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    done, diverged, failed, missing = (make_config(seed=seed) for seed in (1, 2, 3, 4))
    folder = SweepFolder(tmp_path)
    empty = folder.write_tables([missing])
    assert list(empty.columns) == list(columns.RESULTS)
    assert empty["status"].tolist() == ["missing"]
    leave_record(folder.trial(done.trial_id), done)
    leave_record(folder.trial(diverged.trial_id), diverged, status="diverged")
    folder.trial(failed.trial_id).write_failure("ValueError: no", 0)
    folder.write_tables([missing, failed, diverged, done])
    results = folder.read_results()
    assert list(results.columns) == list(columns.RESULTS)
    assert results["status"].tolist() == ["done", "diverged", "failed", "missing"]
    assert results["diverged_epoch"].tolist()[1] == 1
    assert results["loss"].notna().tolist() == [True, False, False, False]
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert list(history.columns) == ["trial_id", *columns.HISTORY]
    assert history["trial_id"].nunique() == 2
    assert pd.read_parquet(tmp_path / "results.parquet")["status"].tolist() == results["status"].tolist()


def test_results_csv_holds_every_bit_of_a_number(tmp_path: Path, make_config: MakeConfig) -> None:
    config = make_config()
    value = float(np.nextafter(1 / 3, 1))
    folder = SweepFolder(tmp_path)
    leave_record(folder.trial(config.trial_id), config, value=value)
    folder.write_tables([config])
    assert folder.read_results()["loss"][0] == value


def hold(root: Path, ready: multiprocessing.Queue, leave: multiprocessing.Event) -> None:  # pyright: ignore
    with SweepFolder(root).lock():
        ready.put(os.getpid())
        leave.wait(60)


def test_a_second_driver_is_told_who_holds_the_folder_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Queue(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, leave))
    holder.start()
    pid = ready.get(timeout=60)
    with (
        pytest.raises(LockedError, match=rf"another sweep is at work here \(host .*, pid {pid}\)"),
        SweepFolder(tmp_path).lock(),
    ):
        pass
    holder.kill()
    holder.join()
    with SweepFolder(tmp_path).lock():
        assert f"pid {os.getpid()}" in (tmp_path / "lock").read_text()


def test_a_sweep_file_is_believed_only_whole_and_of_this_schema(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    with pytest.raises(StoreError, match=r"is not a sweep's output folder \(it has no sweep.yaml\)"):
        folder.read_sweep()
    with pytest.raises(StoreError, match="does not exist"):
        SweepFolder(tmp_path / "nowhere").read_sweep()
    content = {
        "name": "mine",
        "description": "é",
        "base": {"data": {"dataset": "digits"}},
        "axes": {"training.seed": [1]},
    }
    folder.write_sweep(content)
    assert folder.read_sweep() == {"schema": 1, **content}
    path = tmp_path / "sweep.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("- 1", "- 2"), encoding="utf-8")
    with pytest.raises(DamagedFileError, match="damaged or edited"):
        folder.read_sweep()
    path.write_text(text.replace("schema: 1", "schema: 2"), encoding="utf-8")
    with pytest.raises(StoreError, match="written by a newer infomax-tune"):
        folder.read_sweep()
    path.write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(DamagedFileError, match=r"sweep.yaml"):
        folder.read_sweep()


def test_a_stranger_folder_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match=r"not a sweep, and not empty \(it holds thesis.tex\)"):
        SweepFolder(tmp_path).create()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_what_is_set_aside_is_never_lost(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    for text in ("first", "second"):
        (tmp_path / "record.json").write_text(text)
        folder.set_aside("record.json")
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["first", "second"]


def test_odd_names_are_only_names(tmp_path: Path, make_config: MakeConfig) -> None:
    root = tmp_path / "résultats & co #1 %20 [x]"
    folder = SweepFolder(root)
    folder.create()
    config = make_config()
    leave_record(folder.trial(config.trial_id), config)
    folder.write_tables([config])
    assert folder.read_results()["status"].tolist() == ["done"]
