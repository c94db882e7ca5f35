"""TensorBoard's runs, read back by TensorBoard itself: its event reader, its HParams plugin and its page in a browser."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups
from tensorboard_data_server import server_binary

from infomax_tune.errors import ResourceError
from infomax_tune.follow import tensorboard_runs
from infomax_tune.follow.tensorboard_runs import Run, mend, mend_unless_busy, of_run, of_sweep
from infomax_tune.follow.weight_picture import tiles
from infomax_tune.packs.pack_training import Progress, run_trial, train_pack
from infomax_tune.science.data import Dataset
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import columns, yaml_document
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_space import parse_space
from infomax_tune.study.space import SearchSpace
from tests.command import COMMAND, infomax_tune, start, wait_until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DATA_SERVER = server_binary()
PLAYWRIGHT = importlib.util.find_spec("playwright")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]

MakeConfig = Callable[..., TrialConfig]
Curves = dict[str, list[tuple[int, float]]]


def event_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if "tfevents" in path.name)


def read(folder: Path) -> EventAccumulator:
    """A run as TensorBoard's own reader sees it, with nothing sampled away."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def curves(folder: Path) -> Curves:
    """Every scalar of a run, by tag. A run is one file, and no step of a curve is in it twice, or late."""
    (path,) = event_files(folder)
    steps: dict[str, list[int]] = {}
    for event in LegacyEventFileLoader(str(path)).Load():  # the accumulator may drop what is doubled
        for value in event.summary.value:
            steps.setdefault(value.tag, []).append(event.step)
    assert all(np.diff(taken).min(initial=1) > 0 for taken in steps.values())
    accumulator = read(folder)
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def told(trial: TrialFolder) -> Curves:
    """What a finished trial's own files tell, as TensorBoard keeps it: float32, and only what was measured."""
    record, history = trial.read_record(), trial.read_history()
    assert record is not None
    found: Curves = {}
    for name in columns.HISTORY[1:]:
        rows = [(int(epoch), value) for epoch, value in zip(history["epoch"], history[name], strict=True)]
        found[name] = [(epoch, float(np.float32(value))) for epoch, value in rows if math.isfinite(value)]
    for name in ("convergence_epoch", "probe_accuracy"):
        found[name] = [(record.epoch, float(np.float32(record.result[name])))] if name in record.result else []
    return {name: rows for name, rows in found.items() if rows}


@pytest.fixture
def pack(make_config: MakeConfig) -> list[TrialConfig]:
    return [
        make_config(dataset="digits", activation="tanh", epochs=5, save_metrics_every=2, checkpoint_every=2, seed=seed)
        for seed in (1, 2, 3)
    ]


def trials(root: Path, pack: Sequence[TrialConfig]) -> tuple[list[TrialFolder], list[Run]]:
    """A place for each trial and its run, as in a sweep."""
    store = SweepFolder(root)
    pairs = of_sweep(pack, store, [])
    return [folder for folder, _ in pairs], [run for _, run in pairs]


