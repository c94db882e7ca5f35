"""A cluster's machines are compared with those that trials were trained on, and not the driver's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infomax_tune.packs.execution import environment_here
from tests.command import free_port, infomax_tune, wait_until
from tests.folders import make_sweep

MORE = ["quickstart", "--set", "activation=[relu]", "--set", "epochs=2", "--set", "seed=[1, 2]"]


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray cluster of one machine whose workers see no AVX, as those of an older machine would; the driver sees it."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of-this-test-alone-0123456789abcdef")
    port, log = free_port(), tmp_path / "ray.log"
    head = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    head += ["--node-ip-address=127.0.0.1", "--include-dashboard=false"]
    # of its own, where another cluster runs beside it
    head += [f"--ray-client-server-port={free_port()}", "--min-worker-port=0", "--max-worker-port=0"]
    older = os.environ | {"ATEN_CPU_CAPABILITY": "default", "RAY_USAGE_STATS_ENABLED": "0"}
    with log.open("w", encoding="utf-8") as output:
        cluster = subprocess.Popen(head, stdout=output, stderr=output, start_new_session=True, env=older)
        try:
            wait_until(lambda: "Ray runtime started" in log.read_text(encoding="utf-8"))
            yield f"127.0.0.1:{port}"
        finally:
            cluster.terminate()
            cluster.wait(60)


def test_the_machines_that_train_are_compared(tmp_path: Path, address: str) -> None:
    here = environment_here(device="cpu", threads=1)["instructions"]
    if here == "DEFAULT":
        pytest.skip("torch uses no more instructions here than on any machine")
    out = make_sweep(tmp_path / "sweep", "activation=[relu]", "epochs=2", "seed=[1]").root
    told = f"trials of this sweep were trained in a different environment: instructions was {here}, is now DEFAULT."
    refused = infomax_tune("sweep", *MORE, "--out", out, "--address", address, "--strict-environment", ok=False)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert len(list((out / "trials").iterdir())) == 1
    assert told in infomax_tune("sweep", *MORE, "--out", out, "--address", address).stderr
    assert len(list((out / "environments").iterdir())) == 2
