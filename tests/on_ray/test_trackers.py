"""trackers.py and tracker_feed.py: finished trials are handed to callbacks of Ray's, and what goes wrong stays theirs."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.tune.logger import LoggerCallback

from infomax_tune.follow.display import Display, Lines
from infomax_tune.on_ray import tracker_feed
from infomax_tune.on_ray.cluster import cluster
from infomax_tune.on_ray.tracker_feed import TrackerFeed
from infomax_tune.store.record import HistoryRow, Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.options import Options
from infomax_tune.study.plan import Plan
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from infomax_tune.study.trial_status import TrialStatus
from tests.command import wait_until
from tests.read_trackers import forget_the_user

pytestmark = pytest.mark.filterwarnings(
    # MLflow's own use of SQLAlchemy, when a test reads its database
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning",
)


@pytest.fixture(autouse=True)
def _of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_the_user(monkeypatch)


class Recorder(LoggerCallback):
    """Remembers what it is told; raises at one trial."""

    def __init__(self, bad: str = "") -> None:
        self.told: list[str] = []
        self.bad = bad

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        if str(trial) == self.bad:
            raise RuntimeError("it has had enough\nand more lines")

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self.told.append(str(trial))


@pytest.fixture
def few(tmp_path: Path) -> tuple[SweepFolder, Plan]:
    """A sweep's folder with three finished trials, made without training."""
    space, _ = load_space("quickstart", overrides=read_overrides(["activation=[tanh]", "seed=[1, 2, 3]"])[0])
    plan, folder = space.plan(), SweepFolder(tmp_path / "few")
    folder.create()
    row: HistoryRow = {"epoch": 0}
    for config in plan:
        record = Record(config.trial_id, TrialStatus.DONE, 0, config.nested(), {}, {})
        folder.trial(config.trial_id).write_record(record, [row], None)
    return folder, plan


