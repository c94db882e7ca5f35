"""Folders that something happened to: what is damaged is told, set aside and trained again, and never believed."""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import resource
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
import safetensors.numpy

from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from tests.command import COMMAND, infomax_tune, tables, wait_until

SMALL = [
    "quickstart",
    "--set",
    "epochs=2",
    "--set",
    "checkpoint_every=1",
    "--set",
    "activation=[tanh]",
    "--set",
    "seed=[1, 2]",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "sweep"
    infomax_tune("sweep", *SMALL, "--out", out)
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished sweep under another name: a folder may be moved."""
    return Path(shutil.copytree(finished, tmp_path / "moved and renamed"))


def trial(out: Path) -> Path:
    return next(out.glob("trials/tanh-k16-s1-*"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def test_a_folder_in_order_is_in_order_wherever_it_was_moved(out: Path, finished: Path) -> None:
    done = infomax_tune("verify", out)
    assert done.stdout == "2 trial folders checked: no damage\n"
    infomax_tune("results", out)
    assert tables(out) == tables(finished)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a cut record": (lambda out: cut(trial(out) / "record.json"), "record.json: cannot be read"),
    "a flipped record": (lambda out: flip(trial(out) / "record.json"), "record.json: "),
    "a cut history": (lambda out: cut(trial(out) / "history.csv"), "history.csv: damaged (its checksum is wrong)"),
    "a flipped history": (lambda out: flip(trial(out) / "history.csv"), "history.csv: damaged (its checksum is wrong)"),
    "flipped weights": (lambda out: flip(trial(out) / "weights.safetensors"), "weights.safetensors: damaged"),
    "lost weights": (lambda out: (trial(out) / "weights.safetensors").unlink(), "weights.safetensors: cannot be read"),
    "another trial's record": (
        lambda out: [shutil.copy(path, trial(out)) for path in next(out.glob("trials/tanh-k16-s2-*")).iterdir()],
        "is of another trial (tanh-k16-s2-",
    ),
    "a record of another schema": (
        lambda out: other_schema(trial(out) / "record.json"),
        "of schema 99, this version knows 1",
    ),
    "an empty record": (lambda out: (trial(out) / "record.json").write_bytes(b""), "record.json: cannot be read"),
}


def other_schema(path: Path) -> None:
    from infomax_tune.store import files

    content = json.loads(path.read_bytes()) | {"schema": 99}
    del content["sha256"]
    path.write_text(json.dumps(content | {"sha256": files.digest(content)}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_found_and_not_believed(damage: str, out: Path) -> None:
    harm, message = DAMAGES[damage]
    harm(out)
    done = infomax_tune("verify", out, ok=False)
    assert done.returncode == 1
    assert message in done.stdout
    assert "damaged: " in infomax_tune("status", out).stdout
    assert "1 done, 1 missing" in infomax_tune("results", out).stdout


def test_all_damages_at_once_are_trained_again_to_the_same_bytes(out: Path, finished: Path) -> None:
    cut(trial(out) / "record.json")
    flip(next(out.glob("trials/tanh-k16-s2-*")) / "weights.safetensors")
    (out / "results.csv").write_text("nonsense")
    (out / "trials" / trial(out).name / ".0123.tmp").write_text("left over")
    (out / "tensorboard/tanh/k16/seed1/.4567.tmp").write_text("left over")
    done = infomax_tune("resume", out)
    assert done.stderr.count("warning:") == 2
    assert "2 of 2 trials to train" in done.stdout
    assert tables(out) == tables(finished)
    verified = infomax_tune("verify", out)
    assert verified.stdout.count("was damaged, and set aside") == 2
    assert not list(out.glob("**/*.tmp"))


def test_tables_that_are_not_what_the_records_say_are_found(out: Path) -> None:
    flip(out / "results.csv")
    (out / "timings.csv").unlink()
    done = infomax_tune("verify", out, ok=False)
    assert done.returncode == 1
    assert "results.csv: not what the records say; make it anew with: infomax-tune results" in done.stdout
    assert "timings.csv: not there yet" in done.stdout
    infomax_tune("results", out)
    infomax_tune("verify", out)


@pytest.mark.parametrize("harm", [cut, flip, lambda path: path.write_bytes(os.urandom(200))])
def test_a_damaged_sweep_file_is_told_with_the_way_out(harm: Callable[[Path], None], out: Path, finished: Path) -> None:
    harm(out / "sweep.yaml")
    for command in ("resume", "status", "results", "verify"):
        done = infomax_tune(command, out, ok=False)
        assert done.returncode == 2
        assert "sweep.yaml" in done.stderr
        assert "Traceback" not in done.stderr
    # the way out that the message names
    assert "move this file away and repeat the `infomax-tune sweep` command" in done.stderr
    (out / "sweep.yaml").rename(out / "sweep.yaml.old")
    assert "2 trials: 2 done" in infomax_tune("sweep", *SMALL, "--out", out).stdout
    assert tables(out) == tables(finished)


def test_another_environment_is_told_and_refused_if_asked(out: Path) -> None:
    ((environment,), _) = SweepFolder(out).read_environments()
    SweepFolder(out).note_environment(environment | {"torch": "2.6.0", "cpu": "Another CPU"}, "00000000")
    (trial(out) / "record.json").unlink()
    refused = infomax_tune("resume", out, "--strict-environment", ok=False)
    assert refused.returncode == 2
    assert "trials of this sweep were trained in another environment: torch was 2.6.0, is" in refused.stderr
    assert "cpu was Another CPU, is" in refused.stderr
    assert not (trial(out) / "record.json").exists()
    warned = infomax_tune("resume", out)
    assert "warning: trials of this sweep were trained in another environment: torch was 2.6.0" in warned.stderr
    assert {path.stem for path in (out / "environments").iterdir()} > {"00000000"}
    # and what was noted of an environment may be damaged itself
    cut(out / "environments" / "00000000.json")
    (trial(out) / "record.json").unlink()
    assert "whether its trials were trained elsewhere is not known" in infomax_tune("resume", out).stderr


def test_a_full_disk_is_told_and_leaves_everything_to_go_on_with(out: Path, finished: Path) -> None:
    """The largest file a process may write is the disk's end, to it."""
    (trial(out) / "record.json").unlink()
    limit = 300

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*COMMAND, "results", out], preexec_fn=small_disk, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 2
    assert "results.csv: cannot be written (File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    infomax_tune("resume", out)
    assert tables(out) == tables(finished)


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
    small_disk: tuple[Path, list[str]], tmp_path: Path
) -> None:
    disk, seen = small_disk
    settings = [
        *("quickstart", "--set", "activation=[tanh]", "--set", "seed={range: [1, 6]}"),
        *("--set", "epochs=40", "--set", "checkpoint_every=1", "--no-report"),
    ]
    out = tmp_path / "disk" / "sweep"

    def infomax_tune_there(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*seen, *COMMAND, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)

    one_by_one = ["--pack", "1", "--max-concurrent", "1", "--max-failures", "0"]
    with subprocess.Popen(
        [*seen, *COMMAND, "sweep", *settings, *one_by_one, "--out", out], stdout=PIPE, stderr=PIPE, text=True
    ) as sweep:
        wait_until(lambda: any(disk.glob("sweep/trials/*/record.json")) or sweep.poll() is not None)
        with pytest.raises(OSError, match="No space left"):
            write_without_end(disk / "ballast")
        _, stderr = sweep.communicate(timeout=200)
    assert sweep.returncode == 2
    last = stderr.splitlines()[-1]
    assert last == (  # the first traceback of a trial stands above it
        f"infomax-tune: {out}: cannot be written (No space left on device). What was trained is kept: "
        f"make room there, then go on with: infomax-tune resume {out}"
    )
    records = {path: path.read_bytes() for path in disk.glob("sweep/trials/*/record.json")}
    assert 0 < len(records) < 6
    assert "no damage" in infomax_tune_there("verify", out).stdout
    refused = infomax_tune_there("resume", out)
    assert refused.returncode == 2
    assert "No space left on device" in refused.stderr.splitlines()[-1]
    (disk / "ballast").unlink()
    done = infomax_tune_there("resume", out, "--no-report")
    assert done.returncode == 0, done.stderr
    assert {path: path.read_bytes() for path in records} == records
    infomax_tune("sweep", *settings, "--out", tmp_path / "roomy")
    assert tables(disk / "sweep") == tables(tmp_path / "roomy")


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


