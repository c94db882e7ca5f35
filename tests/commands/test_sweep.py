"""Whole sweeps by the command, on real Ray and scikit-learn's digits."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from infomax_tune.study import columns
from tests.command import infomax_tune, start, tables, wait_until

SMALL = [
    "quickstart",
    "--set",
    "epochs=4",
    "--set",
    "checkpoint_every=1",
    "--set",
    "activation=[relu, leaky_relu, tanh]",
]
"""30 trials of 3 cells, seconds long."""
LONG = [*SMALL, "--set", "epochs=150"]
"""The same with time to be interrupted."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "sweep"
    infomax_tune("sweep", *SMALL, "--out", out)
    return out


@pytest.fixture(scope="module")
def undisturbed_long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "long"
    infomax_tune("sweep", *LONG, "--out", out)
    return out


def test_a_sweep_leaves_a_row_and_a_folder_for_every_trial(undisturbed: Path) -> None:
    results = pd.read_csv(undisturbed / "results.csv")
    assert len(results) == 30
    assert results["trial_id"].is_unique
    assert set(results["status"]) == {"done"}
    assert results[["loss", "effective_rank", "convergence_epoch"]].notna().all(axis=None)
    for trial_id in results["trial_id"]:
        names = {path.name for path in (undisturbed / "trials" / trial_id).iterdir()}
        assert names == {"record.json", "history.csv", "weights.safetensors"}
    history = pd.read_parquet(undisturbed / "history.parquet")
    assert history.groupby("trial_id")["epoch"].apply(list).map(lambda epochs: epochs == [0, 1, 2, 3, 4]).all()
    timings = pd.read_csv(undisturbed / "timings.csv")
    assert list(timings.columns) == list(columns.TIMINGS)
    assert (timings["train_s"] > 0).all()
    assert timings["pack_size"].tolist() == [10] * 30  # auto, on any machine of up to 3 slots


def test_one_trial_a_pack_gives_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    infomax_tune("sweep", *SMALL, "--pack", 1, "--max-concurrent", 1, "--out", tmp_path / "alone")
    assert set(pd.read_csv(tmp_path / "alone" / "timings.csv")["pack_size"]) == {1}
    assert tables(tmp_path / "alone") == tables(undisturbed)


def test_the_same_command_again_trains_nothing_and_starts_no_ray(undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.glob("trials/*/*")}
    bytes_before = tables(undisturbed)
    done = infomax_tune("sweep", *SMALL, "--out", undisturbed)
    assert "30 trials: 30 done" in done.stdout
    assert "to train" not in done.stdout
    assert {path: path.stat().st_mtime_ns for path in undisturbed.glob("trials/*/*")} == before
    assert tables(undisturbed) == bytes_before


def test_the_tables_are_assembled_anew_from_the_records(undisturbed: Path) -> None:
    before = tables(undisturbed)
    for name in ("results.csv", "results.parquet", "history.parquet", "timings.csv"):
        (undisturbed / name).unlink()
    assert "30 trials: 30 done" in infomax_tune("results", undisturbed).stdout
    assert tables(undisturbed) == before


def test_a_run_alone_gives_the_numbers_of_its_trial_in_the_sweep(undisturbed: Path, tmp_path: Path) -> None:
    """From the record's own config, written as a file."""
    trial = next((undisturbed / "trials").glob("tanh-k16-s7-*"))
    overrides = ["dataset=digits", "lr=1e-2", "epochs=4", "save_metrics_every=5", "activation=tanh", "seed=7"]
    infomax_tune("run", *overrides, "--out", tmp_path / "alone")
    assert (tmp_path / "alone/weights.safetensors").read_bytes() == (trial / "weights.safetensors").read_bytes()
    infomax_tune("run", tmp_path / "alone/config.yaml", "--out", tmp_path / "again")
    assert (tmp_path / "again/weights.safetensors").read_bytes() == (trial / "weights.safetensors").read_bytes()


