"""Other trackers, for real: MLflow in a local database, wandb offline, Ray's CSV and JSON; one run a trial."""

from __future__ import annotations

import importlib.util
import io
import json
import math
import os
import re
import shlex
import shutil
import signal
import sqlite3
import struct
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from ray.tune.logger import LoggerCallback

from infomax_tune import cli
from infomax_tune.follow.display import Display, Lines
from infomax_tune.on_ray import tracker_feed, trackers
from infomax_tune.on_ray.tracker_feed import TrackerFeed
from infomax_tune.store.record import HistoryRow, Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from tests.command import infomax_tune, start, tables, wait_until

SMALL = ["quickstart", "--set", "activation=[relu, tanh]", "--set", "seed=[1, 2, 3]", "--set", "checkpoint_every=1"]
SHORT = [*SMALL, "--set", "epochs=4", "--set", "save_metrics_every=2"]
"""6 trials of 2 cells, seconds long."""

pytestmark = pytest.mark.filterwarnings(
    # MLflow's own use of SQLAlchemy, when a test reads its database
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning",
)


@pytest.fixture(autouse=True)
def _of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address or mode of the user's reaches a test, and no test tells anyone."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep in packs of several seeds, with three trackers."""
    out = tmp_path_factory.mktemp("logged") / "mes résultats #1 50% [x] & co"
    done = infomax_tune("sweep", *SHORT, "--logger", "mlflow", "--logger", "csv", "--logger", "json", "--out", out)
    assert "warning" not in done.stdout + done.stderr
    for name in ("mlflow", "csv", "json"):
        assert f"{name}: 6 trials handed over to {out / 'trackers' / name}\n" in done.stdout
    assert set(pd.read_csv(out / "timings.csv")["pack_size"]) == {3}
    return out


@pytest.fixture
def out(logged: Path, tmp_path: Path) -> Path:
    """A copy of that sweep that no tracker knows."""
    copy = Path(shutil.copytree(logged, tmp_path / "sweep"))
    shutil.rmtree(copy / "trackers")
    return copy


def address(out: Path) -> str:
    return f"sqlite:///{out / 'trackers' / 'mlflow' / 'mlflow.db'}"


def mlflow_runs(out: Path) -> dict[str, Any]:
    """The runs in a sweep's own database, read by MLflow, by name; fails if two have one name."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address(out))
    experiment = client.get_experiment_by_name("quickstart")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert set(Counter(run.info.run_name for run in runs).values()) <= {1}
    return {run.info.run_name: run for run in runs}


def finite(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, float]:
    return {name: row[name] for name in names if math.isfinite(row[name])}


def expect_mirrored(out: Path) -> None:
    """MLflow holds one run a trial, with the settings, the history and the results of the sweep's own tables."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address(out))
    results = SweepFolder(out).read_results()
    histories = pd.read_parquet(out / "history.parquet")
    runs = mlflow_runs(out)
    assert set(runs) == set(results["trial_id"])
    for result in results.to_dict("records"):
        run = runs[result["trial_id"]]
        assert run.info.status == "FINISHED"
        assert run.data.params == {name: str(result[name]) for name in columns.SETTINGS}
        summary = dict(run.data.metrics)
        assert summary.pop("training_iteration") == result["epochs"]
        assert summary == finite(result, columns.FINAL)
        history = histories[histories["trial_id"] == result["trial_id"]]
        for name in columns.HISTORY[1:]:
            logged = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, name)}
            assert logged == history.set_index("epoch")[name].dropna().to_dict(), name


def test_mlflow_holds_one_finished_run_a_trial_with_all_its_numbers(logged: Path) -> None:
    expect_mirrored(logged)


def test_csv_and_json_are_what_ray_writes_of_a_trial_of_its_own(logged: Path) -> None:
    results = SweepFolder(logged).read_results().set_index("trial_id")
    histories = pd.read_parquet(logged / "history.parquet")
    for trial_id, result in results.iterrows():
        history = histories[histories["trial_id"] == trial_id].reset_index(drop=True)
        table = pd.read_csv(logged / f"trackers/csv/{trial_id}/progress.csv", dtype=str).astype("float64")
        assert table["training_iteration"].tolist() == history["epoch"].tolist()
        for name in set(columns.HISTORY[1:]) & set(table.columns):
            pd.testing.assert_series_equal(table[name], history[name], check_exact=True)
        assert table["convergence_epoch"].tolist()[-1] == result["convergence_epoch"]
        folder = logged / f"trackers/json/{trial_id}"
        rows = [json.loads(line, parse_constant=pytest.fail) for line in (folder / "result.json").open()]
        assert [row["loss"] for row in rows] == [None, *history["loss"][1:]]
        params = json.loads((folder / "params.json").read_text())
        assert params == {name: result[name] for name in columns.SETTINGS}


