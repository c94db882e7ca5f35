"""The script for Slurm, run to its end twice: before its time is over it leaves checkpoints, and requeued it goes on.

Slurm is played by stand-ins of the commands that the script calls. All nodes are this machine: `srun` runs a command here,
`scontrol` knows the nodes and takes note of a requeue, and `hostname` has more addresses than the one to take. The limit's
signal goes to the script alone, as with `--signal=B:TERM@300`, and comes again while the script cleans up.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import psutil
import pytest

from tests.command import call, tables, wait_until
from tests.folders import make_sweep
from tests.gate import Gate

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "slurm" / "sweep.sbatch"
EPOCHS = 6
SETTINGS = ["activation=[relu, tanh]", f"epochs={EPOCHS}", "checkpoint_every=9000", "seed=[1, 2]"]

SRUN = """#!/usr/bin/env bash
: "${SRUN_CPUS_PER_TASK:?}"
while [[ $1 == --* ]]; do shift; done
[[ $1 != rm ]] || kill -TERM $PPID
exec "$@"
"""
SCONTROL = """#!/usr/bin/env bash
case $1 in
show) tr , '\\n' <<<"$3" ;;
requeue) echo "$2" >> requeued ;;
*) exit 1 ;;
esac
"""
HOSTNAME = """#!/bin/sh
[ "$1" = --all-ip-addresses ] && echo "127.0.1.1 fd00::7 $ADDRESS 172.17.0.1 "
"""
RAY = """#!/usr/bin/env bash
# a node joins only a head that has answered
case $1 in
start)
    [[ $* == *--head* || -e answered ]] || exit 1
    for word; do [[ $word != --temp-dir=* ]] || mkdir -p "${word#*=}"; done
    echo "$@" >>nodes
    exec sleep 600 ;;
status)
    [ -e nodes ] && [ -z "$SILENT" ] || exit 1
    touch answered
    sed 's/.*/ 1 node_/' nodes ;;
esac
"""
INFOMAX_TUNE = """#!/usr/bin/env bash
touch sweeps
exec sleep 600
"""


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The variables of a job of one node with a CPU, and the commands."""
    stand_in(tmp_path, srun=SRUN, scontrol=SCONTROL, hostname=HOSTNAME)
    own = Path(sys.executable).parent
    return {
        "PATH": f"{tmp_path / 'bin'}:{own}:{os.environ['PATH']}",
        "ADDRESS": "192.0.2.7",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "one",
        "SLURM_CPUS_PER_TASK": "1",
    }


def stand_in(folder: Path, **commands: str) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    for name, text in commands.items():
        (folder / "bin" / name).write_text(text, encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)


def own_address() -> str:
    """The address by which other machines know this one."""
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    if not found:
        pytest.skip("this machine is on no network")
    return found[0]


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


def test_the_script_stops_before_its_limit_and_goes_on_when_it_is_requeued(
    slurm: dict[str, str], gate: Gate, tmp_path: Path
) -> None:
    """First on one node, then on two. A signal at the very end changes nothing."""
    slurm["ADDRESS"] = own_address()
    out, log, requeued = tmp_path / "sweep", tmp_path / "slurm.log", tmp_path / "requeued"
    job = submit(slurm, out, log)
    wait_until(lambda: gate.has_come() or job.poll() is not None)
    job.send_signal(signal.SIGTERM)
    wait_until(lambda: (out / "stop").exists() or job.poll() is not None)
    gate.open()
    assert job.wait(300) == 130, log.read_text(encoding="utf-8")
    assert requeued.read_text(encoding="utf-8").split() == [slurm["SLURM_JOB_ID"]]
    assert not list(out.glob("trials/*/record.json"))
    assert list(out.glob("trials/*/checkpoint.safetensors")), "none is due before the end"
    job = submit(slurm | {"SLURM_JOB_NODELIST": "one,two"}, out, log)
    assert job.wait(300) == 0, log.read_text(encoding="utf-8")
    assert re.findall(r"(\d) at a time", log.read_text(encoding="utf-8")) == ["1", "2"]
    assert requeued.read_text(encoding="utf-8").split() == [slurm["SLURM_JOB_ID"]], "finished, it is not requeued"
    assert not temporary(slurm).exists()
    assert tables(out) == tables(make_sweep(tmp_path / "undisturbed", *SETTINGS).root)
    assert pd.read_csv(out / "timings.csv")["epochs_trained"].tolist() == [EPOCHS] * 4
    assert "RAY_AUTH_TOKEN" not in log.read_text(encoding="utf-8")
    assert call("status", out).returncode == 0


@pytest.mark.parametrize("begun", ["nodes", "sweeps"])
def test_a_job_is_requeued_even_before_its_sweep_takes_signals(
    begun: str, slurm: dict[str, str], tmp_path: Path
) -> None:
    """While Ray starts, and while Python does. Ray and the sweep are stand-ins too."""
    stand_in(tmp_path, ray=RAY, **{"infomax-tune": INFOMAX_TUNE})
    slurm |= {
        "SLURM_JOB_ID": str(30000 * os.getpid() + 29999),  # of the highest ports
        "SLURM_JOB_NODELIST": "one,two",
        "SILENT": "yes" if begun == "nodes" else "",
    }
    log = tmp_path / "slurm.log"
    job = submit(slurm, tmp_path / "sweep", log)
    wait_until(lambda: (tmp_path / begun).exists() or job.poll() is not None, 60)
    assert temporary(slurm).is_dir()
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 143, log.read_text(encoding="utf-8")
    assert (tmp_path / "requeued").read_text(encoding="utf-8").split() == [slurm["SLURM_JOB_ID"]]
    assert not temporary(slurm).exists()
    nodes = (tmp_path / "nodes").read_text(encoding="utf-8").splitlines()
    assert len(nodes) == (1 if begun == "nodes" else 2)
    ports = {int(port) for port in re.findall(r"port=(\d+)", nodes[0])} - {0}
    assert len(ports) == 2
    assert max(ports) < 32768, "the system gives the ports from there on to anyone"
    assert "--node-ip-address=192.0.2.7 " in nodes[0]


def temporary(slurm: dict[str, str]) -> Path:
    """The folder of the job's Ray."""
    return Path("/tmp") / f"ray-{slurm['SLURM_JOB_ID']}"


def test_the_script_asks_slurm_for_what_it_needs() -> None:
    """The stand-ins do not read these lines."""
    asked = set(re.findall(r"^#SBATCH (--[a-z-]+(?:=\S+)?)", SCRIPT.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {
        "--signal=B:TERM@300",
        "--requeue",
        "--open-mode=append",
        "--ntasks-per-node=1",
        "--mem-per-cpu=2G",
    } <= asked
    checked = subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
