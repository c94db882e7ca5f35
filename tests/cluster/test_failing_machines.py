"""Machines that lose power, that are cut off, that come late; and the death of the one that all others depend on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.cluster.machines import Machines
from tests.command import COMMAND, call, tables, wait_until
from tests.folders import make_sweep

SETTINGS = ["activation=[relu, tanh, identity, softplus]", "epochs=40", "checkpoint_every=5", "seed=[1, 2]"]
WORDS = [*("quickstart", *(word for setting in SETTINGS for word in ("--set", setting))), "--no-report"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("undisturbed") / "sweep", *SETTINGS).root


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with Machines(tmp_path) as made:
        if made.problem:
            pytest.skip(f"no cable can be cut and no machine be told apart here: {made.problem}")
        yield made


def test_a_sweep_outlives_its_machines_and_is_resumed_after_the_head_s_death(
    machines: Machines, undisturbed: Path, tmp_path: Path
) -> None:
    """Every machine holds its pack in the second epoch until its fate is decided."""
    head, off, cut = machines.head(), machines.worker(), machines.worker()
    machines.wait()
    for machine in (head, off, cut):
        machine.set_gate()
    out = tmp_path / "sweep"
    sweep = head.start(*COMMAND, "sweep", *WORDS, "--max-failures", "9", "--address", "auto", "--out", out)
    wait_until(lambda: all(machine.has_begun() for machine in (head, off, cut)) or sweep.poll() is not None)
    off.kill()
    cut.cut()
    late = machines.add()
    late.set_gate()
    machines.join(late)
    wait_until(lambda: late.has_begun() or sweep.poll() is not None)  # the fourth pack, which had no place
    stdout, stderr = machines.let_go(sweep)
    assert sweep.returncode == 0, stdout + stderr
    assert "8 of 8 trials to train, in 4 packs, 3 at a time" in stdout
    for machine in (off, cut):
        assert f"failed on {machine.name}; retrying: its worker died" in stderr
    assert tables(out) == tables(undisturbed)
    assert set(pd.read_csv(out / "timings.csv")["host"]) <= {head.name, late.name}

    # the head dies, with a driver that is elsewhere
    other = tmp_path / "other"
    for machine in (head, late):
        machine.set_gate()
    words = [*WORDS, "--address", machines.address, "--out", other]
    sweep = late.start(*COMMAND, "sweep", *words, RAY_gcs_rpc_server_reconnect_timeout_s="5")
    wait_until(lambda: (head.has_begun() and late.has_begun()) or sweep.poll() is not None)
    head.kill()
    stdout, stderr = sweep.communicate(timeout=900)  # the other machine's gate is closed: nothing ends meanwhile
    assert sweep.returncode not in (0, None), stdout + stderr
    assert "Traceback" not in stdout + stderr
    assert f"the head of the cluster, {machines.address}, does not answer" in stderr
    late.kill()
    assert not list(other.glob("trials/*/record.json"))
    with Machines(tmp_path) as fresh:
        done = fresh.head().infomax_tune("resume", other, "--no-report", "--address", "auto")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tables(other) == tables(undisturbed)
    assert "no damage" in call("verify", other).stdout
