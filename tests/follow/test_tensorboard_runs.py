"""tensorboard_runs.py: what a trial's run holds, and how runs are kept right, read back by TensorBoard's own reader."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from infomax_tune.follow import event_file
from infomax_tune.follow.progress import PackProgress
from infomax_tune.follow.tensorboard_runs import (
    Run,
    TrialRun,
    find_broken,
    mend,
    mend_unless_busy,
    of_run,
    of_sweep,
    refresh,
)
from infomax_tune.follow.weight_picture import tiles
from infomax_tune.packs.pack_training import train_pack
from infomax_tune.packs.run_trial import run_trial
from infomax_tune.science.data import Dataset
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from tests.conftest import MakeConfig
from tests.folders import Countdown
from tests.read_tensorboard import curves, event_files, read, told


def placed(root: Path, pack: Sequence[TrialConfig]) -> list[TrialRun]:
    """A place for each trial and its run, as in a sweep."""
    return of_sweep(Plan(pack), SweepFolder(root))


def train(trials: Sequence[TrialRun], dataset: Dataset, **arguments: object) -> None:
    train_pack(
        [trial.run.config for trial in trials],
        [trial.folder for trial in trials],
        dataset,
        runs=[trial.run for trial in trials],
        **arguments,  # pyright: ignore[reportArgumentType]
    )


class Crash:
    """Raises after that epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, progress: PackProgress) -> None:
        if progress.epoch == self.epoch:
            raise MemoryError


