"""store/mending.py and verify.py: what is damaged in a folder is told, set aside and trained again, and never believed."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.files import digest, write_json
from infomax_tune.store.formats import ENVIRONMENT
from infomax_tune.store.sweep_folder import TABLES, SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from tests.command import call, tables
from tests.folders import make_sweep
from tests.without_ray import sweep_here

SEEDS = range(1, 10)
"""A trial for each damage, and one that stays whole."""
SETTINGS = ["epochs=2", "checkpoint_every=1", "activation=[tanh]", f"seed={[*SEEDS]}"]
SWEEP = ["quickstart", *(word for setting in SETTINGS for word in ("--set", setting))]
LEFT = f".{'0123456789abcdef' * 2}.tmp"
"""A file that a crash left while it was being written."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sweep(tmp_path_factory.mktemp("finished") / "sweep", *SETTINGS).root


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished sweep under another name: a folder may be moved."""
    return Path(shutil.copytree(finished, tmp_path / "moved and renamed"))


def trial(out: Path, seed: int = 1) -> Path:
    return next(out.glob(f"trials/tanh-k16-s{seed}-*"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def another_trials(folder: Path) -> None:
    """All files of the last trial."""
    for path in trial(folder.parents[1], SEEDS[-1]).iterdir():
        shutil.copy(path, folder)


def of_version(version: object) -> Callable[[Path], None]:
    """A record of another version, with a checksum that is right."""

    def harm(folder: Path) -> None:
        path = folder / "record.json"
        content = json.loads(path.read_bytes()) | {"schema": version}
        del content["sha256"]
        path.write_text(json.dumps(content | {"sha256": digest(content)}))

    return harm


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a cut record": (lambda folder: cut(folder / "record.json"), "record.json: cannot be read"),
    "a flipped record": (lambda folder: flip(folder / "record.json"), "record.json: "),
    "a cut history": (lambda folder: cut(folder / "history.csv"), "history.csv: damaged (its checksum is wrong)"),
    "a flipped history": (lambda folder: flip(folder / "history.csv"), "history.csv: damaged (its checksum is wrong)"),
    "flipped weights": (lambda folder: flip(folder / "weights.safetensors"), "weights.safetensors: damaged"),
    "lost weights": (
        lambda folder: (folder / "weights.safetensors").unlink(),
        "weights.safetensors: cannot be read",
    ),
    "another trial's record": (another_trials, f"belongs to another trial (tanh-k16-s{SEEDS[-1]}-"),
    "a record of no version": (
        of_version("one"),
        "record.json: infomax-tune did not write this record (version 'one')",
    ),
}
assert len(DAMAGES) == len(SEEDS) - 1

EMPTY = {"an empty record": (lambda folder: (folder / "record.json").write_bytes(b""), "record.json: cannot be read")}


def test_a_folder_in_order_is_in_order_wherever_it_was_moved(out: Path, finished: Path) -> None:
    done = call("verify", out)
    assert done.stdout == f"{len(SEEDS)} trial folders checked: no damage\n"
    call("results", out)
    assert tables(out) == tables(finished)


@pytest.mark.parametrize("damage", DAMAGES | EMPTY)
def test_every_damage_is_found_and_not_believed(damage: str, out: Path) -> None:
    harm, message = (DAMAGES | EMPTY)[damage]
    harm(trial(out))
    done = call("verify", out, ok=False)
    assert done.returncode == 1
    assert message in done.stdout
    assert "damaged: " in call("status", out).stdout
    assert f"{len(SEEDS) - 1} done, 1 missing" in call("results", out).stdout


def test_all_damages_at_once_are_trained_again_to_the_same_bytes(out: Path, finished: Path) -> None:
    """And what was noted of an environment is told, and set aside where it is damaged itself."""
    for seed, (harm, _) in zip(SEEDS, DAMAGES.values(), strict=False):
        harm(trial(out, seed))
    (out / "results.csv").write_text("nonsense")
    (out / "trials" / trial(out).name / LEFT).write_text("left over")
    (out / "tensorboard/tanh/k16/seed1" / LEFT).write_text("left over")
    (trial(out) / "checkpoint.safetensors").write_text("nonsense")
    cut(out / "environment.json")
    _note_another_environment(out, "00000000")
    _note_another_environment(out, "11111111")
    cut(out / "environments" / "11111111.json")
    assert call("status", out).stdout.count("damaged: ") == len(DAMAGES)
    named = ways_out(call("verify", out, ok=False).stdout)
    assert named == {("infomax-tune", "resume", str(out)), ("infomax-tune", "results", str(out))}
    done = sweep_here("resume", out)
    for line in done.stderr.splitlines():
        assert line.startswith("warning: ")
    assert done.stderr.count("will be trained again.") == len(DAMAGES)
    assert "trains from the beginning" in done.stderr
    assert "warning: trials of this sweep were trained in a different environment: torch was 2.6.0" in done.stderr
    assert done.stderr.count("it is now unknown whether its trials were trained elsewhere") == 2
    assert done.stderr.count("warning: ") == len(DAMAGES) + 4
    assert f"{len(DAMAGES)} of {len(SEEDS)} trials to train" in done.stdout
    assert f"{len(SEEDS)} trials: {len(SEEDS)} done" in done.stdout
    assert tables(out) == tables(finished)
    verified = call("verify", out)
    assert verified.stdout.count("was damaged and set aside") == len(DAMAGES) + 3
    assert not list(out.glob("**/*.tmp"))
    assert {path.stem for path in (out / "environments").iterdir()} > {"00000000"}
    take(ways_out(verified.stdout))
    assert call("verify", out).stdout == f"{len(SEEDS)} trial folders checked: no damage\n"


def ways_out(verified: str) -> set[tuple[str, ...]]:
    """The commands that verify's lines end with: each of its lines does, except for the last."""
    lines = verified.splitlines()[:-1]
    found = [re.search(r"with: ((infomax-tune|rm) .*)", line) for line in lines]
    assert all(found), verified
    return {tuple(shlex.split(command[1])) for command in found if command}


