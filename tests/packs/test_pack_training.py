"""Training a pack into the store: records, checkpoints, resuming, divergence, stopping."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infomax_tune.errors import DataError, PartError, StoreError, TakenOverError
from infomax_tune.follow.progress import PackProgress
from infomax_tune.packs import pack_training
from infomax_tune.packs.pack_training import train_pack
from infomax_tune.packs.run_trial import run_trial
from infomax_tune.science.arithmetic import ARITHMETIC
from infomax_tune.science.data import Dataset
from infomax_tune.store.files import guarded
from infomax_tune.store.objects import location
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from tests.folders import Countdown

MakeConfig = Callable[..., TrialConfig]


def folders(root: Path, pack: list[TrialConfig]) -> list[TrialFolder]:
    return [TrialFolder(root / config.trial_id) for config in pack]


def numbers(folder: TrialFolder) -> tuple[object, ...]:
    """All of a finished trial that must never differ."""
    record = folder.read_record()
    assert record is not None
    return record.status, record.epoch, repr(record.result), record.files


def test_a_pack_leaves_a_record_for_each_trial(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    seen: list[PackProgress] = []
    train_pack(pack, folders(tmp_path, pack), digits, on_epoch=seen.append, warn=pytest.fail)
    for folder in folders(tmp_path, pack):
        history = folder.read_history()
        assert history["epoch"].tolist() == [0, 1, 2, 3, 4, 5]
        assert history["loss"].isna().tolist() == [True] + [False] * 5
        # epoch 0 is the untrained baseline; then every second epoch, and the last
        assert history["effective_rank"].notna().tolist() == [True, False, True, False, True, True]
        record = folder.read_record()
        assert record is not None
        assert record.result["effective_rank"] == history["effective_rank"].iloc[-1]
        assert record.timing["epochs_trained"] == 5
        assert not (folder.path / "checkpoint.safetensors").exists()
    assert [progress.epoch for progress in seen] == [0, 1, 2, 3, 4, 5]
    assert [progress.statuses for progress in seen] == [(None,) * 3] * 5 + [("done",) * 3]
    assert seen[-1].trial_epochs == 15


def test_in_an_object_store_a_pack_writes_all_of_its_trials_at_once(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, a write is mostly waiting for an answer. Each of these waits until all three are being written."""
    for name in ("write_checkpoint", "write_record"):
        together, write = threading.Barrier(len(pack)), getattr(TrialFolder, name)

        def wait_for_the_others(
            *words: object,
            together: threading.Barrier = together,
            write: Callable[..., None] = write,
            **options: object,
        ) -> None:
            together.wait(60)
            write(*words, **options)

        monkeypatch.setattr(TrialFolder, name, wait_for_the_others)
    train_pack(pack, folders(location(f"memory://packs{tmp_path}"), pack), digits)
    monkeypatch.undo()
    train_pack(pack, folders(tmp_path, pack), digits)
    for there, here in zip(folders(location(f"memory://packs{tmp_path}"), pack), folders(tmp_path, pack), strict=True):
        assert numbers(there) == numbers(here)