def test_a_tracker_that_raises_midway_is_left_out_and_the_others_go_on(
    few: tuple[SweepFolder, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan = few
    first, second, third = [config.trial_id for config in plan]
    tired, patient, lines = Recorder(bad=second), Recorder(), io.StringIO()
    monkeypatch.setattr("ray.tune.logger.CSVLoggerCallback", lambda: tired)
    monkeypatch.setattr("ray.tune.logger.JsonLoggerCallback", lambda: patient)
    with TrackerFeed("few", plan, folder, ["csv", "json"], Lines(lines, lines)).at_work():
        pass
    assert tired.told == [first]
    assert patient.told == [first, second, third]
    assert lines.getvalue().splitlines()[-3:] == [
        "warning: --logger csv is skipped from now on; the sweep continues: RuntimeError: it has had enough",
        f"csv: 1 trials logged to {folder.root}/trackers/csv; 2 remain for the next run with --logger csv",
        f"json: 3 trials logged to {folder.root}/trackers/json",
    ]
    tired.bad = ""
    with TrackerFeed("few", plan, folder, ["csv", "json"], Lines(lines, lines)).at_work():
        pass
    assert tired.told == patient.told == [first, second, third]


def test_a_sweep_that_fails_does_not_wait_long_for_its_trackers(
    few: tuple[SweepFolder, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan = few
    recorder, lines, begun, answer = Recorder(), io.StringIO(), threading.Event(), threading.Event()
    monkeypatch.setattr("ray.tune.logger.CSVLoggerCallback", lambda: recorder)
    monkeypatch.setattr(recorder, "log_trial_start", lambda trial: begun.set() or answer.wait(60))
    monkeypatch.setattr(tracker_feed, "GRACE_S", 0.1)

    def sweep() -> None:
        with TrackerFeed("few", plan, folder, ["csv"], Lines(lines, lines)).at_work():
            begun.wait(60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sweep()
    assert recorder.told == []
    answer.set()
    wait_until(lambda: all(thread.name != "trackers" for thread in threading.enumerate()))
    assert recorder.told == [next(iter(plan)).trial_id]  # the one under way
    assert not lines.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket where MLflow expects its server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
        yield listener


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_server_that_does_not_answer_is_not_waited_for(
    is_stopped: bool, few: tuple[SweepFolder, Plan], server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plan = few
    lines, address = io.StringIO(), os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setattr(tracker_feed, "GRACE_S" if is_stopped else "PATIENCE_S", 0.5)
    with TrackerFeed("few", plan, folder, ["mlflow"], Lines(lines, lines)).at_work(lambda: is_stopped):
        connection, _ = server.accept()
    assert lines.getvalue().splitlines()[-2:] == [
        "warning: --logger mlflow does not answer, and is not waited for",
        f"mlflow: 0 trials logged to {address}; 3 remain for the next run with --logger mlflow",
    ]
    connection.close()
    server.close()
    wait_until(lambda: all(thread.name != "trackers" for thread in threading.enumerate()))


def test_a_server_that_is_down_is_tried_a_few_times(few: tuple[SweepFolder, Plan], server: socket.socket) -> None:
    folder, plan = few
    lines, tries = io.StringIO(), 0
    server.settimeout(0.5)
    feed = TrackerFeed("few", plan, folder, ["mlflow"], Lines(lines, lines))
    with feed.at_work():
        while "is skipped from now on" not in lines.getvalue():
            with contextlib.suppress(TimeoutError):
                server.accept()[0].close()
                tries += 1
    assert tries == 4
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_in_a_notebook_mlflow_is_left_as_it_was(few: tuple[SweepFolder, Plan]) -> None:
    """What is logged next must not land in the sweep's database, nor the next sweep in one that was deleted."""
    import mlflow

    folder, plan = few
    for _ in range(2):
        shutil.rmtree(folder.root / "trackers", ignore_errors=True)
        with TrackerFeed("quickstart", plan, folder, ["mlflow"], Display(io.StringIO())).at_work():
            pass
        assert "MLFLOW_TRACKING_URI" not in os.environ
        with sqlite3.connect(folder.root / "trackers/mlflow/mlflow.db") as database:
            names = database.execute("SELECT name FROM runs").fetchall()
        assert sorted(names) == [(config.trial_id,) for config in plan]
    mlflow.set_tracking_uri("sqlite:///elsewhere.db")
    with TrackerFeed("quickstart", plan, folder, ["mlflow"], Display(io.StringIO())).at_work():
        pass
    assert mlflow.get_tracking_uri() == "sqlite:///elsewhere.db"
    assert len(mlflow.search_runs(experiment_names=["quickstart"], output_format="list")) == 3
    mlflow.set_tracking_uri(None)  # pyright: ignore[reportArgumentType] - None is none


def test_wandb_without_a_key_is_told_and_left_out(few: tuple[SweepFolder, Plan]) -> None:
    folder, plan = few
    lines = io.StringIO()
    with TrackerFeed("few", plan, folder, ["wandb"], Lines(lines, lines)).at_work():
        pass
    assert (
        "warning: --logger wandb is skipped from now on; the sweep continues: ValueError: No WandB API key found"
        in lines.getvalue()
    )
    assert "wandb: 0 trials logged to its project few; 3 remain for the next run" in lines.getvalue()


def test_wandb_lets_go_of_ray_if_it_does_not_answer(
    few: tuple[SweepFolder, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that waits for Ray when Ray ends takes this process with it. Nobody answers at port 9."""
    folder, plan = few
    lines = io.StringIO()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(tracker_feed, "GRACE_S", 5)
    feed = TrackerFeed("few", plan, folder, ["wandb"], Lines(lines, lines))
    with cluster(Options(), Path(os.devnull)):
        begun = folder.tracker("wandb").files_of(next(iter(plan)).trial_id)
        with feed.at_work(begun.exists):
            wait_until(begun.exists)
        assert all(thread.name != "trackers" for thread in threading.enumerate())
    assert "wandb: 0 trials logged" in lines.getvalue()