def take(commands: set[tuple[str, ...]]) -> None:
    for words in sorted(commands):
        if words[0] == "rm":
            subprocess.run(words, check=True)
        else:
            call(*words[1:], *(["--no-report"] if words[1] == "resume" else []))


def a_trial_that_is_not_in_the_sweep(out: Path) -> Path:
    return Path(shutil.copytree(trial(out), out / "trials" / "tanh-k16-s99-00000000"))


def run_of(out: Path) -> Path:
    return next(out.glob("tensorboard/tanh/k16/seed1/*tfevents*"))


CLEARED: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "a damaged environment": (lambda out: flip(out / "environment.json"), "environment.json: ", 1),
    "the environment of a trial": (lambda out: cut(next(out.glob("environments/*"))), "environments/", 1),
    "a checkpoint beside a record": (
        lambda out: (trial(out) / "checkpoint.safetensors").write_text("nonsense"),
        "checkpoint.safetensors: left over from a crash, harmless",
        0,
    ),
    "a failure beside a record": (
        lambda out: (trial(out) / "failure.json").write_text("nonsense"),
        "failure.json: left over from a crash, harmless",
        0,
    ),
    "a leftover": (lambda out: (trial(out) / LEFT).touch(), f"{LEFT}: left over from a crash, harmless", 0),
    "an analysis that was killed": (
        lambda out: ((out / "analysis").mkdir(), (out / "analysis" / LEFT).touch()),
        f"analysis/{LEFT}: left over from a crash, harmless",
        0,
    ),
    "a trial that is not in the sweep": (
        lambda out: cut(a_trial_that_is_not_in_the_sweep(out) / "record.json"),
        "s99-00000000/record.json: cannot be read",
        1,
    ),
    "its checkpoint": (
        lambda out: [
            (a_trial_that_is_not_in_the_sweep(out) / "record.json").rename(
                out / "trials/tanh-k16-s99-00000000/checkpoint.safetensors"
            )
        ],
        "s99-00000000/checkpoint.safetensors: damaged (",
        1,
    ),
    "a note on a tracker": (
        lambda out: (
            (out / "trackers/csv/given").mkdir(parents=True),
            (out / "trackers/csv/given" / f"{trial(out).name}.json").touch(),
        ),
        "Log the trial again with: ",
        0,
    ),
    **{
        f"a flipped {name}": (lambda out, name=name: flip(out / name), f"{name}: damaged (its checksum is wrong)", 1)
        for name in TABLES
    },
    **{
        f"a lost {name}": (lambda out, name=name: (out / name).unlink(), f"{name}: does not exist yet", 0)
        for name in TABLES
    },
    "a cut note on the tables": (lambda out: cut(out / "tables.json"), "tables.json: cannot be read", 1),
    "a flipped run": (lambda out: flip(run_of(out)), "this TensorBoard run is incomplete or damaged", 0),
    "an emptied run": (lambda out: run_of(out).write_bytes(b""), "this TensorBoard run is incomplete or damaged", 0),
    "a lost run": (lambda out: run_of(out).unlink(), "its TensorBoard run is missing", 0),
}
"""What happened, what verify says of it, and verify's exit code. Nothing of it takes training."""


