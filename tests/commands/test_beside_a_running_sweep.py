"""A folder in which a sweep is at work: signals to all of its processes, other commands beside it, another driver."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from infomax_tune.store.sweep_folder import SweepFolder
from tests.command import call, start, tables, wait_until
from tests.folders import make_sweep
from tests.gate import Gate
from tests.without_ray import Started, sweep_here

EPOCHS = 6
SETTINGS = [f"epochs={EPOCHS}", "checkpoint_every=100", "activation=[relu, tanh]", "seed=[1, 2]"]
LONG = [
    *("quickstart", *(word for setting in SETTINGS for word in ("--set", setting))),
    *("--pack", "2", "--cpus-per-pack", "0.5", "--max-concurrent", "2", "--no-report"),
]
"""4 trials in 2 packs, both at a time on any machine."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("undisturbed") / "sweep", *SETTINGS).root


def phase(out: Path) -> str:
    return (SweepFolder(out).driver.read_progress() or {}).get("phase", "")


def train(out: Path) -> bool:
    """Whether all four trials have begun."""
    return len(list(out.glob("tensorboard/*/*/*/*"))) == 4


def test_a_signal_to_all_of_its_processes_loses_no_epoch(undisturbed: Path, gate: Gate, tmp_path: Path) -> None:
    """As a service manager or a batch system sends it: Ray's processes get it too."""
    out = tmp_path / "sweep"
    sweep = start("sweep", *LONG, "--out", out)
    wait_until(lambda: (train(out) and gate.has_come()) or sweep.poll() is not None)
    driver = psutil.Process(sweep.pid)
    for process in [*driver.children(recursive=True), driver]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    wait_until(lambda: (out / "stop").exists() or sweep.poll() is not None)
    gate.open()
    _, stderr = sweep.communicate(timeout=900)
    assert sweep.returncode == 130
    again = f"infomax-tune resume {out} --pack 2 --cpus-per-pack 0.5 --max-concurrent 2 --no-report"
    assert f"stopped; to resume: {again}" in stderr
    assert (out / "results.csv").exists()
    assert not {"stop", "progress.json"} & {path.name for path in out.iterdir()}
    sweep_here("resume", out)
    assert tables(out) == tables(undisturbed)
    assert pd.read_csv(out / "timings.csv")["epochs_trained"].tolist() == [EPOCHS] * 4


LATE = """
import os, signal, sys, time
from infomax_tune.on_ray import cluster
start = cluster.ray.init
def init(*arguments, **options):
    context = start(*arguments, **options)
    os.kill(os.getpid(), signal.SIGTERM)  # Ray's own handlers stand
    time.sleep(0.3)
    return context
cluster.ray.init = init
from infomax_tune.cli import main
main()
"""


def test_a_signal_in_the_last_moment_of_rays_start_ends_as_any_other(tmp_path: Path) -> None:
    """Ray's C++ part would abort."""
    words = ["sweep", *LONG, "--out", str(tmp_path / "sweep")]
    done = subprocess.run([sys.executable, "-c", LATE, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 130, done.stderr
    assert "stopped; to resume: " in done.stderr


def test_a_signal_while_ray_starts_ends_as_any_other(tmp_path: Path) -> None:
    """A connection that drops, say."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup, it would be ignored
    out = tmp_path / "sweep"
    sweep = start("sweep", *LONG, "--out", out)
    wait_until(lambda: phase(out) == "starting Ray" or sweep.poll() is not None)
    sweep.send_signal(signal.SIGHUP)
    stdout, stderr = sweep.communicate(timeout=900)
    assert sweep.returncode == 130
    assert "4 trials: 4 missing" in stdout
    assert "stopped; to resume: " in stderr
    assert not {"stop", "progress.json"} & {path.name for path in out.iterdir()}


def test_a_driver_that_waits_is_seen_and_one_that_took_over_is_noticed(
    undisturbed: Path, gate: Gate, tmp_path: Path
) -> None:
    """Suspended, a driver tells nothing for as long as it takes; its process is there, and results are refused."""
    out = tmp_path / "sweep"
    sweep = Started("sweep", *LONG, "--out", out, folder=tmp_path)
    wait_until(lambda: gate.has_come() or sweep.poll() is not None)
    sweep.send_signal(signal.SIGSTOP)
    progress = SweepFolder(out).driver.read_progress()
    assert progress is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: progress["updated"] - 3600)  # as if it had told that long ago
        SweepFolder(out).driver.write_progress(progress)
    found = json.loads(call("status", out, "--json").stdout)
    assert found["driver"]["pid"] == sweep.pid
    refused = call("results", out, ok=False)
    assert refused.returncode == 2
    assert f"another sweep is running here (host {os.uname().nodename}, pid {sweep.pid})" in refused.stderr
    # another machine, to which this one's lock is not known, takes the driver for dead
    SweepFolder(out).driver.take_over()
    sweep.send_signal(signal.SIGCONT)
    gate.open()
    _, stderr = sweep.communicate()
    assert sweep.returncode == 2
    assert "another process has taken over this folder; this one stops." in stderr
    assert not list(out.glob("trials/*/record.json"))
    assert json.loads(call("status", out, "--json").stdout)["driver"] is None
    sweep_here("resume", out)
    assert tables(out) == tables(undisturbed)


def test_a_folder_that_is_moved_is_not_made_again_and_resumes_where_it_is(
    undisturbed: Path, gate: Gate, tmp_path: Path
) -> None:
    out, moved = tmp_path / "sweep", tmp_path / "moved"
    sweep = start("sweep", *LONG, "--out", out)
    wait_until(lambda: (train(out) and gate.has_come()) or sweep.poll() is not None)
    out.rename(moved)
    gate.open()
    _, stderr = sweep.communicate(timeout=300)
    assert sweep.returncode == 2
    assert f"the command stops. It is now {moved}, with all that was written until then." in stderr
    assert "Traceback" not in stderr
    assert not out.exists()
    sweep_here("resume", moved)
    assert tables(moved) == tables(undisturbed)
    assert not out.exists()
