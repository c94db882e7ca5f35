"""A sweep whose output folder is in S3: real Ray, a real S3 API, real kills."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import s3fs

import infomax_tune as package
from infomax_tune.process.faults import FAULT, TRACE
from infomax_tune.store import objects
from infomax_tune.store.files import exists
from infomax_tune.store.objects import location
from tests.command import call, free_port, infomax_tune, start, tables, wait_until
from tests.folders import make_sweep
from tests.gate import Gate
from tests.object_store import BUCKET, bytes_below, s3_server
from tests.without_ray import sweep_here

SETTINGS = ["epochs=6", "checkpoint_every=1", "activation=[relu, tanh]", "hidden_dim=[16]", "seed=[1]"]
OPTIONS = [word for setting in SETTINGS for word in ("--set", setting)]
PROMISED = (
    *("results.csv", "results.parquet", "history.parquet", "units.parquet"),
    *("trials/*/history.csv", "trials/*/weights.safetensors"),
)


@pytest.fixture(autouse=True)
def _s3(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


def test_a_sweep_in_s3_is_killed_resumed_damaged_and_mended_and_has_the_bytes_of_one_on_a_disk(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = f"s3://{BUCKET}/lab/study"

    # killed while it trains, then before the put of a record
    sweep = start("sweep", "quickstart", *OPTIONS, "--pack", 1, "--max-concurrent", 1, "--no-report", "--out", out)
    wait_until(lambda: bool(bytes_below(out, "trials/*/checkpoint.safetensors")) or sweep.poll() is not None)
    assert gate.has_come()
    assert "another sweep is running here" in call("resume", out, ok=False).stderr
    status = json.loads(call("status", out, "--json").stdout)
    assert status["total"] == 2
    sweep.kill()
    _, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == -signal.SIGKILL, errors
    monkeypatch.delenv(TRACE)
    here = make_sweep(tmp_path / "here", *SETTINGS).root
    with monkeypatch.context() as patch:
        patch.setenv(FAULT, "record.json:begun:1")
        infomax_tune("resume", out, "--max-failures", 0, "--max-concurrent", 1, ok=False)
    assert not objects.matching(location(out), "trials/*/record.json")

    # a checkpoint is damaged: found, set aside, its trial trained from the beginning
    path = objects.matching(location(out), "trials/*/checkpoint.safetensors")[0]
    objects.write(path, objects.read(path)[:-1] + b"!")
    assert f"{path}: damaged" in call("verify", out, ok=False).stdout
    done = sweep_here("resume", out, report=True)
    assert "2 done" in done.stdout
    assert bytes_below(out, *PROMISED) == tables(here)
    assert f"report: {out}/analysis/report.html" in done.stdout
    assert "was damaged and set aside; remove with the tool of your object store" in call("verify", out).stdout

    table = package.load_results(out)
    assert (table["status"] == "done").all()
    assert "ray.log" in objects.names(location(out))
    see_curves(out)


def see_curves(out: str) -> None:
    """TensorBoard shows every trial's run, from a copy made here."""
    port = free_port()
    server = start("tensorboard", out, "--port", port)
    try:
        address = f"http://localhost:{port}/data/runs"
        names: list[str] = []

        def shown() -> bool:
            try:
                with urllib.request.urlopen(address, timeout=5) as answer:
                    names[:] = json.load(answer)
            except OSError:
                return False
            return len(names) == 2

        wait_until(lambda: shown() or server.poll() is not None)
        assert {name.split("/")[0] for name in names} == {"relu", "tanh"}
    finally:
        os.kill(server.pid, signal.SIGTERM)
        server.communicate(timeout=60)
    assert server.returncode != -signal.SIGTERM  # it ended TensorBoard, and its copy, before itself


def test_one_trial_runs_into_s3(tmp_path: Path) -> None:
    settings = ("activation=tanh", "dataset=digits", "epochs=2")
    out = f"s3://{BUCKET}/one"
    call("run", *settings, "--out", tmp_path / "one")
    call("run", *settings, "--out", out)
    assert "done after 2 epochs" in call("run", *settings, "--out", out).stdout
    for name in ("history.csv", "weights.safetensors"):
        assert objects.read(location(out) / name) == (tmp_path / "one" / name).read_bytes()
    assert "holds tanh" in call("run", "activation=relu", "dataset=digits", "--out", out, ok=False).stderr


@pytest.mark.parametrize("name", ["a-bucket", f"{BUCKET}/[ab]*", f"{BUCKET}/trials"])
def test_a_folder_may_have_any_name(name: str) -> None:
    """A bucket is a folder too; no name is a pattern, or is taken for that of what is in it."""
    if "/" not in name:
        s3fs.S3FileSystem(skip_instance_cache=True).mkdir(name)
    out = f"s3://{name}"
    folder = make_sweep(location(out), "epochs=1", "activation=[relu]", "seed=[1]", runs=False)
    assert call("verify", out).stdout == "1 trial folders checked: no damage\n"
    assert len(folder.environments.read_used()) == 1
    (trial,) = folder.trial_folders()
    objects.write(trial / "record.json.damaged-1", b"")
    (used,) = objects.matching(location(out), "environments/*.json")
    objects.write(used, b"nonsense")
    found = call("verify", out, ok=False).stdout
    assert f"{used}: cannot be read" in found
    assert f"{trial}/record.json.damaged-1: was damaged and set aside" in found
    assert "trials" in objects.names(location(out))
    for path in (location(out) / "sweep.yaml", *objects.matching(location(out), "trials/*/*")):
        objects.remove(path)
    assert call("sweep", "quickstart", "--out", out, ok=False).stderr == (
        f"infomax-tune: {location(out)}: holds results.csv, which no sweep made; choose another output folder, "
        "or move that away.\n"
    )


def test_a_read_is_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    path, asked, call_s3 = location(f"s3://{BUCKET}/reads") / "file", [], s3fs.S3FileSystem._call_s3

    async def note(self: s3fs.S3FileSystem, method: str, *words: Any, **options: Any) -> Any:
        asked.append(method)
        return await call_s3(self, method, *words, **options)

    objects.write(path, b"x" * 1000)
    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", note)
    assert objects.read(path) == b"x" * 1000
    assert not exists(path.with_name("another"))
    assert asked == ["get_object"] * 2


def test_what_cannot_be_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = ("sweep", "quickstart", "--no-report", "--out")
    assert "only this process can see it" in call(*sweep, "memory://a", ok=False).stderr
    refused = call(*sweep, f"s3://{BUCKET}/x", "--logger", "csv", ok=False).stderr
    assert "writes files to the output folder" in refused
    assert "bucket does not exist" in call(*sweep, "s3://nobody/x", ok=False).stderr
    assert "does not exist; give the output folder of a sweep" in call("status", f"s3://{BUCKET}/x", ok=False).stderr
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    location(f"s3://{BUCKET}/x").fs.clear_instance_cache()  # pyright: ignore[reportAttributeAccessIssue]
    assert "cannot be read (Could not connect" in call("status", f"s3://{BUCKET}/y", ok=False).stderr
