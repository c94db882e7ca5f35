"""Other trackers as their own programs read them: MLflow's client, wandb's format of an offline run."""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_results
from infomax_tune.study import columns


def forget_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address or mode of the user's reaches a test, and no test tells anyone."""
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


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
    results = read_results(SweepFolder(out))
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
