"""Disks that are full and folders that may only be read: told in one message, with nothing lost."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.command import COMMAND, call, tables, wait_until
from tests.folders import make_sweep
from tests.gate import Gate
from tests.without_ray import sweep_here

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ["epochs=2", "activation=[tanh]", "seed=[1, 2]"]
SWEEP = ["quickstart", *(word for setting in SETTINGS for word in ("--set", setting))]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished sweep."""
    return make_sweep(tmp_path / "sweep", *SETTINGS).root


def test_a_full_disk_is_told_and_leaves_everything_to_go_on_with(out: Path) -> None:
    """The largest file a process may write is the disk's end, to it."""
    expected = tables(out)
    (out / "results.csv").unlink()
    limit = 300

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*COMMAND, "results", out], preexec_fn=small_disk, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 2
    assert "results.csv: cannot be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    call("resume", out, "--no-report")
    assert tables(out) == expected


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, list[str]]]:
    """A file system of 4 MB that only some processes see; its folder as this one sees it, and the words before a command
    that make it see it at `tmp_path`/disk."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("a file system can be mounted by root alone, with util-linux")
    mount = f"mount -t tmpfs -o size=4m tmpfs {shlex.quote(str(disk))} && echo mounted && read end"
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", mount], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        if holder.stdout.readline() != "mounted\n":
            pytest.skip(f"no file system can be mounted here: {holder.communicate()[1]}")
        yield Path(f"/proc/{holder.pid}/root{disk}"), ["nsenter", f"--target={holder.pid}", "--mount"]
    finally:
        holder.communicate()


def write_without_end(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))


def test_a_disk_that_fills_up_ends_a_sweep_that_loses_nothing(
    small_disk: tuple[Path, list[str]], gate: Gate, tmp_path: Path
) -> None:
    """While the second trial trains."""
    disk, seen = small_disk
    settings = ["activation=[tanh]", "seed=[1, 2, 3]", "epochs=2", "checkpoint_every=1"]
    options = [word for setting in settings for word in ("--set", setting)]
    out = tmp_path / "disk" / "sweep"

    one_by_one = ["--pack", "1", "--max-concurrent", "1", "--max-failures", "0", "--no-report"]
    command = [*seen, *COMMAND, "sweep", "quickstart", *options, *one_by_one, "--out", str(out)]
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as sweep:
        try:
            wait_until(lambda: any(disk.glob("sweep/trials/*/record.json")) or sweep.poll() is not None)
            with pytest.raises(OSError, match="No space left"):
                write_without_end(disk / "ballast")
            gate.open()
            _, stderr = sweep.communicate(timeout=900)
        finally:
            sweep.kill()
    assert sweep.returncode == 2
    last = stderr.splitlines()[-1]
    assert last == (  # the first traceback of a trial stands above it
        f"infomax-tune: {out}: cannot be written (No space left on device). What was trained is kept: "
        f"free some space there, then resume with: infomax-tune resume {out}"
    )
    records = {path: path.read_bytes() for path in disk.glob("sweep/trials/*/record.json")}
    assert len(records) == 1
    assert "no damage" in call("verify", disk / "sweep").stdout
    refused = sweep_here("resume", disk / "sweep", ok=False)
    assert refused.returncode == 2
    assert "No space left on device" in refused.stderr.splitlines()[-1]
    (disk / "ballast").unlink()
    resume = [*seen, *COMMAND, "resume", str(out), "--max-concurrent", "1", "--no-report"]
    done = subprocess.run(resume, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in records} == records
    assert tables(disk / "sweep") == tables(make_sweep(tmp_path / "roomy", *settings).root)


@pytest.fixture
def read_only(out: Path) -> Iterator[Path]:
    """A finished sweep that may be read alone, results.csv excepted, which was lost."""
    (out / "results.csv").unlink()
    paths = [out, *out.rglob("*")]
    modes = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(modes[path] & ~0o222)
    yield out
    for path in paths:
        path.chmod(modes[path])


def _obey_permissions() -> None:
    """What root gives up to be like anyone else: the right to write where the mode forbids it, for what it runs too."""
    drop_from_bounding_set, dac_override = 24, 1
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0) != 0:
        raise PermissionError


CALLS = """
import json, sys
from tests.command import call
done = [call(*command, ok=False) for command in json.load(sys.stdin)]
json.dump([(one.returncode, one.stdout, one.stderr) for one in done], sys.stdout)
"""
"""A program that calls commands one after another, as `call` does."""


def test_a_folder_that_may_only_be_read_is_told_and_can_be_read(read_only: Path) -> None:
    def obedient(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, preexec_fn=_obey_permissions, capture_output=True, text=True, timeout=900, check=False, **options
        )

    try:
        touched = obedient(["touch", str(read_only / "mine")])
    except subprocess.SubprocessError:
        pytest.skip("root cannot give up its rights here")
    assert touched.returncode != 0, "everything may be written here"
    new = read_only / "new"
    of_old, of_new = (f"{folder}: cannot be written (Permission denied)" for folder in (read_only, new))
    refused = {
        ("resume", read_only): f"{of_old}; choose another output folder.",
        ("sweep", *SWEEP, "--out", new): f"{of_new}; choose another output folder.",
        ("run", "dataset=digits", "--out", new): f"{of_new}; choose another output folder.",
        ("results", read_only): f"{of_old}.",
    }
    commands = [*refused, ("verify", read_only), ("status", read_only)]
    words = json.dumps([[str(word) for word in command] for command in commands])
    done = obedient([sys.executable, "-c", CALLS], input=words, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    *of_refused, verified, status = json.loads(done.stdout)
    for message, (code, _, err) in zip(refused.values(), of_refused, strict=True):
        assert (code, err) == (2, f"infomax-tune: {message}\n")
    assert "2 trial folders checked: no damage" in verified[1]
    assert "2" in status[1].splitlines()[-1]
