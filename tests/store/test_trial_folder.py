"""trial_folder.py: what a trial leaves comes back as it was written, and damage is noticed."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from infomax_tune.errors import DamagedFileError, StoreError
from infomax_tune.store import files
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.record import Record
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import columns, yaml_document
from infomax_tune.study.trial_status import TrialStatus
from tests.conftest import MakeConfig
from tests.store.records import leave_record


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
    folder.write_record(Record(config.trial_id, TrialStatus.DONE, 0, config.nested(), result, {}), [{"epoch": 0}], None)
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


def test_the_folder_is_synced_once_after_the_record(
    tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure then leaves the trial finished or not; a sync after each file would only take time."""
    synced: list[list[str]] = []
    monkeypatch.setattr(files, "_sync_folder", lambda folder: synced.append(files.names_in(folder)))
    config = make_config()
    folder = TrialFolder(tmp_path / config.trial_id)
    leave_record(folder, config)
    assert synced == [[config.trial_id], ["history.csv", "record.json", "weights.safetensors"]]


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path, make_config: MakeConfig) -> None:
    folder = TrialFolder(tmp_path)
    weight = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    history = [{"epoch": 0, "effective_rank": 1 / 3}, {"epoch": 1, "loss": 0.1}]
    timing = {"train_s": 2.5, "epoch_s": [2.5]}
    folder.write_checkpoint(Checkpoint("tanh-k4-s1-00000000", 1, {"weight": weight}, history, timing))
    checkpoint = folder.read_checkpoint()
    assert checkpoint is not None
    assert checkpoint.epoch == 1
    assert checkpoint.timing == timing
    assert checkpoint.tensors["weight"].tobytes() == weight.tobytes()
    assert checkpoint.history[0]["effective_rank"] == 1 / 3
    assert math.isnan(checkpoint.history[0]["loss"])


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
            with pytest.raises(DamagedFileError, match=r"checkpoint\.safetensors: damaged \("):
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


def test_what_is_set_aside_is_never_lost(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path)
    for text in ("first", "second"):
        (tmp_path / "record.json").write_text(text)
        folder.set_aside("record.json")
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["first", "second"]