def test_a_run_holds_every_number_of_its_trial_packed_or_not(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    folders, runs = trials(tmp_path / "packed", pack)
    train_pack(pack, folders, digits, runs=runs)
    assert [run.folder.relative_to(tmp_path) for run in runs] == [
        Path(f"packed/tensorboard/tanh/k16/seed{seed}") for seed in (1, 2, 3)
    ]
    for config, folder, run in zip(pack, folders, runs, strict=True):
        found = curves(run.folder)
        assert found == told(folder)
        assert [epoch for epoch, _ in found["loss"]] == [1, 2, 3, 4, 5]
        assert [epoch for epoch, _ in found["effective_rank"]] == [0, 2, 4, 5]
        assert [epoch for epoch, _ in found["convergence_epoch"]] == [5]
        alone, its_run = trials(tmp_path / "alone", [config])
        train_pack([config], alone, digits, runs=its_run)
        assert curves(its_run[0].folder) == found
        record = folder.read_record()
        assert record is not None
        assert record.timing["tensorboard_s"] > 0


def test_relative_time_is_the_trials_training_time(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    """Also over a stop: what was trained before it is counted, the time between is not."""
    folders, runs = trials(tmp_path, pack[:1])
    train_pack(pack[:1], folders, digits, runs=runs, should_stop=Countdown(4))
    train_pack(pack[:1], folders, digits, runs=runs)
    walls = [event.wall_time for event in read(runs[0].folder).Scalars("loss")]
    assert np.diff(walls) == pytest.approx(folders[0].read_history()["epoch_s"].to_numpy()[2:], abs=1e-5)


def test_what_was_trained_before_lies_before_now(tmp_path: Path, make_config: MakeConfig) -> None:
    history = [{"epoch": 0, "epoch_s": math.nan}, *({"epoch": i, "epoch_s": 100.0, "loss": 1.0} for i in (1, 2, 3))]
    run = Run(tmp_path, make_config())
    run.begin(history)
    run.add({"epoch": 4, "epoch_s": 50.0, "loss": 1.0})
    walls = np.array([event.wall_time for event in read(tmp_path).Scalars("loss")]) - time.time()
    assert walls == pytest.approx([-200, -100, 0, 50], abs=20)


class Countdown:
    """True from the n-th time it is asked."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self) -> bool:
        self.n -= 1
        return self.n <= 0


@pytest.mark.parametrize("crash_after", [0, 1, 2, 3, 4])
def test_a_trial_that_goes_on_has_no_gap_and_no_doubled_step(
    crash_after: int, tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    """Checkpoints are of epochs 2 and 4: epochs 1 and 3 are seen, lost, and trained again."""
    folders, runs = trials(tmp_path, pack)

    with pytest.raises(MemoryError):
        train_pack(pack, folders, digits, on_epoch=Crash(crash_after), runs=runs)
    assert [epoch for epoch, _ in curves(runs[0].folder).get("loss", [])] == list(range(1, crash_after + 1))
    train_pack(pack, folders, digits, runs=runs)
    for folder, run in zip(folders, runs, strict=True):
        assert curves(run.folder) == told(folder)


class Crash:
    """Raises after that epoch."""

    def __init__(self, epoch: int | None) -> None:
        self.epoch = epoch

    def __call__(self, progress: Progress) -> None:
        if progress.epoch == self.epoch:
            raise MemoryError


@pytest.mark.parametrize(
    "faults",
    [
        ["tensorboard:half:4"],  # within an epoch
        ["tensorboard:half:4", "tensorboard:removed:1"],  # between the removal of the old run and the new one
        ["tensorboard:ended:1"],  # before the record
    ],
)
def test_a_kill_inside_a_write_leaves_no_trace(faults: list[str], tmp_path: Path) -> None:
    settings = ["dataset=digits", "epochs=6", "checkpoint_every=2", "save_metrics_every=3", "--out", "run"]
    folder = TrialFolder(tmp_path / "run")
    for fault in faults:
        environment = os.environ | {"INFOMAX_TUNE_FAULT": fault}
        killed = subprocess.run([*COMMAND, "run", *settings], env=environment, capture_output=True, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert not folder.has_record()
    infomax_tune("run", *settings)
    assert curves(folder.path / "tensorboard/relu/k16/seed1") == told(folder)
    assert len(event_files(tmp_path)) == 1


def test_the_learned_weights_are_an_image(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    folders, runs = trials(tmp_path, pack[:1])
    train_pack(pack[:1], folders, digits, runs=runs)
    (event,) = read(runs[0].folder).Images("weights")
    assert (event.step, event.width, event.height) == (5, 35, 35)  # 16 units: 4 x 4 tiles of 8 x 8, with lines between
    expected = tiles(folders[0].read_weights()["weight"])
    assert expected is not None
    assert event.encoded_image_string == expected[0]


@pytest.mark.parametrize(
    ("k", "d", "shape"), [(64, 784, (231, 231)), (32, 784, (173, 173)), (3, 64, (17, 17)), (1000, 16, (79, 79))]
)
def test_each_tile_is_a_units_weights_red_where_positive_and_blue_where_negative(
    k: int, d: int, shape: tuple[int, int]
) -> None:
    weight = np.random.default_rng(0).normal(size=(k, d)).astype(np.float32)
    picture = tiles(weight)
    assert picture is not None
    image = Image.open(io.BytesIO(picture[0]))
    assert (image.height, image.width) == picture[1:] == shape
    pixels = np.asarray(image.convert("RGB")).astype(int)
    side = math.isqrt(d)
    across = (shape[1] + 1) // (side + 1)
    shown = weight[:256]
    for i, unit in enumerate(shown):
        top, left = (i // across) * (side + 1), (i % across) * (side + 1)
        tile = pixels[top : top + side, left : left + side].reshape(d, 3)
        strong = np.abs(unit) > np.abs(shown).max() / 10
        assert (np.sign(tile[:, 0] - tile[:, 2]) == np.sign(unit))[strong].all()
        assert (tile[~strong].min(axis=1) > 200).all()  # near white
    # the line below the first tile
    assert (pixels[side, :side] == 128).all()


@pytest.mark.parametrize("weight", [np.ones((16, 2), np.float32), np.full((4, 64), np.nan, np.float32)])
def test_what_is_no_image_is_not_drawn(weight: np.ndarray) -> None:
    assert tiles(weight) is None


def test_weights_that_are_all_zero_are_drawn_white() -> None:
    picture = tiles(np.zeros((1, 16), np.float32))
    assert picture is not None
    assert (np.asarray(Image.open(io.BytesIO(picture[0])).convert("RGB")) == 0xF7).all()


def test_a_run_that_cannot_be_written_costs_no_trial_and_is_made_later(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    """A full disk, as /dev/full plays it; and a file where a folder must go."""
    folders, runs = trials(tmp_path, pack)
    warnings: list[str] = []

    def fill(progress: Progress) -> None:
        for path in event_files(runs[1].folder):
            path.unlink()
            path.symlink_to("/dev/full")

    runs[2].folder.parent.mkdir(parents=True)
    runs[2].folder.touch()
    train_pack(pack, folders, digits, on_epoch=fill, runs=runs, warn=warnings.append)
    assert all(folder.has_record() for folder in folders)
    assert len(warnings) == 2
    assert re.search(r"seed3.*: cannot be written \(File exists\)\. TensorBoard does not show tanh-k16-s3", warnings[0])
    assert re.search(r"seed2.*: cannot be written \(No space left on device\)", warnings[1])
    assert event_files(runs[1].folder) == []  # half a run would pass for a whole one
    runs[2].folder.unlink()
    assert mend(tmp_path / "tensorboard", list(zip(folders, runs, strict=True))) == []
    assert [curves(run.folder) for run in runs] == [told(folder) for folder in folders]


def test_a_run_that_is_removed_while_it_is_trained_is_made_anew_and_never_in_part(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    folders, runs = trials(tmp_path, pack)
    root = tmp_path / "tensorboard"

    def remove(progress: Progress) -> None:
        if progress.epoch == 3:
            shutil.rmtree(root)

    train_pack(pack, folders, digits, on_epoch=remove, runs=runs)
    assert event_files(tmp_path) == []
    assert mend(root, list(zip(folders, runs, strict=True))) == []
    assert [curves(run.folder) for run in runs] == [told(folder) for folder in folders]


def test_mending_leaves_alone_what_is_right_and_what_is_not_ours(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    folders, runs = trials(tmp_path, pack)
    train_pack(pack, folders, digits, runs=runs)
    mine = tmp_path / "tensorboard/mine/events.out.tfevents.1700000000.my-laptop.123.0"
    mine.parent.mkdir()
    mine.touch()
    before = {path: path.stat().st_mtime_ns for path in event_files(tmp_path)}
    assert mend(tmp_path / "tensorboard", list(zip(folders, runs, strict=True))) == []
    assert {path: path.stat().st_mtime_ns for path in event_files(tmp_path)} == before


def test_a_sweep_that_has_other_axes_now_has_its_runs_elsewhere_and_once(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    """A new axis moves them, also one that is half done; trials that are not in the sweep any more are not shown."""
    store = SweepFolder(tmp_path)
    folders, runs = trials(tmp_path, pack)
    train_pack(pack[:2], folders[:2], digits, runs=runs[:2])
    train_pack(pack[2:], folders[2:], digits, runs=runs[2:], should_stop=Countdown(4))
    before = [curves(run.folder) for run in runs]
    assert mend(store.runs_folder, of_sweep(pack, store, ["loss.lambda_tc", "training.lr"])) == []
    moved = [store.runs_folder / f"tanh/k16/lambda_tc=1/lr=0.001/seed{seed}" for seed in (1, 2, 3)]
    assert [path.parent for path in event_files(tmp_path)] == moved
    assert [curves(folder) for folder in moved] == before
    assert {path.name for path in (store.runs_folder / "tanh/k16").iterdir()} == {"lambda_tc=1"}
    assert mend(store.runs_folder, of_sweep(pack[1:], store, [])) == []
    assert [path.parent for path in event_files(tmp_path)] == [run.folder for run in runs[1:]]
    assert [curves(run.folder) for run in runs[1:]] == before[1:]


def test_a_damaged_trial_has_no_run_and_stops_no_other(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset
) -> None:
    folders, runs = trials(tmp_path, pack)
    train_pack(pack[:2], folders[:2], digits)
    train_pack(pack[2:], folders[2:], digits, should_stop=Countdown(3))
    with (folders[0].path / "weights.safetensors").open("ab") as weights:
        weights.write(b"x")
    with (folders[2].path / "checkpoint.safetensors").open("ab") as checkpoint:
        checkpoint.write(b"x")
    assert mend(tmp_path / "tensorboard", list(zip(folders, runs, strict=True))) == []
    assert [path.parent for path in event_files(tmp_path)] == [runs[1].folder]
    shutil.rmtree(tmp_path / "tensorboard")
    (tmp_path / "tensorboard").touch()
    (problem,) = mend(tmp_path / "tensorboard", list(zip(folders, runs, strict=True)))
    assert "cannot be written" in problem


def test_where_a_sweep_is_at_work_nothing_is_mended(tmp_path: Path, pack: list[TrialConfig], digits: Dataset) -> None:
    folders, runs = trials(tmp_path, pack)
    train_pack(pack, folders, digits)
    pairs = list(zip(folders, runs, strict=True))
    with SweepFolder(tmp_path).lock():
        assert mend_unless_busy(tmp_path, pairs) == []
        assert event_files(tmp_path) == []
    assert mend_unless_busy(tmp_path, pairs) == []
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


STUDY = """
name: study
description: Two activations, two learning rates of which one is too large, two seeds.
base:
  data: {dataset: digits}
  training: {epochs: 4, optimizer: sgd}
  logging: {save_metrics_every: 2, checkpoint_every: 1}
axes:
  lr: [0.01, 1e30]
  activation: [identity, relu]
  objective: [infomax]
  seed: [1, 2]
"""


def space_of(text: str) -> SearchSpace:
    return parse_space(yaml_document.parse(text, "test"), "test", None, {})[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, digits: Dataset) -> Path:
    """A sweep as a kill leaves it: trials done, diverged and half done, in a folder whose name has odd characters."""
    store = SweepFolder(tmp_path_factory.mktemp("out") / "a study, 50% [x] & äö")
    store.create()
    space = space_of(STUDY)
    store.write_sweep(space.as_dict())
    for config in space.trials():
        ((folder, run),) = of_sweep([config], store, space.further_axes())
        half = config.training.seed == 2 and config.model.activation == "relu"
        train_pack([config], [folder], digits, runs=[run], should_stop=Countdown(3) if half else lambda: False)
    return store.root


def hparams(root: Path) -> tuple[Any, list[Any]]:
    """The experiment and its sessions, as TensorBoard's HParams plugin finds them."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(root))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(root))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=str(root)))
    found = context.hparams_metadata(RequestContext(), "")
    experiment = get_experiment.Handler(RequestContext(), context, "", api_pb2.GetExperimentRequest()).run()
    assert found
    statuses = [api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING]
    request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=1000, allowed_statuses=statuses)
    groups = list_session_groups.Handler(RequestContext(), context, "", request).run().session_groups
    return experiment, list(groups)


def value(of: Any) -> Any:
    return getattr(of, of.WhichOneof("kind"))


def test_hparams_shows_every_trial_with_its_settings_its_metrics_and_how_it_ended(study: Path) -> None:
    """Also those that a kill left half done, and those that diverged."""
    space, store = space_of(STUDY), SweepFolder(study)
    experiment, groups = hparams(store.runs_folder)
    assert {info.name for info in experiment.hparam_infos} == set(columns.SETTINGS)
    named = {group.name: group for group in groups}
    assert set(named) == {config.trial_id for config in space.trials()}
    for config in space.trials():
        group, folder = named[config.trial_id], store.trial(config.trial_id)
        flat = config.flat()
        assert {name: value(of) for name, of in group.hparams.items()} == {
            column: flat[name] for column, name in columns.SETTINGS.items()
        }
        (session,) = group.sessions
        run = store.run_folder(config, space.further_axes())
        assert session.name == str(run.relative_to(store.runs_folder))
        metrics = {metric.name.tag: metric.value for metric in group.metric_values}
        record = folder.read_record()
        if record is None:
            assert session.status == api_pb2.STATUS_UNKNOWN  # nobody told its end
            checkpoint = folder.read_checkpoint()
            assert checkpoint is not None
            assert metrics["loss"] == np.float32(checkpoint.history[-1]["loss"])
        elif record.status == "diverged":
            assert session.status == api_pb2.STATUS_FAILURE
            assert all(map(math.isfinite, metrics.values()))
        else:
            assert session.status == api_pb2.STATUS_SUCCESS
            result = {name: np.float32(number) for name, number in record.result.items() if math.isfinite(number)}
            assert metrics == result
            assert session.end_time_secs - session.start_time_secs == pytest.approx(record.timing["train_s"], abs=1e-5)
    statuses = [group.sessions[0].status for group in groups]
    assert sorted(statuses) == sorted([1] * 3 + [2] * 4 + [0]), "the study is not what the test wants it to be"


def test_a_diverged_trials_curves_end_where_its_numbers_do(study: Path) -> None:
    trial_id = next(config.trial_id for config in space_of(STUDY).trials() if config.training.lr == 1e30)
    found = curves(study / "tensorboard/identity/k16/lr=1e+30/seed1")
    assert found == told(SweepFolder(study).trial(trial_id))
    assert "effective_rank" in found  # of epoch 0
    assert "weights" not in read(study / "tensorboard/identity/k16/lr=1e+30/seed1").Tags()["images"]


def test_further_axes_are_folders_and_no_two_trials_share_one(study: Path) -> None:
    space, store = space_of(STUDY), SweepFolder(study)
    assert space.further_axes() == ["training.lr"]  # objective has but one value
    runs = [store.run_folder(config, space.further_axes()) for config in space.trials()]
    assert len(set(runs)) == 8
    assert sorted({path.parent for path in event_files(study / "tensorboard")}) == sorted(runs)
    more = space_of(STUDY.replace("objective: [infomax]", "head: [softmax, none]"))
    runs = [store.run_folder(config, more.further_axes()).relative_to(study) for config in more.trials()]
    assert len(set(runs)) == 16
    # in alphabetical order, whatever the order in the space
    assert runs[0] == Path("tensorboard/identity/k16/head=softmax/lr=0.01/seed1")


def test_a_sweep_that_is_killed_resumed_extended_and_stripped_shows_the_same_curves(tmp_path: Path) -> None:
    """On real Ray: SIGKILL of the driver, then one more axis, then another pack size, then no folder at all."""
    out = tmp_path / "sweep"
    settings = ["epochs=60", "checkpoint_every=4", "activation=[relu, tanh]", "seed=[1, 2]"]
    options = [word for setting in settings for word in ("--set", setting)]
    sweep = start("sweep", "quickstart", *options, "--no-report", "--out", out)
    wait_until(lambda: any(out.glob("trials/*/checkpoint.safetensors")))
    family = psutil.Process(sweep.pid).children(recursive=True)
    sweep.kill()
    sweep.communicate(timeout=60)
    _, left = psutil.wait_procs(family, timeout=5)  # Ray's own end
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    missing = [path for path in (out / "trials").iterdir() if not (path / "record.json").exists()]
    assert missing, "the kill came too late to be a test"
    _, groups = hparams(out / "tensorboard")
    assert {path.name for path in missing} <= {group.name for group in groups}

    infomax_tune("resume", out)
    check_sweep(out)
    assert {run.relative_to(out / "tensorboard").as_posix() for run in runs_in(out)} == {
        f"{activation}/k16/seed{seed}" for activation in ("relu", "tanh") for seed in (1, 2)
    }
    packed = {run.relative_to(out / "tensorboard").as_posix(): curves(run) for run in runs_in(out)}

    infomax_tune("sweep", "quickstart", *options, "--set", "lambda_tc=[1, 10]", "--out", out)
    check_sweep(out)
    extended = {run.relative_to(out / "tensorboard").as_posix(): curves(run) for run in runs_in(out)}
    assert len(extended) == 8
    for name, before in packed.items():
        assert extended[name.replace("k16/", "k16/lambda_tc=1/")] == before

    infomax_tune("sweep", "quickstart", *options, "--pack", 1, "--out", tmp_path / "alone")
    assert {
        run.relative_to(tmp_path / "alone/tensorboard").as_posix(): curves(run) for run in runs_in(tmp_path / "alone")
    } == packed

    shutil.rmtree(out / "tensorboard")
    assert "8 trials: 8 done" in infomax_tune("resume", out).stdout
    assert {run.relative_to(out / "tensorboard").as_posix(): curves(run) for run in runs_in(out)} == extended
    check_sweep(out)
    assert "no damage" in infomax_tune("verify", out).stdout


def runs_in(out: Path) -> list[Path]:
    return [path.parent for path in event_files(out / "tensorboard")]


def check_sweep(out: Path) -> None:
    """Every trial of the sweep has its curves, its image and its metrics; none has them twice."""
    runs = runs_in(out)
    _, groups = hparams(out / "tensorboard")
    assert len(runs) == len(set(runs)) == len(groups)
    for group in groups:
        (session,) = group.sessions
        assert session.status == api_pb2.STATUS_SUCCESS
        run, trial = out / "tensorboard" / session.name, SweepFolder(out).trial(group.name)
        found = told(trial)
        assert curves(run) == found
        assert len(read(run).Images("weights")) == 1
        assert {metric.name.tag: metric.value for metric in group.metric_values} == {
            tag: rows[-1][1] for tag, rows in found.items()
        }
        trained_s = trial.read_history()["epoch_s"].sum()
        assert session.end_time_secs - session.start_time_secs == pytest.approx(trained_s, abs=1e-5)


@pytest.fixture
def port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def served(out: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """The command, until it has said where it listens and answers there; ended by Ctrl-C."""
    server = start("tensorboard", out, "--port", port)
    try:
        wait_until(lambda: server.poll() is not None or answers(port))
        yield server
    finally:
        server.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(30)
        server.kill()


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; on Debian: apt-get install chromium")
@pytest.mark.skipif(PLAYWRIGHT is None, reason="playwright is not installed; pip install axe-playwright-python")
def test_the_page_shows_every_run_its_curves_its_weights_and_its_settings(study: Path, port: int) -> None:
    """TensorBoard as the command opens it, in a browser, at the address that the command tells."""
    from playwright.sync_api import expect, sync_playwright

    space, store = space_of(STUDY), SweepFolder(study)
    runs = [run for _, run in of_sweep(space.trials(), store, space.further_axes())]
    names = sorted(run.folder.relative_to(store.runs_folder).as_posix() for run in runs)
    complaints: list[str] = []
    with served(study, port) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        hint, whole_view = server.stdout.readline(), server.stdout.readline().split(": ")[1]
        assert f"http://localhost:{port}/" in hint
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1200})
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(whole_view.strip())
        table = page.locator("runs-data-table")
        for name in names:
            expect(table.get_by_text(name, exact=True)).to_be_visible(timeout=60_000)
        swatches = table.locator("tb-data-table-content-row .run-color-swatch")
        colors = swatches.evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
        by_activation = {(name.split("/")[0], color) for name, color in zip(names, colors, strict=True)}
        assert len(by_activation) == len(dict(by_activation)) == len(set(colors)) == 2
        tags = {tag for name in names for tag in curves(store.runs_folder / name)}
        expect(page.get_by_text(f"{len(tags)} cards", exact=True)).to_be_visible(timeout=60_000)
        for tag in ("effective_rank", "loss"):
            page.get_by_role("combobox", name="Filter tags").fill(f"^{tag}$")
            card = page.locator("scalar-card", has_text=tag)
            expect(card).to_have_count(1, timeout=60_000)
            for name in names:
                if tag in curves(store.runs_folder / name):
                    expect(card.locator("scalar-card-data-table").get_by_text(name, exact=True)).to_be_attached()
        page.goto(f"http://localhost:{port}/#images")
        expect(page.get_by_text("tag: weights")).to_have_count(3, timeout=60_000)
        page.goto(f"http://localhost:{port}/#hparams")
        for config in space.trials():
            expect(page.get_by_text(config.trial_id, exact=True).first).to_be_visible(timeout=60_000)
        browser.close()
    assert complaints == []
    assert server.returncode in (0, -signal.SIGINT)  # TensorBoard answers before it handles Ctrl-C
    assert "Traceback" not in server.communicate()[1]