def test_a_finished_sweep_is_exported_once(out: Path) -> None:
    before = tables(out)
    done = infomax_tune("resume", out, "--logger", "mlflow", "--logger", "csv")
    assert "mlflow: 6 trials handed over" in done.stdout
    assert "to train" not in done.stdout
    expect_mirrored(out)
    again = infomax_tune("resume", out, "--logger", "mlflow", "--logger", "csv")
    assert "handed over" not in again.stdout
    expect_mirrored(out)
    assert tables(out) == before
    infomax_tune("verify", out)


def test_a_hand_over_that_is_killed_is_begun_anew(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unnoted, begun, whole, *_ = SweepFolder(out).read_results()["trial_id"]
    moments = {
        unnoted: "half:1",  # its run was made a moment ago, and is not noted yet: that one stays, empty
        begun: "renamed:1",  # noted as begun
        whole: "half:2",  # all of it is there, and not noted yet
    }
    for trial_id, moment in moments.items():
        monkeypatch.setenv("INFOMAX_TUNE_FAULT", f"{trial_id}.json:{moment}")
        died = infomax_tune("resume", out, "--logger", "mlflow", ok=False)
        assert died.returncode == -signal.SIGKILL
    monkeypatch.delenv("INFOMAX_TUNE_FAULT")
    infomax_tune("resume", out, "--logger", "mlflow")
    with sqlite3.connect(out / "trackers/mlflow/mlflow.db") as database:
        runs = Counter(database.execute("SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"))
        assert runs.pop((unnoted, "RUNNING")) == 1
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE status = 'RUNNING'")
    assert set(runs.values()) == {1}
    expect_mirrored(out)


def test_what_a_killed_hand_over_wrote_here_is_written_anew(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial_id = SweepFolder(out).read_results()["trial_id"][0]
    monkeypatch.setenv("INFOMAX_TUNE_FAULT", f"{trial_id}.json:half:1")
    assert infomax_tune("resume", out, "--logger", "csv", ok=False).returncode == -signal.SIGKILL
    assert len(pd.read_csv(out / f"trackers/csv/{trial_id}/progress.csv")) == 5
    monkeypatch.delenv("INFOMAX_TUNE_FAULT")
    infomax_tune("resume", out, "--logger", "csv")
    assert len(pd.read_csv(out / f"trackers/csv/{trial_id}/progress.csv")) == 5
    assert not list(out.rglob("*.tmp"))


def test_a_sweep_killed_midway_has_one_run_a_trial_in_the_end(tmp_path: Path) -> None:
    """One trial a pack and at once; wide ones, which take longer to train than to hand over."""
    out = tmp_path / "sweep"
    wide = ["--set", "hidden_dim=[512]", "--set", "epochs=30", "--pack", 1, "--max-concurrent", 1]
    sweep = start("sweep", *SMALL, *wide, "--logger", "mlflow", "--out", out, "--no-report")
    wait_until(lambda: len(list(out.glob("trackers/mlflow/given/*.json"))) >= 2)
    processes = [*psutil.Process(sweep.pid).children(recursive=True), sweep]
    for process in processes:
        process.kill()
    sweep.communicate()
    assert len(list(out.glob("trials/*/record.json"))) < 6, "killed too late to be a test"
    done = infomax_tune("resume", out, "--logger", "mlflow")
    assert "6 trials: 6 done" in done.stdout
    unfinished = [name for name, run in mlflow_runs(out).items() if run.info.status != "FINISHED"]
    assert not unfinished
    expect_mirrored(out)


def test_the_command_that_goes_on_after_ctrl_c_has_the_trackers(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    sweep = start(
        "sweep", *SMALL, "--set", "epochs=60", "--logger", "json", "--logger", "csv", "--out", out, "--no-report"
    )
    wait_until(lambda: any(out.glob("trials/*/checkpoint.safetensors")))
    sweep.send_signal(signal.SIGINT)
    _, stderr = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    command = re.search(r"stopped; to go on: infomax-tune (.*)", stderr)
    assert command is not None
    done = infomax_tune(*shlex.split(command[1]))
    assert "json: 6 trials handed over" in done.stdout
    assert "csv: 6 trials handed over" in done.stdout


def test_a_tracker_that_cannot_be_reached_ends_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers at port 9. Its trials, which diverge, are handed over by a later run to another place."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    out = tmp_path / "sweep"
    wild = ["--set", "activation=[identity]", "--set", "optimizer=sgd", "--set", "lr=1e30", "--set", "seed=[1, 2]"]
    done = infomax_tune("sweep", "quickstart", *wild, "--logger", "mlflow", "--logger", "csv", "--out", out)
    assert done.stderr.count("warning: --logger mlflow is left out from here on: ") == 1
    assert "mlflow: 0 trials handed over to http://127.0.0.1:9; 2 are left for the next run" in done.stdout
    assert "csv: 2 trials handed over" in done.stdout
    assert "2 trials: 2 diverged" in done.stdout
    assert not any(b"secret" in path.read_bytes() for path in out.rglob("*") if path.is_file())
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "mlflow: 2 trials handed over" in infomax_tune("resume", out, "--logger", "mlflow").stdout
    runs = mlflow_runs(out).values()
    assert [run.info.status for run in runs] == ["FAILED", "FAILED"]
    assert all("loss" not in run.data.metrics for run in runs)


def test_a_trial_that_is_trained_again_is_logged_again(out: Path) -> None:
    infomax_tune("resume", out, "--logger", "csv", "--logger", "json")
    record = next(out.glob("trials/tanh-k16-s2-*/record.json"))
    record.write_bytes(record.read_bytes()[:-9])
    note = next(out.glob("trackers/json/given/*-s1-*"))
    note.write_bytes(note.read_bytes()[:-9])
    assert "The trial is handed over again by the next run" in infomax_tune("verify", out, ok=False).stdout
    done = infomax_tune("resume", out, "--logger", "csv", "--logger", "json")
    assert "csv: 1 trials handed over" in done.stdout
    assert "json: 2 trials handed over" in done.stdout
    assert len(list((out / f"trackers/json/{note.stem}/result.json").open())) == 5


def test_wandb_offline_holds_one_run_a_trial(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network or a key. Ray's callback needs Ray, which is started for it though nothing is trained."""
    infomax_tune("sweep", *SHORT, "--set", "seed=[1]", "--out", out)
    refused = infomax_tune("resume", out, "--logger", "wandb")
    assert "warning: --logger wandb is left out from here on: ValueError: No WandB API key found" in refused.stderr
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = infomax_tune("resume", out, "--logger", "wandb")
    assert f"wandb: 2 trials handed over to {out / 'trackers/wandb-offline'}\n" in done.stdout
    histories = pd.read_parquet(out / "history.parquet")
    for result in SweepFolder(out).read_results().to_dict("records"):
        trial_id = result["trial_id"]
        (path,) = out.glob(f"trackers/wandb-offline/{trial_id}/wandb/offline-run-*/run-{trial_id}.wandb")
        records = wandb_records(path)
        (run,) = [record.run for record in records if record.HasField("run")]
        assert (run.project, run.display_name) == ("quickstart", trial_id)
        config = {item.key: json.loads(item.value_json) for item in run.config.update}
        assert {name: config[name] for name in columns.SETTINGS} == {name: result[name] for name in columns.SETTINGS}
        rows = [
            {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for record in records
            if record.HasField("history")
        ]
        history = histories[histories["trial_id"] == trial_id]
        assert [row["training_iteration"] for row in rows] == history["epoch"].tolist()
        for name in columns.HISTORY[1:]:
            logged = {row["training_iteration"]: row[name] for row in rows if name in row}
            assert logged == history.set_index("epoch")[name].dropna().to_dict(), name
        assert finite(result, columns.FINAL).items() <= rows[-1].items()
    assert "handed over" not in infomax_tune("resume", out, "--logger", "wandb").stdout


def wandb_records(path: Path) -> list[Any]:
    """What an offline run's file holds: protobuf messages in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    data, records, whole, at = path.read_bytes(), [], b"", 7
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:  # no chunk begins in the last bytes of a block
            at += 2**15 - at % 2**15
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or the last chunk of one
            records.append(wandb_internal_pb2.Record.FromString(whole))  # pyright: ignore[reportAttributeAccessIssue]
            whole = b""
    return records


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
def few(tmp_path: Path) -> tuple[SweepFolder, list[TrialConfig]]:
    """A sweep's folder with three finished trials, made without training."""
    space, _ = load_space("quickstart", overrides=read_overrides(["activation=[tanh]", "seed=[1, 2, 3]"])[0])
    store = SweepFolder(tmp_path / "few")
    store.create()
    row: HistoryRow = {"epoch": 0}
    for config in space.trials():
        store.trial(config.trial_id).write_record(
            Record(config.trial_id, "done", 0, config.nested(), {}, {}), [row], None
        )
    return store, space.trials()


def test_a_tracker_that_raises_midway_is_left_out_and_the_others_go_on(
    few: tuple[SweepFolder, list[TrialConfig]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, trials = few
    first, second, third = [config.trial_id for config in trials]
    tired, patient, lines = Recorder(bad=second), Recorder(), io.StringIO()
    monkeypatch.setattr(trackers, "CSVLoggerCallback", lambda: tired)
    monkeypatch.setattr(trackers, "JsonLoggerCallback", lambda: patient)
    with TrackerFeed("few", trials, store, ["csv", "json"], Lines(lines, lines)).at_work():
        pass
    assert tired.told == [first]
    assert patient.told == [first, second, third]
    assert lines.getvalue().splitlines()[-3:] == [
        "warning: --logger csv is left out from here on: RuntimeError: it has had enough",
        f"csv: 1 trials handed over to {store.root}/trackers/csv; 2 are left for the next run with --logger csv",
        f"json: 3 trials handed over to {store.root}/trackers/json",
    ]
    tired.bad = ""
    with TrackerFeed("few", trials, store, ["csv", "json"], Lines(lines, lines)).at_work():
        pass
    assert tired.told == patient.told == [first, second, third]


def test_a_sweep_that_fails_does_not_wait_long_for_its_trackers(
    few: tuple[SweepFolder, list[TrialConfig]], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, trials = few
    recorder, lines, begun, answer = Recorder(), io.StringIO(), threading.Event(), threading.Event()
    monkeypatch.setattr(trackers, "CSVLoggerCallback", lambda: recorder)
    monkeypatch.setattr(recorder, "log_trial_start", lambda trial: begun.set() or answer.wait(60))
    monkeypatch.setattr(tracker_feed, "GRACE_S", 0.1)

    def sweep() -> None:
        with TrackerFeed("few", trials, store, ["csv"], Lines(lines, lines)).at_work():
            begun.wait(60)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sweep()
    assert recorder.told == []
    answer.set()
    wait_until(lambda: all(thread.name != "trackers" for thread in threading.enumerate()))
    assert recorder.told == [trials[0].trial_id]  # the one under way
    assert not lines.getvalue()


def test_in_a_notebook_mlflow_is_left_as_it_was(few: tuple[SweepFolder, list[TrialConfig]]) -> None:
    """What is logged next must not land in the sweep's database, nor the next sweep in one that was deleted."""
    import mlflow

    store, trials = few
    for _ in range(2):
        shutil.rmtree(store.root / "trackers", ignore_errors=True)
        with TrackerFeed("quickstart", trials, store, ["mlflow"], Display(io.StringIO())).at_work():
            pass
        assert "MLFLOW_TRACKING_URI" not in os.environ
        with sqlite3.connect(store.root / "trackers/mlflow/mlflow.db") as database:
            names = database.execute("SELECT name FROM runs").fetchall()
        assert sorted(names) == [(config.trial_id,) for config in trials]
    mlflow.set_tracking_uri("sqlite:///elsewhere.db")
    with TrackerFeed("quickstart", trials, store, ["mlflow"], Display(io.StringIO())).at_work():
        pass
    assert mlflow.get_tracking_uri() == "sqlite:///elsewhere.db"
    assert len(mlflow.search_runs(experiment_names=["quickstart"], output_format="list")) == 3
    mlflow.set_tracking_uri(None)  # pyright: ignore[reportArgumentType] - None is none


@pytest.mark.parametrize("command", ["sweep quickstart --out out", "resume out"])
def test_a_package_that_is_not_installed_is_told_before_anything_begins(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.argv", ["infomax-tune", *command.split(), "--logger", "mlflow", "--logger", "wandb"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "infomax-tune: --logger mlflow needs the packages mlflow, sqlalchemy and alembic: pip install 'infomax-tune[mlflow]'\n"
        "--logger wandb needs the package wandb: pip install 'infomax-tune[wandb]'\n"
    )
    assert not Path("out").exists()
