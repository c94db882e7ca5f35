"""--logger, for real: MLflow in a local database, wandb offline, Ray's CSV and JSON; one run a trial."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import shlex
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_results
from infomax_tune.study import columns
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from tests.command import call, dies, tables, wait_until
from tests.folders import finish_sweep
from tests.gate import Gate
from tests.read_trackers import expect_mirrored, finite, forget_the_user, mlflow_runs, wandb_records
from tests.without_ray import Started, sweep_here

SMALL = ["quickstart", "--set", "activation=[relu, tanh]", "--set", "seed=[1, 2, 3]", "--set", "checkpoint_every=1"]
SHORT = [*SMALL, "--set", "epochs=4", "--set", "save_metrics_every=2"]
"""6 trials of 2 cells, seconds long."""

pytestmark = pytest.mark.filterwarnings(
    # MLflow's own use of SQLAlchemy, when a test reads its database
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning",
)


@pytest.fixture(scope="module", autouse=True)
def _of_nobody() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        forget_the_user(monkeypatch)
        yield


@pytest.fixture(autouse=True)
def _of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_the_user(monkeypatch)


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep in packs of several seeds, with three trackers."""
    out = tmp_path_factory.mktemp("logged") / "mes résultats #1 50% [x] & co"
    done = sweep_here("sweep", *SHORT, "--logger", "mlflow", "--logger", "csv", "--logger", "json", "--out", out)
    assert "warning" not in done.stdout + done.stderr
    for name in ("mlflow", "csv", "json"):
        assert f"{name}: 6 trials logged to {out / 'trackers' / name}\n" in done.stdout
    assert set(pd.read_csv(out / "timings.csv")["pack_size"]) == {3}
    return out


@pytest.fixture
def out(logged: Path, tmp_path: Path) -> Path:
    """A copy of that sweep that no tracker knows."""
    copy = Path(shutil.copytree(logged, tmp_path / "sweep"))
    shutil.rmtree(copy / "trackers")
    return copy


def test_mlflow_holds_one_finished_run_a_trial_with_all_its_numbers(logged: Path) -> None:
    expect_mirrored(logged)


def test_csv_and_json_are_what_ray_writes_of_a_trial_of_its_own(logged: Path) -> None:
    results = read_results(SweepFolder(logged)).set_index("trial_id")
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
    done = call("resume", out, "--no-report", "--logger", "mlflow", "--logger", "csv")
    assert "mlflow: 6 trials logged" in done.stdout
    assert "to train" not in done.stdout
    expect_mirrored(out)
    again = call("resume", out, "--no-report", "--logger", "mlflow", "--logger", "csv")
    assert "trials logged" not in again.stdout
    expect_mirrored(out)
    assert tables(out) == before
    call("verify", out)


def test_a_hand_over_that_is_killed_is_begun_anew(out: Path) -> None:
    unnoted, begun, whole, *_ = read_results(SweepFolder(out))["trial_id"]
    moments = {
        unnoted: "begun:1",  # its run was made a moment ago, and is not noted yet: that one stays, empty
        begun: "renamed:1",  # noted as begun
        whole: "begun:2",  # all of it is there, and not noted yet
    }
    for trial_id, moment in moments.items():
        assert dies(f"{trial_id}.json:{moment}", "resume", out, "--no-report", "--logger", "mlflow")
    call("resume", out, "--no-report", "--logger", "mlflow")
    with sqlite3.connect(out / "trackers/mlflow/mlflow.db") as database:
        runs = Counter(database.execute("SELECT name, status FROM runs WHERE lifecycle_stage = 'active'"))
        assert runs.pop((unnoted, "RUNNING")) == 1
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE status = 'RUNNING'")
    assert set(runs.values()) == {1}
    expect_mirrored(out)


def test_what_a_killed_hand_over_wrote_here_is_written_anew(out: Path) -> None:
    trial_id = read_results(SweepFolder(out))["trial_id"][0]
    assert dies(f"{trial_id}.json:begun:1", "resume", out, "--no-report", "--logger", "csv")
    assert len(pd.read_csv(out / f"trackers/csv/{trial_id}/progress.csv")) == 5
    call("resume", out, "--no-report", "--logger", "csv")
    assert len(pd.read_csv(out / f"trackers/csv/{trial_id}/progress.csv")) == 5
    assert not list(out.rglob("*.tmp"))


def test_a_sweep_killed_midway_has_one_run_a_trial_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed when the second trial's run was begun. One trial after another; the third waits in its training."""
    out = tmp_path / "sweep"
    settings = ["epochs=3", "activation=[tanh]", "seed=[1, 2, 3, 4]"]
    options = [word for setting in settings for word in ("--set", setting)]
    space, _ = load_space("quickstart", overrides=read_overrides(settings)[0])
    second = space.trials()[1].trial_id
    one_by_one = ["--pack", 1, "--max-concurrent", 1, "--logger", "mlflow"]
    with contextlib.closing(Gate(tmp_path / "trace", lines=6)) as gate, monkeypatch.context() as patch:
        for name, value in gate.environment.items():
            patch.setenv(name, value)
        assert dies(
            f"{second}.json:renamed:1", "sweep", "quickstart", *options, *one_by_one, "--out", out, by=sweep_here
        )
    assert len(list(out.glob("trials/*/record.json"))) == 2
    done = sweep_here("resume", out, "--logger", "mlflow")
    assert "4 trials: 4 done" in done.stdout
    unfinished = [name for name, run in mlflow_runs(out).items() if run.info.status != "FINISHED"]
    assert not unfinished
    expect_mirrored(out)