@pytest.mark.parametrize("name", CLEARED)
def test_what_verify_finds_is_cleared_by_the_commands_that_it_names(name: str, out: Path, finished: Path) -> None:
    """Some need two: a damaged file that was set aside is the user's to remove."""
    harm, message, code = CLEARED[name]
    harm(out)
    done = call("verify", out, ok=False)
    assert message in done.stdout
    assert done.returncode == code
    take(ways_out(done.stdout))
    done = call("verify", out)
    take(ways_out(done.stdout))
    assert call("verify", out).stdout == f"{len(SEEDS)} trial folders checked: no damage\n"
    assert tables(out) == tables(finished)


def test_an_environment_that_was_lost_is_what_the_last_trial_was_trained_in(out: Path, finished: Path) -> None:
    """And not that of the machine that happens to mend it."""
    (path,) = (out / "environments").iterdir()
    content = json.loads(path.read_bytes()) | {"host": "elsewhere"}
    del content["schema"], content["sha256"]
    write_json(path, ENVIRONMENT, content)
    flip(out / "environment.json")
    damaged = (out / "environment.json").read_bytes()
    assert "environment.json" in call("resume", out, "--no-report").stderr
    assert json.loads((out / "environment.json").read_bytes())["host"] == "elsewhere"
    assert (out / "environment.json.damaged-1").read_bytes() == damaged


def test_a_record_of_a_newer_version_is_no_damage_and_stays_as_it_is(out: Path) -> None:
    of_version(99)(trial(out))
    before = (trial(out) / "record.json").read_bytes()
    for command in ("verify", "status", "results", "resume"):
        done = call(command, out, ok=False)
        assert done.returncode == 2
        assert (
            "written by a newer infomax-tune (record version 99; this one knows 2); upgrade to continue" in done.stderr
        )
    assert (trial(out) / "record.json").read_bytes() == before


def test_tables_that_are_not_what_the_records_say_are_found(out: Path) -> None:
    flip(out / "results.csv")
    (out / "timings.csv").unlink()
    done = call("verify", out, ok=False)
    assert done.returncode == 1
    assert "results.csv: damaged (its checksum is wrong); recreate it with: infomax-tune results" in done.stdout
    assert "timings.csv: does not exist yet" in done.stdout
    call("results", out)
    call("verify", out)


@pytest.mark.parametrize("harm", [cut, flip, lambda path: path.write_bytes(os.urandom(200))])
def test_a_damaged_sweep_file_is_told_with_the_way_out(harm: Callable[[Path], None], out: Path, finished: Path) -> None:
    harm(out / "sweep.yaml")
    for command in ("resume", "status", "results", "verify"):
        done = call(command, out, ok=False)
        assert done.returncode == 2
        assert "sweep.yaml" in done.stderr
        assert "Traceback" not in done.stderr
        # the way out that the message names
        assert "move this file away and repeat the `infomax-tune sweep` command" in done.stderr
    (out / "sweep.yaml").rename(out / "sweep.yaml.old")
    again = call("sweep", *SWEEP, "--out", out, "--no-report")
    assert f"{len(SEEDS)} trials: {len(SEEDS)} done" in again.stdout
    assert tables(out) == tables(finished)


def _note_another_environment(out: Path, fingerprint: str) -> None:
    environment, *_ = SweepFolder(out).environments.read_used().values()
    other = environment | {"torch": "2.6.0", "cpu": "Another CPU"}
    SweepFolder(out).environments.note_used(other, fingerprint)


def test_another_environment_is_refused_if_asked(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of one if it goes on: see the test of all damages."""
    from infomax_tune.on_ray import sweep

    monkeypatch.setattr(sweep, "cluster", lambda *_, **__: nullcontext(1))  # it is not to train
    monkeypatch.setattr("infomax_tune.on_ray.fit.train_all", pytest.fail)
    _note_another_environment(out, "00000000")
    (trial(out) / "record.json").unlink()
    refused = call("resume", out, "--strict-environment", ok=False)
    assert refused.returncode == 2
    assert "trials of this sweep were trained in a different environment: torch was 2.6.0, is" in refused.stderr
    assert "cpu was Another CPU, is" in refused.stderr
    assert not (trial(out) / "record.json").exists()


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
    done = call("resume", tmp_path, ok=False)
    assert done.returncode == 2
    assert not trap.exists()