def test_a_metric_that_came_later_is_empty_in_what_was_written_before(
    tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a history and in a checkpoint; a column that this version does not know stays, as a user's own metric does."""
    config, folder = make_config(), TrialFolder(tmp_path)
    leave_record(folder, config)
    row = {"epoch": 0, **dict.fromkeys(columns.HISTORY[1:], 0.5)}
    folder.write_checkpoint(Checkpoint(config.trial_id, 1, {"weight": np.ones((2, 2), np.float32)}, [row], {}))
    later = (*(name for name in columns.HISTORY if name != "tc"), "sparsity")
    monkeypatch.setattr(columns, "HISTORY", later)
    history = folder.read_history()
    assert tuple(history.columns) == (*later, "tc")
    assert history["loss"].tolist() == [0.5, 0.5]
    assert history["sparsity"].isna().all()
    checkpoint = folder.read_checkpoint()
    assert checkpoint is not None
    assert "sparsity" not in checkpoint.history[0]
    folder.write_checkpoint(checkpoint)
    again = folder.read_checkpoint()
    assert again is not None
    assert math.isnan(again.history[0]["sparsity"])


def test_a_history_without_epochs_is_damage(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("loss,tc\n1,2\n")
    with pytest.raises(DamagedFileError, match=r"history.csv: cannot be read \(no column epoch\)"):
        TrialFolder(tmp_path).read_history()


def test_a_config_that_is_not_ours_is_not_overwritten(tmp_path: Path, make_config: MakeConfig) -> None:
    folder, path = TrialFolder(tmp_path), tmp_path / "config.yaml"
    folder.write_config(make_config())
    folder.refuse_another(make_config())
    for text in ("model: {activation: tanh}", "my: notes", "[1, 2", "\xff"):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(StoreError, match="will not be overwritten"):
            folder.refuse_another(make_config())


def test_a_config_that_was_left_before_a_setting_existed_is_ours(tmp_path: Path, make_config: MakeConfig) -> None:
    config = make_config(activation="tanh")
    before = config.nested()
    del before["logging"]["probe"]
    (tmp_path / "config.yaml").write_text(yaml_document.dump(before))
    TrialFolder(tmp_path).refuse_another(config)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize("name", ["record.json", "history.csv", "weights.safetensors", "checkpoint.safetensors"])
def test_a_file_that_cannot_be_read_is_not_damage(
    name: str, number: int, tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be in perfect order: nothing is said about it, and nothing is renamed."""
    config = make_config()
    folder = TrialFolder(tmp_path / config.trial_id)
    if name == "checkpoint.safetensors":
        folder.write_checkpoint(Checkpoint(config.trial_id, 1, {"weight": np.ones((2, 2), np.float32)}, [], {}))
    else:
        leave_record(folder, config)
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == name:
            raise OSError(number, os.strerror(number), str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    message = rf"{name}: cannot be read \({os.strerror(number)}\). Nothing was changed; fix that, then try again."
    with pytest.raises(StoreError, match=message) as caught:
        folder.damage()
    assert not isinstance(caught.value, DamagedFileError)
    if name != "checkpoint.safetensors":
        with pytest.raises(StoreError, match=message):
            folder.find(config.trial_id)


def test_a_file_that_a_record_names_and_that_is_gone_is_damage(tmp_path: Path, make_config: MakeConfig) -> None:
    folder = TrialFolder(tmp_path)
    leave_record(folder, make_config())
    (tmp_path / "history.csv").unlink()
    finding = folder.find()
    assert finding.status == TrialStatus.DAMAGED
    assert "history.csv: cannot be read (No such file or directory)." in finding.problem


def test_a_new_trial_is_durable_with_the_folders_above_it(
    tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "_sync_folder", synced.append)
    leave_record(TrialFolder(tmp_path / "trials" / "trial"), make_config())
    assert synced[:2] == [tmp_path, tmp_path / "trials"]


def test_two_writers_of_one_trial_write_the_same_history(tmp_path: Path, make_config: MakeConfig) -> None:
    """However long each of them took: so neither record finds the other's history damaged."""
    config, histories = make_config(), []
    for seconds in (0.1, 2.5):
        folder = TrialFolder(tmp_path / str(seconds))
        timing = {"epoch_s": [seconds]}
        record = Record(config.trial_id, TrialStatus.DONE, 1, config.nested(), {}, timing)
        folder.write_record(record, [{"epoch": 0, "epoch_s": math.nan}, {"epoch": 1, "epoch_s": seconds}], None)
        histories.append((folder.path / "history.csv").read_bytes())
        written = folder.read_record()
        assert written is not None
        assert folder.epoch_seconds(written) == [seconds]
    assert histories[0] == histories[1]


def test_the_seconds_of_the_epochs_of_an_old_record_and_of_an_old_checkpoint_are_read() -> None:
    """Version 1 of both had them in the history."""
    old = Path(__file__).parents[1] / "old_folders" / "0.1.0"
    finished = TrialFolder(next(old.glob("finished/trials/tanh-*-s1-*")))
    record = finished.read_record()
    assert record is not None
    assert len(finished.epoch_seconds(record)) == record.epoch
    assert sum(finished.epoch_seconds(record)) == pytest.approx(record.timing["train_s"])
    assert tuple(finished.read_history().columns) == columns.HISTORY
    checkpoint = TrialFolder(next(old.glob("interrupted/trials/tanh-k16-s1-*"))).read_checkpoint()
    assert checkpoint is not None
    seconds = checkpoint.timing["epoch_s"]
    assert isinstance(seconds, list)
    assert len(seconds) == checkpoint.epoch
    assert sum(seconds) == pytest.approx(checkpoint.timing["train_s"])
    assert set(checkpoint.history[0]) == set(columns.HISTORY)
