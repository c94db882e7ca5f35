"""What an earlier version left stays good: every command works on the folders under tests/old_folders."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

from infomax_tune import load_results
from infomax_tune.store.files import read_json, write_json
from infomax_tune.store.formats import ENVIRONMENT
from infomax_tune.store.trial_folder import TrialFolder
from tests.command import call, free_port, start, wait_until
from tests.without_ray import sweep_here

OLD = Path(__file__).parents[1] / "old_folders"
VERSIONS = sorted(path.name for path in OLD.iterdir() if path.is_dir())
FINISHED = """
name: finished
description: A small finished sweep, one of whose settings diverges.
base:
  data: {dataset: digits}
  training: {epochs: 4}
  logging: {save_metrics_every: 2}
axes:
  activation: [relu, tanh]
  lr: [0.01, 1.0e+30]
  seed: {range: [1, 4]}
"""
"""The space of the finished sweeps, with one more seed."""


@pytest.fixture(params=VERSIONS)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy of what one version left."""
    return Path(shutil.copytree(OLD / request.param, tmp_path / "left"))


def test_status_and_verify_read_what_is_there(left: Path) -> None:
    expected = {"finished": {"done": 6, "diverged": 6}, "interrupted": {"done": 2, "failed": 1, "left": 3}}
    for name, counts in expected.items():
        found = json.loads(call("status", left / name, "--json").stdout)["counts"]
        assert {status: count for status, count in found.items() if count} == counts
        assert "trial folders checked: no damage" in call("verify", left / name).stdout


def forget(entry: str, out: Path) -> None:
    """Makes a folder's environments those of a version that did not note an entry yet, under another Python."""
    for path in (out / "environments").iterdir():
        noted = read_json(path, ENVIRONMENT) or {}
        del noted[entry], noted["schema"]
        write_json(path, ENVIRONMENT, noted | {"python": "3.0"})


def test_an_interrupted_sweep_is_resumed_and_what_was_done_stays(left: Path) -> None:
    """What its environment did not note is not told as a change."""
    out = left / "interrupted"
    before = load_results(out).set_index("trial_id")
    done = before.index[before["status"] == "done"]
    files = {path: path.read_bytes() for trial_id in done for path in (out / "trials" / trial_id).iterdir()}
    forget("instructions", out)
    told = sweep_here("resume", out, "--mix-arithmetic").stderr
    assert "python was 3.0, is" in told
    assert "instructions" not in told
    after = load_results(out).set_index("trial_id")
    assert (after["status"] == "done").all()
    pd.testing.assert_frame_equal(after.loc[done], before.loc[done])
    assert {path: path.read_bytes() for path in files} == files
    assert not list(out.glob("trials/*/checkpoint.safetensors"))


def test_a_finished_sweep_is_extended_and_analysed(left: Path) -> None:
    out = left / "finished"
    before = load_results(out).set_index("trial_id")
    space = left / "finished.yaml"
    space.write_text(FINISHED)
    told = sweep_here("sweep", space, "--out", out, "--logger", "csv", "--mix-arithmetic").stdout
    assert "4 of 16 trials to train" in told
    assert "csv: 16 trials logged" in told  # those of before too: this tracker is new
    after = load_results(out).set_index("trial_id")
    pd.testing.assert_frame_equal(after.loc[before.index], before)
    call("analyze", out)
    assert "effective rank" in (out / "analysis" / "report.html").read_text(encoding="utf-8")


def test_what_is_measured_now_is_added_without_training(left: Path) -> None:
    """Its trials are those of another arithmetic, and stay what they are."""
    out = left / "finished"
    before = load_results(out).set_index("trial_id")
    call("evaluate", out)
    after = load_results(out).set_index("trial_id")
    pd.testing.assert_series_equal(after["rankme"].notna(), before["status"] == "done", check_names=False)
    there = [name for name in before if before[name].notna().any()]
    pd.testing.assert_frame_equal(after[there], before[there])
    assert "no damage" in call("verify", out).stdout
    call("evaluate", left / "run")
    record = TrialFolder(left / "run").read_record()
    assert record is not None
    assert len(record.units["activation_rate"]) == 16
    assert "done after 5 epochs" in call("run", left / "run" / "config.yaml", "--out", left / "run").stdout


def test_a_run_is_known_as_what_it_is(left: Path) -> None:
    told = call("run", left / "run" / "config.yaml", "--out", left / "run").stdout
    assert "done after 5 epochs" in told


@pytest.mark.parametrize(("name", "runs"), [("finished", 12), ("run", 1)])
def test_tensorboard_shows_it(left: Path, name: str, runs: int) -> None:
    port = free_port()
    server = start("tensorboard", left / name, "--port", port)

    def shown() -> int:
        assert server.poll() is None, server.communicate()
        address = f"http://localhost:{port}/data/plugin/scalars/tags"
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(address) as answer:
            return len(json.load(answer))
        return 0

    try:
        wait_until(lambda: shown() == runs)
    finally:
        server.send_signal(signal.SIGINT)
        with contextlib.suppress(Exception):
            server.wait(30)
        server.kill()
