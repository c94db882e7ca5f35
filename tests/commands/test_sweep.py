"""Whole sweeps by the command, on real Ray and scikit-learn's digits."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from infomax_tune.study import columns
from tests.command import call, free_port, infomax_tune, start, tables, wait_until
from tests.folders import make_sweep
from tests.without_ray import sweep_here

SETTINGS = ["epochs=4", "checkpoint_every=1", "activation=[relu, leaky_relu, tanh]"]
SMALL = ["quickstart", *(word for setting in SETTINGS for word in ("--set", setting))]
"""30 trials of 3 cells, seconds long."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By two slots, on any machine. No test changes it."""
    out = tmp_path_factory.mktemp("undisturbed") / "sweep"
    two = ["--cpus-per-pack", 0.5, "--max-concurrent", 2]
    done = infomax_tune("sweep", *SMALL, *two, "--verbose", "--out", out)
    assert done.stderr == ""
    assert "30 of 30 trials to train" in done.stdout
    for told in ("started", "ended"):
        assert len(re.findall(rf"^{told}: (relu|leaky_relu|tanh)-k16-\w+, seeds 1-10$", done.stdout, re.MULTILINE)) == 3
    assert re.search(r"^30/30 trials  100% of the epochs", done.stdout, re.MULTILINE)
    assert "ray" not in done.stdout.replace("ray.log", "").lower().replace(str(out).lower(), "")
    return out


def test_what_ray_has_to_say_is_in_its_log(undisturbed: Path) -> None:
    log = (undisturbed / "ray.log").read_text(encoding="utf-8")
    assert "FileNotFoundError" not in log
    assert "INFO ray" in log


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
    assert timings["pack_size"].tolist() == [10] * 30  # auto: three packs are enough for two slots


def test_trained_without_ray_the_bytes_are_the_same(undisturbed: Path, tmp_path: Path) -> None:
    """So other tests may make their sweeps without it."""
    assert tables(make_sweep(tmp_path / "sweep", *SETTINGS).root) == tables(undisturbed)