def test_the_command_that_goes_on_after_ctrl_c_has_the_trackers(tmp_path: Path) -> None:
    """One trial after another, so that Ctrl-C finds one under way."""
    out = tmp_path / "sweep"
    one_by_one = ["--set", "epochs=60", "--pack", "1", "--max-concurrent", "1"]
    loggers = ["--logger", "json", "--logger", "csv"]
    sweep = Started("sweep", *SMALL, *one_by_one, *loggers, "--out", out, folder=tmp_path)
    wait_until(lambda: any(out.glob("trials/*/checkpoint.safetensors")) or sweep.poll() is not None)
    assert sweep.poll() is None, sweep.communicate()
    sweep.send_signal(signal.SIGINT)
    _, stderr = sweep.communicate()
    assert sweep.returncode == 130
    command = re.search(r"stopped; to resume: infomax-tune (.*)", stderr)
    assert command is not None
    finish_sweep(SweepFolder(out))
    done = call(*shlex.split(command[1]))
    for name in ("json", "csv"):
        assert re.search(rf"^{name}: \d trials logged", done.stdout, flags=re.MULTILINE)
        assert len(list(out.glob(f"trackers/{name}/given/*.json"))) == 6


def test_a_tracker_that_cannot_be_reached_ends_no_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers at port 9. Its trials, which diverge, are handed over by a later run to another place."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    out = tmp_path / "sweep"
    wild = ["--set", "activation=[identity]", "--set", "optimizer=sgd", "--set", "lr=1e30", "--set", "seed=[1, 2]"]
    done = sweep_here("sweep", "quickstart", *wild, "--logger", "mlflow", "--logger", "csv", "--out", out)
    assert done.stderr.count("warning: --logger mlflow is skipped from now on; the sweep continues: ") == 1
    assert "mlflow: 0 trials logged to http://127.0.0.1:9; 2 remain for the next run" in done.stdout
    assert "csv: 2 trials logged" in done.stdout
    assert "2 trials: 2 diverged" in done.stdout
    assert not any(b"secret" in path.read_bytes() for path in out.rglob("*") if path.is_file())
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert "mlflow: 2 trials logged" in call("resume", out, "--no-report", "--logger", "mlflow").stdout
    runs = mlflow_runs(out).values()
    assert [run.info.status for run in runs] == ["FAILED", "FAILED"]
    assert all("loss" not in run.data.metrics for run in runs)


def test_a_trial_that_is_trained_again_is_logged_again(out: Path) -> None:
    call("resume", out, "--no-report", "--logger", "csv", "--logger", "json")
    record = next(out.glob("trials/tanh-k16-s2-*/record.json"))
    record.write_bytes(record.read_bytes()[:-9])
    note = next(out.glob("trackers/json/given/*-s1-*"))
    note.write_bytes(note.read_bytes()[:-9])
    assert f"Log the trial again with: infomax-tune resume {out} --logger json" in call("verify", out, ok=False).stdout
    finish_sweep(SweepFolder(out))
    done = call("resume", out, "--no-report", "--logger", "csv", "--logger", "json")
    assert "csv: 1 trials logged" in done.stdout
    assert "json: 2 trials logged" in done.stdout
    assert len(list((out / f"trackers/json/{note.stem}/result.json").open())) == 5


def test_wandb_offline_holds_one_run_a_trial(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a network or a key. Ray's callback needs Ray, which is started for it though nothing is trained."""
    call("sweep", *SHORT, "--set", "seed=[1]", "--out", out, "--no-report", "--narrow")
    monkeypatch.setenv("WANDB_MODE", "offline")
    done = call("resume", out, "--no-report", "--logger", "wandb")
    assert f"wandb: 2 trials logged to {out / 'trackers/wandb-offline'}\n" in done.stdout
    histories = pd.read_parquet(out / "history.parquet")
    for result in read_results(SweepFolder(out)).to_dict("records"):
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
    assert "trials logged" not in call("resume", out, "--no-report", "--logger", "wandb").stdout


@pytest.mark.parametrize("command", ["sweep quickstart --out out", "resume out"])
def test_a_package_that_is_not_installed_is_told_before_anything_begins(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    told = call(*command.split(), "--logger", "mlflow", "--logger", "wandb", ok=False)
    assert told.returncode == 2
    assert told.stderr == (
        "infomax-tune: logger mlflow needs the packages mlflow, sqlalchemy and alembic: "
        "pip install '.[mlflow]' in infomax-tune's folder\n"
        "logger wandb needs the package wandb: pip install '.[wandb]' in infomax-tune's folder\n"
    )
    assert not Path("out").exists()