def test_a_run_holds_every_number_of_its_trial_packed_or_not(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    trials = placed(tmp_path / "packed", pack)
    train(trials, digits)
    assert [trial.run.folder.relative_to(tmp_path) for trial in trials] == [
        Path(f"packed/tensorboard/tanh/k16/seed{seed}") for seed in (1, 2, 3)
    ]
    for config, trial in zip(pack, trials, strict=True):
        found = curves(trial.run.folder)
        assert found == told(trial.folder)
        assert [epoch for epoch, _ in found["loss"]] == [1, 2, 3, 4, 5]
        assert [epoch for epoch, _ in found["effective_rank"]] == [0, 2, 4, 5]
        assert [epoch for epoch, _ in found["convergence_epoch"]] == [5]
        (alone,) = placed(tmp_path / "alone", [config])
        train([alone], digits)
        assert curves(alone.run.folder) == found
        record = trial.folder.read_record()
        assert record is not None
        assert record.timing["tensorboard_s"] > 0


def test_a_part_with_a_capital_letter_has_its_run(tmp_path: Path, make_config: MakeConfig, digits: Dataset) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text("def Half_2(z):\n    return z / 2\n")
    trials = placed(tmp_path, [make_config(dataset="digits", activation=f"{mine}:Half_2", epochs=1)])
    train(trials, digits)
    assert find_broken(tmp_path / "tensorboard", trials) == []


def test_relative_time_is_the_trials_training_time(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    """Also over a stop: what was trained before it is counted, the time between is not."""
    (trial,) = placed(tmp_path, pack[:1])
    train([trial], digits, should_stop=Countdown(4))
    train([trial], digits)
    walls = [event.wall_time for event in read(trial.run.folder).Scalars("loss")]
    record = trial.folder.read_record()
    assert record is not None
    assert np.diff(walls) == pytest.approx(record.timing["epoch_s"][1:], abs=1e-5)


def test_what_was_trained_before_lies_before_now(tmp_path: Path, make_config: MakeConfig) -> None:
    history = [{"epoch": 0}, *({"epoch": i, "loss": 1.0} for i in (1, 2, 3))]
    run = Run(tmp_path, make_config())
    before = time.time()
    run.begin(history, [100.0] * 3)
    after = time.time()
    run.add({"epoch": 4, "loss": 1.0}, 50.0)
    walls = [event.wall_time for event in read(tmp_path).Scalars("loss")]
    assert np.diff(walls) == pytest.approx([100, 100, 50], abs=1e-5)
    assert before - 1e-5 <= walls[2] <= after + 1e-5


@pytest.mark.parametrize("crash_after", [0, 1, 2, 3, 4])
def test_a_trial_that_goes_on_has_no_gap_and_no_doubled_step(
    crash_after: int, tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    """Checkpoints are of epochs 2 and 4: epochs 1 and 3 are seen, lost, and trained again."""
    trials = placed(tmp_path, pack)
    with pytest.raises(MemoryError):
        train(trials, digits, on_epoch=Crash(crash_after))
    assert [epoch for epoch, _ in curves(trials[0].run.folder).get("loss", [])] == list(range(1, crash_after + 1))
    train(trials, digits)
    for trial in trials:
        assert curves(trial.run.folder) == told(trial.folder)


def test_the_learned_weights_are_an_image(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    (trial,) = placed(tmp_path, pack[:1])
    train([trial], digits)
    (event,) = read(trial.run.folder).Images("weights")
    assert (event.step, event.width, event.height) == (5, 35, 35)  # 16 units: 4 x 4 tiles of 8 x 8, with lines between
    expected = tiles(trial.folder.read_weights()["weight"])
    assert expected is not None
    assert event.encoded_image_string == expected.png


def test_a_run_that_cannot_be_written_costs_no_trial_and_is_made_later(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    """A full disk, as /dev/full plays it; and a file where a folder must go."""
    trials = placed(tmp_path, pack)
    _, full, hidden = (trial.run.folder for trial in trials)
    warnings: list[str] = []

    def fill(progress: PackProgress) -> None:
        for path in event_files(full):
            path.unlink()
            path.symlink_to("/dev/full")

    hidden.parent.mkdir(parents=True)
    hidden.touch()
    train(trials, digits, on_epoch=fill, warn=warnings.append)
    assert all(trial.folder.has_record() for trial in trials)
    assert len(warnings) == 2
    assert re.search(
        r"seed3.*: cannot be written \(Not a directory\)\. TensorBoard will not show tanh-k16-s3", warnings[0]
    )
    assert re.search(r"seed2.*: cannot be written \(No space left on device\)", warnings[1])
    assert event_files(full) == []  # half a run would pass for a whole one
    hidden.unlink()
    assert mend(tmp_path / "tensorboard", trials) == []
    assert [curves(trial.run.folder) for trial in trials] == [told(trial.folder) for trial in trials]


def test_a_run_that_is_removed_while_it_is_trained_is_made_anew_and_never_in_part(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    trials = placed(tmp_path, pack)
    root = tmp_path / "tensorboard"

    def remove(progress: PackProgress) -> None:
        if progress.epoch == 3:
            shutil.rmtree(root)

    train(trials, digits, on_epoch=remove)
    assert event_files(tmp_path) == []
    assert mend(root, trials) == []
    assert [curves(trial.run.folder) for trial in trials] == [told(trial.folder) for trial in trials]


def test_mending_leaves_alone_what_is_right_and_what_is_not_ours(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    trials = placed(tmp_path, pack)
    train(trials, digits)
    mine = tmp_path / "tensorboard/mine/events.out.tfevents.1700000000.my-laptop.123.0"
    mine.parent.mkdir()
    mine.touch()
    before = {path: path.stat().st_mtime_ns for path in event_files(tmp_path)}
    assert mend(tmp_path / "tensorboard", trials) == []
    assert {path: path.stat().st_mtime_ns for path in event_files(tmp_path)} == before


def with_another_outcome(data: bytes) -> bytes:
    """The run of a trial that is done, ended once more as one that failed."""
    last = event_file.last_event(data)
    assert last is not None
    about = last.summary.value[0].metadata.plugin_data
    ending = HParamsPluginData.FromString(about.content)
    ending.session_end_info.status = STATUS_FAILURE
    about.content = ending.SerializeToString()
    return data + event_file.encode([last])


BREAK: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda data: b"",
    "cut": lambda data: data[:-9],
    "cut between two events": lambda data: event_file.encode([Event(step=1)] * 3),
    "flipped": lambda data: data[:500] + bytes([data[500] ^ 4]) + data[501:],
    "flipped in a length": lambda data: data[:4] + bytes([data[4] ^ 4]) + data[5:],
    "flipped at its end": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "of another outcome": with_another_outcome,
}


@pytest.mark.parametrize("name", BREAK)
def test_a_run_that_is_not_whole_is_found_and_made_anew(
    name: str, tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    trials = placed(tmp_path, pack)
    root = tmp_path / "tensorboard"
    train(trials, digits)
    assert find_broken(root, trials) == []
    (path,) = event_files(trials[1].run.folder)
    whole = path.read_bytes()
    path.write_bytes(BREAK[name](whole))
    assert path.read_bytes() != whole
    assert find_broken(root, trials) == [f"{path}: this TensorBoard run is incomplete or damaged."]
    others = {path: path.stat().st_mtime_ns for trial in trials[::2] for path in event_files(trial.run.folder)}
    assert mend(root, trials) == []
    assert find_broken(root, trials) == []
    assert curves(trials[1].run.folder) == told(trials[1].folder)
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_a_run_that_is_gone_is_found_and_one_of_a_trial_under_way_need_not_be_whole(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    trials = placed(tmp_path, pack)
    root = tmp_path / "tensorboard"
    train(trials[:2], digits)
    train(trials[2:], digits, should_stop=Countdown(4))
    shutil.rmtree(trials[0].run.folder)
    (torn,) = event_files(trials[2].run.folder)
    torn.write_bytes(torn.read_bytes()[:-9])
    assert find_broken(root, trials) == [f"{trials[0].run.folder}: its TensorBoard run is missing."]
    assert mend(root, trials) == []
    assert event_files(trials[2].run.folder) == [torn]
    assert curves(trials[0].run.folder) == told(trials[0].folder)


def test_an_activation_whose_name_holds_a_digit_has_runs_that_are_known_as_ours(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    """Begun twice, there is one; mended, it stays where it belongs and nowhere else."""
    config = make_config(dataset="digits")
    config = config.model_copy(update={"model": config.model.model_copy(update={"activation": "relu6"})})
    (trial,) = placed(tmp_path, [config])
    assert config.trial_id.startswith("relu6-k16-s1-")
    history = [{"epoch": 0}, {"epoch": 1, "loss": 2.0}]
    trial.run.begin(history, [1.0])
    trial.run.begin(history, [1.0])
    assert curves(tmp_path / "tensorboard/relu6/k16/seed1") == {"loss": [(1, 2.0)]}
    elsewhere = Run(tmp_path / "tensorboard/relu6/k16/lr=1/seed1", config)
    elsewhere.begin(history, [1.0])
    assert mend(tmp_path / "tensorboard", [trial]) == []
    assert [path.parent for path in event_files(tmp_path)] == [trial.run.folder]
    assert mend(tmp_path / "tensorboard", []) == []
    assert event_files(tmp_path) == []


def test_a_sweep_that_has_other_axes_now_has_its_runs_elsewhere_and_once(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    """A new axis moves them, also one that is half done; trials that are not in the sweep any more are not shown."""
    folder = SweepFolder(tmp_path)
    trials = placed(tmp_path, pack)
    train(trials[:2], digits)
    train(trials[2:], digits, should_stop=Countdown(4))
    before = [curves(trial.run.folder) for trial in trials]
    further = Plan(pack, ["loss.lambda_tc", "training.lr"])
    assert mend(folder.runs_folder, of_sweep(further, folder)) == []
    moved = [folder.runs_folder / f"tanh/k16/lambda_tc=1/lr=0.001/seed{seed}" for seed in (1, 2, 3)]
    assert [path.parent for path in event_files(tmp_path)] == moved
    assert [curves(path) for path in moved] == before
    assert {path.name for path in (folder.runs_folder / "tanh/k16").iterdir()} == {"lambda_tc=1"}
    assert mend(folder.runs_folder, trials[1:]) == []
    assert [path.parent for path in event_files(tmp_path)] == [trial.run.folder for trial in trials[1:]]
    assert [curves(trial.run.folder) for trial in trials[1:]] == before[1:]


def test_a_damaged_trial_has_no_run_and_stops_no_other(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    trials = placed(tmp_path, pack)
    folders = [trial.folder for trial in trials]
    train_pack(pack[:2], folders[:2], digits)
    train_pack(pack[2:], folders[2:], digits, should_stop=Countdown(3))
    with (folders[0].path / "weights.safetensors").open("ab") as weights:
        weights.write(b"x")
    with (folders[2].path / "checkpoint.safetensors").open("ab") as checkpoint:
        checkpoint.write(b"x")
    assert mend(tmp_path / "tensorboard", trials) == []
    assert [path.parent for path in event_files(tmp_path)] == [trials[1].run.folder]
    shutil.rmtree(tmp_path / "tensorboard")
    (tmp_path / "tensorboard").touch()
    (problem,) = mend(tmp_path / "tensorboard", trials)
    assert "cannot be written" in problem


def test_where_a_sweep_is_at_work_nothing_is_mended(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    trials = placed(tmp_path, pack)
    train_pack(pack, [trial.folder for trial in trials], digits)
    with SweepFolder(tmp_path).lock():
        assert mend_unless_busy(tmp_path, trials) == []
        assert event_files(tmp_path) == []
    assert mend_unless_busy(tmp_path, trials) == []
    assert len(event_files(tmp_path)) == 3


def test_a_run_of_its_own_is_seen_too_and_made_anew(tmp_path: Path, pack: list[TrialConfig]) -> None:
    folder = TrialFolder(tmp_path / "alone")
    run_trial(pack[0], folder)
    its_run = folder.path / "tensorboard/tanh/k16/seed1"
    assert curves(its_run) == told(folder)
    before = read(its_run).Images("weights")
    shutil.rmtree(folder.path / "tensorboard")
    assert mend_unless_busy(folder.path, of_run(folder)) == []
    assert curves(its_run) == told(folder)
    assert [event.encoded_image_string for event in read(its_run).Images("weights")] == [
        event.encoded_image_string for event in before
    ]
    run_trial(pack[0], folder)  # is taken for what it is: done


def test_runs_made_elsewhere_follow_their_trials_to_the_end(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command does for an object store, where no worker writes a run."""
    out, copy = tmp_path / "out", tmp_path / "copy"
    trials = of_sweep(Plan(pack[:2]), SweepFolder(out), copy)
    folders = [trial.folder for trial in trials]
    assert refresh(out, trials) == []
    assert event_files(copy) == []
    train_pack(pack[:1], folders[:1], digits, should_stop=Countdown(4))
    train_pack(pack[1:2], folders[1:], digits)
    assert refresh(out, trials) == []
    assert [epoch for epoch, _ in curves(trials[0].run.folder)["loss"]] == [1, 2, 3]
    assert curves(trials[1].run.folder) == told(folders[1])
    before = event_files(copy)
    assert refresh(out, trials) == []
    assert event_files(copy) == before
    train_pack(pack[:1], folders[:1], digits)
    assert refresh(out, trials) == []
    assert [curves(trial.run.folder) for trial in trials] == [told(folder) for folder in folders]

    def read(folder: TrialFolder) -> None:
        raise AssertionError("a trial whose run is complete need not be read")

    monkeypatch.setattr(TrialFolder, "kept", read)
    assert refresh(out, trials) == []