def test_a_folder_that_may_only_be_read_is_told_and_can_be_read(read_only: Path) -> None:
    def run(*command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, command)),
            preexec_fn=_obey_permissions,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    try:
        assert run("touch", read_only / "mine").returncode != 0, "everything may be written here"
    except subprocess.SubprocessError:
        pytest.skip("root cannot give up its rights here")
    new, table = read_only / "new", read_only / "results.csv"
    for command, message in {
        ("resume", read_only): f"{read_only}: cannot be written (Permission denied); choose another --out.",
        ("sweep", *SMALL, "--out", new): f"{new}: cannot be written (Permission denied); choose another --out.",
        ("run", "dataset=digits", "--out", new): f"{new}: cannot be written (Permission denied); choose another --out.",
        ("results", read_only): f"{table}: cannot be written (Permission denied).",
    }.items():
        done = run(*COMMAND, *command)
        assert (done.returncode, done.stderr) == (2, f"infomax-tune: {message}\n")
    assert "2 trial folders checked: no damage" in run(*COMMAND, "verify", read_only).stdout
    assert "2" in run(*COMMAND, "status", read_only).stdout.splitlines()[-1]


def test_nothing_in_a_folder_is_ever_unpickled_or_run(tmp_path: Path) -> None:
    """Files that would run code if they were trusted: a pickle, a tag, a crafted header."""
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(trap),)

    folder = TrialFolder(tmp_path / "trial")
    folder.write_checkpoint(Checkpoint("tanh-k16-s1-00000000", 1, {"weight": np.ones((1, 1), np.float32)}, [], {}))
    header = json.dumps({"__metadata__": {"about": "!!python/object/apply:os.mkdir [trap]", "sha256": "0"}}).encode()
    crafted = [
        pickle.dumps(Bomb()),
        (2**63).to_bytes(8, "little") + b"{}",
        len(header).to_bytes(8, "little") + header,
        safetensors.numpy.save({"history": np.zeros((1, 1))}, {"about": "[]", "sha256": "0"}),
    ]
    for data in crafted:
        for name in ("checkpoint.safetensors", "weights.safetensors", "record.json"):
            (folder.path / name).write_bytes(data)
        assert folder.find().status == "damaged"
        assert folder.damage()
    (tmp_path / "sweep.yaml").write_text(f"schema: 1\nname: !!python/object/apply:os.mkdir [{trap}]\n")
    done = infomax_tune("resume", tmp_path, ok=False)
    assert done.returncode == 2
    assert not trap.exists()


def test_a_name_in_a_space_cannot_leave_the_output_folder(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("name: ../../escaped\nbase: {dataset: digits, epochs: 0}\naxes: {seed: [1]}\n")
    infomax_tune("sweep", tmp_path / "space.yaml")
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["space"]
    assert not list(tmp_path.parent.glob("**/*escaped*"))