@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 4])
def test_stopping_after_any_epoch_loses_nothing_and_changes_nothing(
    stop_after: int, tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    train_pack(pack, folders(tmp_path / "through", pack), digits)
    stopped = folders(tmp_path / "stopped", pack)
    seen: list[PackProgress] = []
    train_pack(pack, stopped, digits, on_epoch=seen.append, should_stop=lambda: seen[-1].epoch == stop_after)
    assert [folder.has_record() for folder in stopped] == [False] * 3
    seen.clear()
    train_pack(pack, stopped, digits, on_epoch=seen.append)
    assert seen[0].epoch == (stop_after + 1 if stop_after else 0)
    for through, resumed in zip(folders(tmp_path / "through", pack), stopped, strict=True):
        assert numbers(through) == numbers(resumed)


def test_trials_at_different_epochs_go_on_each_from_its_own_checkpoint(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    train_pack(pack, folders(tmp_path / "through", pack), digits)
    torn = folders(tmp_path / "torn", pack)
    for config, folder, epoch in zip(pack, torn, (4, 2, 0), strict=True):
        train_pack([config], [folder], digits, should_stop=Countdown(epoch + 1))
    seen: list[PackProgress] = []
    train_pack(pack, torn, digits, on_epoch=seen.append)
    assert [progress.epoch for progress in seen] == [0, 1, 2, 3, 4, 5, 3, 4, 5, 5]
    for through, resumed in zip(folders(tmp_path / "through", pack), torn, strict=True):
        assert numbers(through) == numbers(resumed)


def test_a_crash_loses_at_most_the_epochs_since_the_last_checkpoint(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    train_pack(pack, folders(tmp_path / "through", pack), digits)
    crashed = folders(tmp_path / "crashed", pack)

    def crash(progress: PackProgress) -> None:
        if progress.epoch == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        train_pack(pack, crashed, digits, on_epoch=crash)
    seen: list[PackProgress] = []
    train_pack(pack, crashed, digits, on_epoch=seen.append)
    assert [progress.epoch for progress in seen] == [3, 4, 5]  # the checkpoint of epoch 2 was there
    for through, resumed in zip(folders(tmp_path / "through", pack), crashed, strict=True):
        assert numbers(through) == numbers(resumed)


def test_a_finished_trial_is_not_trained_again(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    train_pack(pack[:1], folders(tmp_path, pack)[:1], digits)
    before = (folders(tmp_path, pack)[0].path / "record.json").read_bytes()
    seen: list[PackProgress] = []
    train_pack(pack, folders(tmp_path, pack), digits, on_epoch=seen.append)
    assert (folders(tmp_path, pack)[0].path / "record.json").read_bytes() == before
    assert seen[-1].trial_epochs == 10


def test_a_damaged_or_strange_checkpoint_is_set_aside_and_said(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    train_pack(pack, folders(tmp_path / "through", pack), digits)
    damaged = folders(tmp_path / "damaged", pack)
    train_pack(pack, damaged, digits, should_stop=Countdown(3))
    first, second = (folder.path / "checkpoint.safetensors" for folder in damaged[:2])
    strange = first.read_bytes()
    first.write_bytes(strange[:-1])
    second.write_bytes(strange)
    warnings: list[str] = []
    train_pack(pack, damaged, digits, warn=warnings.append)
    assert len(warnings) == 2
    assert "checkpoint.safetensors: damaged (" in warnings[0]
    assert f"is from another trial ({pack[0].trial_id}, epoch 2)" in warnings[1]
    assert first.with_name("checkpoint.safetensors.damaged-1").exists()
    for through, resumed in zip(folders(tmp_path / "through", pack), damaged, strict=True):
        assert numbers(through) == numbers(resumed)


def test_a_diverging_trial_leaves_a_record_that_says_so(
    tmp_path: Path, make_config: MakeConfig, digits: Dataset
) -> None:
    pack = [
        make_config(dataset="digits", activation="identity", optimizer="sgd", lr=1e30, epochs=9, seed=s) for s in (1, 2)
    ]
    train_pack(pack, folders(tmp_path, pack), digits)
    for folder in folders(tmp_path, pack):
        record = folder.read_record()
        assert record is not None
        assert record.status == "diverged"
        assert record.epoch == 1
        assert record.result == {}
        assert folder.read_history()["epoch"].tolist() == [0, 1]


def test_the_random_baseline_is_measured_and_not_trained(
    tmp_path: Path, make_config: MakeConfig, digits: Dataset
) -> None:
    config = make_config(dataset="digits", objective="random")
    train_pack([config], [TrialFolder(tmp_path)], digits)
    record = TrialFolder(tmp_path).read_record()
    assert record is not None
    assert record.epoch == 0
    assert record.result["effective_rank"] > 1


def test_the_probe_is_recorded_when_asked_for(tmp_path: Path, make_config: MakeConfig, digits: Dataset) -> None:
    config = make_config(dataset="digits", epochs=1, probe=True)
    train_pack([config], [TrialFolder(tmp_path)], digits)
    record = TrialFolder(tmp_path).read_record()
    assert record is not None
    assert 0.5 < record.result["probe_accuracy"] <= 1


def test_run_alone_gives_the_numbers_of_the_pack_and_leaves_everything(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    train_pack(pack, folders(tmp_path / "pack", pack), digits)
    alone = TrialFolder(tmp_path / "alone")
    run_trial(pack[1], alone)
    assert numbers(alone) == numbers(folders(tmp_path / "pack", pack)[1])
    names = {path.name for path in alone.path.iterdir()}
    files = {"config.yaml", "environment.json", "history.csv", "lock", "record.json", "weights.safetensors"}
    assert names == files | {"tensorboard"}


def test_run_alone_refuses_another_trials_folder(tmp_path: Path, pack: list[TrialConfig]) -> None:
    run_trial(pack[0], TrialFolder(tmp_path))
    with pytest.raises(
        StoreError, match=f"holds {pack[0].trial_id}, not {pack[1].trial_id}; choose another output folder"
    ):
        run_trial(pack[1], TrialFolder(tmp_path))


@pytest.fixture
def namesakes(make_config: MakeConfig) -> list[TrialConfig]:
    """Two trials that have one id by chance."""
    pair = [make_config(dataset="digits", epochs=2, checkpoint_every=1, lr=lr) for lr in (0.001064, 0.0052725)]
    assert pair[0].trial_id == pair[1].trial_id
    return pair


def test_run_alone_refuses_the_folder_of_another_trial_of_the_same_id(
    tmp_path: Path, namesakes: list[TrialConfig], digits: Dataset
) -> None:
    """Finished or not. It took the other's result for its own."""
    one, other = namesakes
    finished, under_way = TrialFolder(tmp_path / "finished"), TrialFolder(tmp_path / "under way")
    run_trial(one, finished)
    under_way.write_config(one)
    train_pack([one], [under_way], digits, should_stop=Countdown(2))
    for folder in (finished, under_way):
        before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
        message = (
            r"holds another trial with the same id \(training.lr is 0.001064 instead of 0.0052725\); "
            "choose another output folder"
        )
        with pytest.raises(StoreError, match=message):
            run_trial(other, folder)
        assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before
    assert run_trial(one, finished).config == one.nested()


def test_a_checkpoint_of_another_trial_of_the_same_id_is_set_aside(
    tmp_path: Path, namesakes: list[TrialConfig], digits: Dataset
) -> None:
    one, other = namesakes
    train_pack([other], [TrialFolder(tmp_path / "through")], digits)
    folder = TrialFolder(tmp_path / "torn")
    train_pack([one], [folder], digits, should_stop=Countdown(2))
    warnings: list[str] = []
    train_pack([other], [folder], digits, warn=warnings.append)
    assert (
        "is from another trial with the same id (training.lr is 0.001064 instead of 0.0052725). Set aside"
        in warnings[0]
    )
    assert numbers(folder) == numbers(TrialFolder(tmp_path / "through"))


def test_records_and_checkpoints_say_what_data_and_arithmetic_they_are_of(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    folder = TrialFolder(tmp_path)
    train_pack(pack[:1], [folder], digits, should_stop=Countdown(3))
    for _ in range(2):
        kept = folder.kept()
        assert kept is not None
        assert (kept.config, kept.data, kept.arithmetic) == (pack[0].nested(), digits.digest, ARITHMETIC)
        train_pack(pack[:1], [folder], digits)


def test_run_alone_goes_on_with_the_same_data_only(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    folder = TrialFolder(tmp_path)
    folder.write_config(pack[0])
    train_pack(pack[:1], [folder], dataclasses.replace(digits, digest="0123456789abcdef"), should_stop=Countdown(3))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    message = f"digits: 1 trial was trained here on different data .*was 0123456789abcdef, now it is {digits.digest}"
    with pytest.raises(DataError, match=message):
        run_trial(pack[0], folder)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_trial_is_never_of_two_arithmetics(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint is set aside, and it trains from the beginning."""
    folder = TrialFolder(tmp_path)
    train_pack(pack[:1], [folder], digits, should_stop=Countdown(3))
    ours = ARITHMETIC
    monkeypatch.setattr(pack_training, "arithmetic_of", lambda config: ours + 1)
    warnings: list[str] = []
    seen: list[PackProgress] = []
    train_pack(pack[:1], [folder], digits, warn=warnings.append, on_epoch=seen.append)
    assert f"another arithmetic (it was {ours}, now it is {ours + 1}). Set aside" in warnings[0]
    assert seen[0].epoch == 0
    record = folder.read_record()
    assert record is not None
    assert record.arithmetic == ours + 1


def test_run_alone_refuses_a_folder_with_another_trial_under_way_or_a_config_of_the_users_own(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    under_way, mine = TrialFolder(tmp_path / "under way"), TrialFolder(tmp_path / "mine")
    under_way.write_config(pack[0])
    train_pack(pack[:1], [under_way], digits, should_stop=Countdown(3))
    before = (under_way.path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(StoreError, match=f"holds {pack[0].trial_id}, not {pack[1].trial_id}"):
        run_trial(pack[1], under_way)
    assert (under_way.path / "checkpoint.safetensors").read_bytes() == before
    mine.path.mkdir()
    (mine.path / "config.yaml").write_text("epochs: 5  # as my supervisor wants it\n")
    with pytest.raises(
        StoreError, match=r"not the config of .*, and will not be overwritten; choose another output folder"
    ):
        run_trial(pack[1], mine)
    assert (mine.path / "config.yaml").read_text() == "epochs: 5  # as my supervisor wants it\n"


def test_run_alone_trains_again_what_was_damaged(tmp_path: Path, pack: list[TrialConfig]) -> None:
    folder = TrialFolder(tmp_path)
    run_trial(pack[0], folder)
    before = numbers(folder)
    with (tmp_path / "weights.safetensors").open("ab") as weights:
        weights.write(b"x")
    said: list[str] = []
    run_trial(pack[0], folder, say=said.append)
    assert (
        "weights.safetensors: damaged (its checksum is wrong). Set aside; the trial will be trained again." in said[0]
    )
    assert numbers(folder) == before


def test_weights_are_kept_only_if_asked_for(tmp_path: Path, make_config: MakeConfig, digits: Dataset) -> None:
    config = make_config(dataset="digits", epochs=1, save_weights="false")
    train_pack([config], [TrialFolder(tmp_path)], digits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.csv", "record.json"]
    assert TrialFolder(tmp_path).find().status == "done"


def test_the_module_keeps_its_word_on_epoch_seconds(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    """The epochs' seconds in the record add up to the record's training time, and to less than the clock's."""
    begun = time.perf_counter()
    train_pack(pack, folders(tmp_path, pack), digits)
    passed = time.perf_counter() - begun
    total = 0.0
    for folder in folders(tmp_path, pack):
        record = folder.read_record()
        assert record is not None
        assert len(record.timing["epoch_s"]) == 5
        assert sum(record.timing["epoch_s"]) == pytest.approx(record.timing["train_s"])
        total += record.timing["train_s"]
    assert 0 < total < passed


def test_a_pack_that_would_differ_trains_its_trials_one_after_another(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and the numbers stay those of a trial alone."""
    alone = folders(tmp_path / "alone", pack)
    for config, folder in zip(pack, alone, strict=True):
        train_pack([config], [folder], digits)
    said: list[str] = []
    stacked: list[bool] = []
    monkeypatch.setattr(pack_training, "packs_agree", lambda pack, dataset: False)
    real = pack_training.train

    def watched(*arguments: object, **options: object) -> object:
        stacked.append(bool(options["stacked"]))
        return real(*arguments, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(pack_training, "train", watched)
    train_pack(pack, folders(tmp_path / "pack", pack), digits, warn=said.append)
    assert stacked == [False]
    (message,) = said
    assert "rounds tanh-k16-" in message
    assert "its trials train one at a time" in message
    assert [numbers(folder) for folder in folders(tmp_path / "pack", pack)] == [numbers(folder) for folder in alone]


def test_a_worker_whose_driver_was_replaced_writes_nothing_more(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    """At whatever moment that happens, between two of its writes too: what was written is whole, and nothing follows."""
    for moment in range(1, 40):
        out = tmp_path / str(moment)
        asked, left = Countdown(moment), []

        def require(asked: Countdown = asked, out: Path = out, left: list[dict[Path, bytes]] = left) -> None:
            if asked():
                left.append({path: path.read_bytes() for path in out.rglob("*") if path.is_file()})
                raise TakenOverError

        with guarded(out, require), contextlib.suppress(TakenOverError):
            train_pack(pack, folders(out, pack), digits, warn=pytest.fail)
        if not left:
            break
        assert len(left) == 1, "it went on"
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == left[0]
    else:
        pytest.fail("there is no end to its questions")
    records = [folder.has_record() for folder in folders(tmp_path / str(moment - 3), pack)]
    assert records == [True, True, False], "it asks before each record"


@pytest.mark.parametrize("error", ["ValueError('two\\nlines')", "SystemExit('two lines')"])
def test_an_error_in_a_part_of_the_users_own_is_one_line_with_its_place(
    tmp_path: Path, make_config: MakeConfig, digits: Dataset, error: str
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(f"def wrong(z):\n    if z.shape[-1] == 16:\n        raise {error}\n    return z\n")
    config = make_config(dataset="digits", activation=f"{mine}:wrong", epochs=1)
    with pytest.raises(PartError, match=rf"^mine\.py, line 3: {error.partition('(')[0]}: two lines$"):
        train_pack([config], [TrialFolder(tmp_path / "out")], digits)