def test_one_trial_a_pack_gives_the_same_bytes_and_a_second_driver_is_refused_meanwhile(
    undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "alone"
    first = start("sweep", *SMALL, "--pack", 1, "--max-concurrent", 1, "--out", out, "--no-report")
    wait_until(lambda: any(out.glob("trials/*/record.json")))
    first.send_signal(signal.SIGSTOP)  # no more than the trial under way is trained while the others ask
    for second in (["sweep", *SMALL, "--out", out], ["resume", out]):
        refused = call(*second, ok=False)
        assert refused.returncode == 2
        assert refused.stderr == (
            f"infomax-tune: {out}: another sweep is running here (host {socket.gethostname()}, pid {first.pid}); "
            "wait for it, or stop it first.\n"
        )
        assert refused.stdout == ""
    assert not (out / "results.csv").exists(), "it ended too soon to be a test"
    first.send_signal(signal.SIGCONT)
    stdout, stderr = first.communicate(timeout=900)
    assert first.returncode == 0, stderr
    assert "30 trials: 30 done" in stdout
    timings = pd.read_csv(out / "timings.csv")
    assert set(timings["pack_size"]) == {1}
    assert timings["epochs_trained"].tolist() == [4] * 30
    assert tables(out) == tables(undisturbed)


def test_the_same_command_again_trains_nothing_and_starts_no_ray(
    undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.init", pytest.fail)
    before = {path: path.stat().st_mtime_ns for path in undisturbed.glob("trials/*/*")}
    bytes_before = tables(undisturbed)
    done = call("sweep", *SMALL, "--out", undisturbed, "--no-report")
    assert "30 trials: 30 done" in done.stdout
    assert "to train" not in done.stdout
    assert {path: path.stat().st_mtime_ns for path in undisturbed.glob("trials/*/*")} == before
    assert tables(undisturbed) == bytes_before


def test_the_tables_are_assembled_anew_from_the_records(tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "sweep", *SETTINGS, "seed=[1, 2]").root
    before = tables(out)
    for name in ("results.csv", "results.parquet", "history.parquet", "timings.csv"):
        (out / name).unlink()
    assert "6 trials: 6 done" in call("results", out).stdout
    assert tables(out) == before
    assert (out / "timings.csv").exists()


def test_a_run_alone_gives_the_numbers_of_its_trial_in_the_sweep(undisturbed: Path, tmp_path: Path) -> None:
    """From the record's own config, written as a file."""
    trial = next((undisturbed / "trials").glob("tanh-k16-s7-*"))
    overrides = ["dataset=digits", "lr=1e-2", "epochs=4", "save_metrics_every=5", "activation=tanh", "seed=7"]
    infomax_tune("run", *overrides, "--out", tmp_path / "alone")
    assert (tmp_path / "alone/weights.safetensors").read_bytes() == (trial / "weights.safetensors").read_bytes()
    call("run", tmp_path / "alone/config.yaml", "--out", tmp_path / "again")
    assert (tmp_path / "again/weights.safetensors").read_bytes() == (trial / "weights.safetensors").read_bytes()


def test_more_seeds_train_the_new_trials_only_and_fewer_make_a_smaller_table(undisturbed: Path, tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "grown", *SETTINGS, "seed={range: [1, 3]}").root
    before = {path: path.stat().st_mtime_ns for path in out.glob("trials/*/*")}
    more = sweep_here("sweep", *SMALL, "--out", out)
    assert "21 of 30 trials to train" in more.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tables(out) == tables(undisturbed)
    call("sweep", *SMALL, "--set", "seed=[2]", "--out", out, "--no-report", "--narrow")
    assert pd.read_csv(out / "results.csv")["seed"].tolist() == [2, 2, 2]
    assert len(list(out.glob("trials/*/record.json"))) == 30


def test_an_existing_ray_cluster_is_joined_and_left_running_quietly(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-this-test-alone-0123456789abcdef")
    ray = Path(sys.executable).with_name("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    port = free_port()
    log = (tmp_path / "ray.log").open("w+", encoding="utf-8")
    head = [ray, "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1"]
    head += ["--num-cpus=1", "--include-dashboard=false"]
    # of its own, where another cluster runs beside it
    head += [f"--ray-client-server-port={free_port()}", "--min-worker-port=0", "--max-worker-port=0"]
    cluster = subprocess.Popen(head, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_until(lambda: "Ray runtime started" in (tmp_path / "ray.log").read_text(encoding="utf-8"))
        out = tmp_path / "joined"
        done = infomax_tune("sweep", *SMALL, "--address", f"127.0.0.1:{port}", "--out", out, "--quiet")
        assert (done.stdout, done.stderr) == ("", "")
        assert tables(out) == tables(undisturbed)
        assert cluster.poll() is None
    finally:
        cluster.terminate()
        cluster.wait(60)
        log.close()


SPACE = """
name: ../../escaped
base: {dataset: digits, epochs: 4, optimizer: sgd}
axes:
  activation: [identity]
  lr: [0.01, 1e30]
  seed: [1, 2]
"""


def test_names_may_be_odd_and_trials_that_diverge_are_counted_and_are_no_failure(tmp_path: Path) -> None:
    """The folder's name, and the space's, which cannot leave the output folder."""
    odd = "mes résultats #1 50% [x] & co"
    (tmp_path / f"{odd}.yaml").write_text(SPACE)
    done = infomax_tune("sweep", f"{odd}.yaml")
    assert "4 trials: 2 done, 2 diverged" in done.stdout
    assert [path.name for path in (tmp_path / "results").iterdir()] == [odd]
    assert not list(tmp_path.parent.glob("**/*escaped*"))
    out = tmp_path / "results" / odd
    results = pd.read_csv(out / "results.csv").set_index("lr")
    assert results.loc[1e30, "diverged_epoch"].tolist() == [1, 1]
    assert results.loc[1e30, "loss"].isna().all()
    assert results.loc[0.01, "status"].tolist() == ["done", "done"]
    assert tables(out) == tables(make_sweep(tmp_path / "plain", space=f"{odd}.yaml").root)