def test_more_seeds_train_the_new_trials_only_and_fewer_make_a_smaller_table(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown"
    few = infomax_tune("sweep", *SMALL, "--set", "seed={range: [1, 3]}", "--out", out)
    assert "9 of 9 trials to train" in few.stdout
    more = infomax_tune("sweep", *SMALL, "--out", out)
    assert "21 of 30 trials to train" in more.stdout
    assert tables(out) == tables(undisturbed)
    infomax_tune("sweep", *SMALL, "--set", "seed=[2]", "--out", out)
    assert pd.read_csv(out / "results.csv")["seed"].tolist() == [2, 2, 2]
    assert len(list(out.glob("trials/*/record.json"))) == 30


def test_ctrl_c_stops_with_nothing_lost_and_says_how_to_go_on(undisturbed_long: Path, tmp_path: Path) -> None:
    out = tmp_path / "stopped sweep"
    sweep = start("sweep", *LONG, "--out", out)
    wait_until(lambda: len(list(out.glob("trials/*/checkpoint.safetensors"))) == 20)
    sweep.send_signal(signal.SIGINT)
    stdout, stderr = sweep.communicate(timeout=60)
    assert sweep.returncode == 130
    assert "stopping after the epochs under way" in stdout
    assert "Traceback" not in stdout + stderr
    command = re.search(r"stopped; to go on: infomax-tune (.*)", stderr)
    assert command is not None
    assert json.loads(infomax_tune("status", out, "--json").stdout)["counts"]["left"] == 30
    done = infomax_tune(*shlex.split(command[1]))
    assert "30 trials: 30 done" in done.stdout
    assert tables(out) == tables(undisturbed_long)
    # the epochs trained twice: none, since the first Ctrl-C lets them be kept
    assert pd.read_csv(out / "timings.csv")["epochs_trained"].tolist() == [150] * 30


def test_a_second_ctrl_c_stops_at_once_and_a_resume_repairs(undisturbed_long: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    sweep = start("sweep", *LONG, "--out", out)
    wait_until(lambda: any(out.glob("trials/*/checkpoint.safetensors")))
    sweep.send_signal(signal.SIGINT)
    wait_until(lambda: (out / "stop").exists() or sweep.poll() is not None)
    sweep.send_signal(signal.SIGINT)
    sweep.communicate(timeout=30)
    assert sweep.returncode == 130
    infomax_tune("resume", out)
    assert tables(out) == tables(undisturbed_long)


def test_a_second_driver_is_refused_and_the_first_goes_on(undisturbed_long: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    first = start("sweep", *LONG, "--out", out, "--no-report")
    wait_until(lambda: any(out.glob("trials/*/checkpoint.safetensors")))
    first.send_signal(signal.SIGSTOP)  # else it might end before the others have asked
    for second in (["sweep", *LONG, "--out", out], ["resume", out]):
        refused = infomax_tune(*second, ok=False)
        assert refused.returncode == 2
        assert refused.stderr == (
            f"infomax-tune: {out}: another sweep is at work here (host {socket.gethostname()}, pid {first.pid}); "
            "wait for it, or stop it first.\n"
        )
        assert refused.stdout == ""
    assert not (out / "results.csv").exists(), "it ended too soon to be a test"
    first.send_signal(signal.SIGCONT)
    stdout, stderr = first.communicate(timeout=120)
    assert first.returncode == 0, stderr
    assert "30 trials: 30 done" in stdout
    assert tables(out) == tables(undisturbed_long)
    assert pd.read_csv(out / "timings.csv")["epochs_trained"].tolist() == [150] * 30


def test_an_existing_ray_cluster_is_joined_and_left_running(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-this-test-alone-0123456789abcdef")
    ray = Path(sys.executable).with_name("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    port = 6400 + os.getpid() % 3000  # below the ports that Ray gives its workers
    log = (tmp_path / "ray.log").open("w+", encoding="utf-8")
    head = [ray, "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1"]
    head += ["--num-cpus=2", "--include-dashboard=false"]
    cluster = subprocess.Popen(head, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_until(lambda: "Ray runtime started" in (tmp_path / "ray.log").read_text(encoding="utf-8"))
        out = tmp_path / "joined"
        infomax_tune("sweep", *SMALL, "--address", f"127.0.0.1:{port}", "--out", out)
        assert tables(out) == tables(undisturbed)
        assert cluster.poll() is None
    finally:
        cluster.terminate()
        cluster.wait(60)
        log.close()


def test_diverging_trials_are_counted_and_are_no_failure(tmp_path: Path) -> None:
    out = tmp_path / "diverged"
    wild = ["--set", "activation=[identity]", "--set", "optimizer=sgd", "--set", "lr=1e30", "--set", "seed=[1, 2]"]
    done = infomax_tune("sweep", "quickstart", *wild, "--out", out)
    assert "2 trials: 2 diverged" in done.stdout
    results = pd.read_csv(out / "results.csv")
    assert results["diverged_epoch"].tolist() == [1, 1]
    assert results["loss"].isna().all()


def test_a_folder_may_have_an_odd_name(undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "mes résultats #1 50% [x] & co"
    infomax_tune("sweep", *SMALL, "--set", "seed=[1]", "--out", out)
    results = pd.read_csv(out / "results.csv", dtype=str)
    reference = pd.read_csv(undisturbed / "results.csv", dtype=str)
    pd.testing.assert_frame_equal(results, reference[reference["seed"] == "1"].reset_index(drop=True))


def test_a_damaged_record_is_set_aside_and_trained_again(undisturbed: Path, tmp_path: Path) -> None:
    before = tables(undisturbed)
    record = next(undisturbed.glob("trials/relu-*-s3-*/record.json"))
    record.write_bytes(record.read_bytes()[:-20])
    assert " 1 " in infomax_tune("status", undisturbed).stdout.splitlines()[-2]
    done = infomax_tune("resume", undisturbed)
    assert "warning:" in done.stderr
    assert "1 of 30 trials to train" in done.stdout
    assert tables(undisturbed) == before
    record.with_name("record.json.damaged-1").unlink()
