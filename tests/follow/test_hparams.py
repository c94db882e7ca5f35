"""tensorboard_runs.py: a whole sweep on the page that compares settings, read by TensorBoard's own HParams plugin."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.plugins.hparams import api_pb2

from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study import columns
from infomax_tune.study.space import SearchSpace
from tests.folders import INTERRUPTED, make_interrupted_sweep, space_of
from tests.read_tensorboard import curves, event_files, hparams, read, told


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchSpace, SweepFolder]:
    """A sweep with trials done, diverged and half done, in a folder whose name has odd characters."""
    return make_interrupted_sweep(tmp_path_factory.mktemp("out") / "a study, 50% [x] & äö")


def value(of: Any) -> Any:
    return getattr(of, of.WhichOneof("kind"))


def test_every_trial_is_shown_with_its_settings_its_metrics_and_how_it_ended(
    study: tuple[SearchSpace, SweepFolder],
) -> None:
    """Also those that a kill left half done, and those that diverged."""
    space, sweep = study
    experiment, groups = hparams(sweep.runs_folder)
    assert {info.name for info in experiment.hparam_infos} == set(columns.SETTINGS)
    named = {group.name: group for group in groups}
    assert set(named) == {config.trial_id for config in space.trials()}
    for config in space.trials():
        group, folder = named[config.trial_id], sweep.trial(config.trial_id)
        flat = config.flat()
        assert {name: value(of) for name, of in group.hparams.items()} == {
            # whole numbers as text, since TensorBoard would show 16.000
            column: str(flat[name]) if isinstance(flat[name], int) else flat[name]
            for column, name in columns.SETTINGS.items()
        }
        (session,) = group.sessions
        run = sweep.run_folder(config, space.further_axes())
        assert session.name == str(run.relative_to(sweep.runs_folder))
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


def test_a_diverged_trials_curves_end_where_its_numbers_do(study: tuple[SearchSpace, SweepFolder]) -> None:
    space, sweep = study
    trial_id = next(config.trial_id for config in space.trials() if config.training.lr == 1e30)
    run = sweep.runs_folder / "identity/k16/lr=1e+30/seed1"
    found = curves(run)
    assert found == told(sweep.trial(trial_id))
    assert "effective_rank" in found  # of epoch 0
    assert "weights" not in read(run).Tags()["images"]


def test_further_axes_are_folders_and_no_two_trials_share_one(study: tuple[SearchSpace, SweepFolder]) -> None:
    space, sweep = study
    assert space.further_axes() == ["training.lr"]  # objective has but one value
    runs = [sweep.run_folder(config, space.further_axes()) for config in space.trials()]
    assert len(set(runs)) == 8
    assert sorted({path.parent for path in event_files(sweep.runs_folder)}) == sorted(runs)
    more = space_of(INTERRUPTED.replace("objective: [infomax]", "head: [softmax, none]"))
    runs = [sweep.run_folder(config, more.further_axes()).relative_to(sweep.root) for config in more.trials()]
    assert len(set(runs)) == 16
    # in alphabetical order, whatever the order in the space
    assert runs[0] == Path("tensorboard/identity/k16/head=softmax/lr=0.01/seed1")