@pytest.mark.skipif(not DATA_SERVER, reason="TensorBoard has no data server for this machine, and must be restarted")
def test_a_page_that_is_open_over_a_crash_forgets_what_was_lost(
    tmp_path: Path, pack: list[TrialConfig], digits: Dataset, port: int
) -> None:
    folder = TrialFolder(tmp_path / "alone")
    folder.write_config(pack[0])
    its_run = Run(folder.run_folder(pack[0]), pack[0])
    with pytest.raises(MemoryError):
        train_pack(pack[:1], [folder], digits, on_epoch=Crash(3), runs=[its_run])

    def shown() -> list[float]:
        address = f"http://localhost:{port}/data/plugin/scalars/scalars?tag=loss&run=tanh%2Fk16%2Fseed1"
        with contextlib.suppress(OSError), urllib.request.urlopen(address) as answer:  # 404 until it has read the run
            return [number for _, _, number in json.load(answer)]
        return []

    with served(folder.path, port):
        wait_until(lambda: len(shown()) == 3)
        train_pack(pack[:1], [folder], digits, runs=[its_run])
        wait_until(lambda: len(shown()) == 5)
        assert shown() == pytest.approx([number for _, number in told(folder)["loss"]])


def test_the_command_makes_what_is_missing_and_takes_a_run_of_its_own(
    tmp_path: Path, pack: list[TrialConfig], port: int
) -> None:
    folder = TrialFolder(tmp_path / "alone")
    run_trial(pack[0], folder)
    shutil.rmtree(folder.path / "tensorboard")
    with served(folder.path, port) as server:
        assert server.poll() is None
    assert server.returncode in (0, -signal.SIGINT)  # TensorBoard answers before it handles Ctrl-C
    assert curves(folder.path / "tensorboard/tanh/k16/seed1") == told(folder)


def test_a_folder_that_is_no_sweep_and_a_port_that_is_taken_are_said(tmp_path: Path, study: Path) -> None:
    nothing = infomax_tune("tensorboard", tmp_path, ok=False)
    assert nothing.returncode == 2
    assert "is not a sweep's output folder" in nothing.stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        refused = infomax_tune("tensorboard", study, "--port", number, "--host", "127.0.0.1", ok=False)
        assert refused.returncode == 2
        assert f"cannot serve at 127.0.0.1:{number} (Address already in use); choose another --port" in refused.stderr
        with pytest.raises(ResourceError, match=r"cannot serve at 192\.0\.2\.1:6006"):
            tensorboard_runs.free_port("192.0.2.1", None)
