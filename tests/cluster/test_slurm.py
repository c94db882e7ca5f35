"""The script for Slurm, run to its end twice: before its time is over it leaves checkpoints, and requeued it goes on.

Slurm is played by stand-ins of the three commands that the script calls, on one node: `srun` runs a command here, and
`scontrol` knows the node and takes note of a requeue. The limit's signal goes to the script alone, as with `--signal=B:TERM@300`.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from infomax_tune.store.sweep_folder import SweepFolder
from tests.command import call, tables, wait_until
from tests.folders import make_sweep

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "slurm" / "sweep.sbatch"
EPOCHS = 3000
SETTINGS = [
    "activation=[relu, tanh]",
    f"epochs={EPOCHS}",
    "checkpoint_every=9000",
    "save_metrics_every=1000",
    "seed=[1, 2]",
]

SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
case $1 in
show) echo localhost ;;
requeue) echo "$2" >> requeued ;;
*) exit 1 ;;
esac
"""
HOSTNAME = "#!/bin/sh\necho 127.0.0.1\n"


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The variables of a job of one node with two CPUs, and the commands."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("hostname", HOSTNAME)):
        (commands / name).write_text(text, encoding="utf-8")
        (commands / name).chmod(0o755)
    own = Path(sys.executable).parent
    return {
        "PATH": f"{commands}:{own}:{os.environ['PATH']}",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_CPUS_PER_TASK": "2",
    }


def submit(slurm: dict[str, str], out: Path, log: Path) -> subprocess.Popen[bytes]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    with log.open("ab") as output:
        return subprocess.Popen(
            ["bash", str(SCRIPT), "quickstart", *settings, "--no-report", "--out", str(out)],
            stdout=output,
            stderr=output,
            env=os.environ | slurm,
            start_new_session=True,
        )


def trains(out: Path) -> bool:
    """Whether a pack has trained an epoch."""
    progress = SweepFolder(out).driver.read_progress()
    return progress is not None and any(pack["epoch"] for pack in progress["packs"])


def test_the_script_stops_before_its_limit_and_goes_on_when_it_is_requeued(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    out, log, requeued = tmp_path / "sweep", tmp_path / "slurm.log", tmp_path / "requeued"
    job = submit(slurm, out, log)
    wait_until(lambda: trains(out) or job.poll() is not None)
    job.send_signal(signal.SIGTERM)
    assert job.wait(300) == 130, log.read_text(encoding="utf-8")
    assert requeued.read_text(encoding="utf-8").split() == [slurm["SLURM_JOB_ID"]]
    assert not list(out.glob("trials/*/record.json"))
    assert list(out.glob("trials/*/checkpoint.safetensors")), "none is due before the end"
    job = submit(slurm, out, log)
    assert job.wait(300) == 0, log.read_text(encoding="utf-8")
    assert requeued.read_text(encoding="utf-8").split() == [slurm["SLURM_JOB_ID"]], "finished, it is not requeued"
    assert tables(out) == tables(make_sweep(tmp_path / "undisturbed", *SETTINGS).root)
    assert pd.read_csv(out / "timings.csv")["epochs_trained"].tolist() == [EPOCHS] * 4
    assert "RAY_AUTH_TOKEN" not in log.read_text(encoding="utf-8")
    assert call("status", out).returncode == 0


def test_the_script_asks_slurm_for_what_it_needs() -> None:
    """The stand-ins do not read these lines."""
    asked = set(re.findall(r"^#SBATCH (--[a-z-]+(?:=\S+)?)", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {"--signal=B:TERM@300", "--requeue", "--open-mode=append", "--ntasks-per-node=1"} <= asked
    checked = subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
