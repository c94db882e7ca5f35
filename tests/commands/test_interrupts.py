"""Ctrl-C, once and twice, of a whole sweep: nothing is lost, and it is said how to go on."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path

import pandas as pd
import pytest

from tests.command import call, start, tables, wait_until
from tests.folders import make_sweep
from tests.gate import Gate
from tests.without_ray import sweep_here

EPOCHS = 6
SETTINGS = [f"epochs={EPOCHS}", "checkpoint_every=1", "activation=[relu, leaky_relu, tanh]"]
LONG = [
    *("quickstart", *(word for setting in SETTINGS for word in ("--set", setting))),
    *("--pack", "10", "--cpus-per-pack", "0.5", "--max-concurrent", "2", "--no-report"),
]
"""30 trials in 3 packs, two at a time on any machine."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    quicker = "checkpoint_every=1000"
    return make_sweep(tmp_path_factory.mktemp("undisturbed") / "sweep", *SETTINGS, quicker).root


def test_ctrl_c_stops_with_nothing_lost_and_says_how_to_go_on(undisturbed: Path, gate: Gate, tmp_path: Path) -> None:
    out = tmp_path / "stopped sweep"
    sweep = start("sweep", *LONG, "--out", out)
    begun = "tensorboard/*/*/*/*"
    wait_until(lambda: (len(list(out.glob(begun))) == 20 and gate.has_come()) or sweep.poll() is not None)
    sweep.send_signal(signal.SIGINT)
    wait_until(lambda: (out / "stop").exists() or sweep.poll() is not None)
    gate.open()
    stdout, stderr = sweep.communicate(timeout=900)
    assert sweep.returncode == 130
    assert "Finishing the current epochs" in stdout
    assert "Traceback" not in stdout + stderr
    command = re.search(r"stopped; to resume: infomax-tune (.*)", stderr)
    assert command is not None
    counts = json.loads(call("status", out, "--json").stdout)["counts"]
    assert counts["left"] == 30
    # of the pack at the gate, and of the other if it had trained an epoch too; the third had not begun
    checkpoints = len(list(out.glob("trials/*/checkpoint.safetensors")))
    assert checkpoints in (10, 20)
    assert f"30 trials: 30 missing ({checkpoints} of them with a checkpoint)" in stdout
    done = sweep_here(*shlex.split(command[1]))
    assert "30 trials: 30 done" in done.stdout
    assert tables(out) == tables(undisturbed)
    # the epochs trained twice: none, since the first Ctrl-C lets them be kept
    assert pd.read_csv(out / "timings.csv")["epochs_trained"].tolist() == [EPOCHS] * 30


def test_a_second_ctrl_c_stops_at_once_and_a_resume_repairs(undisturbed: Path, gate: Gate, tmp_path: Path) -> None:
    """In the middle of an epoch."""
    out = tmp_path / "sweep"
    sweep = start("sweep", *LONG, "--max-concurrent", "1", "--out", out)
    wait_until(lambda: gate.has_come() or sweep.poll() is not None)
    sweep.send_signal(signal.SIGINT)
    wait_until(lambda: (out / "stop").exists() or sweep.poll() is not None)
    sweep.send_signal(signal.SIGINT)
    _, stderr = sweep.communicate(timeout=900)
    assert sweep.returncode == 130
    assert stderr.splitlines()[-1].endswith(
        f"to resume: infomax-tune resume {out} --pack 10 --cpus-per-pack 0.5 --max-concurrent 1 --no-report"
    )
    assert not list(out.glob("trials/*/record.json"))
    gate.open()
    sweep_here("resume", out)
    assert tables(out) == tables(undisturbed)
