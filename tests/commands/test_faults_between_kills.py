"""What the chaos does to a folder between two kills: `verify` tells each fault, and what it costs is trained again."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from benchmarks.faults import FILES, HARMS, broken_promises, fault, unreadable
from infomax_tune.follow.tensorboard_runs import mend, of_sweep
from infomax_tune.packs.execution import environment_here
from infomax_tune.process.environment import fingerprint
from infomax_tune.store.mending import mend_folder
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables
from tests.command import call, tables
from tests.folders import finish_sweep, make_interrupted_sweep


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven trials have a record, one a checkpoint; there are tables and environments."""
    _, folder = make_interrupted_sweep(tmp_path_factory.mktemp("interrupted") / "sweep")
    described = environment_here(device="cpu", threads=1)
    folder.environments.write_latest(described)
    folder.environments.note_used(described, fingerprint(described))
    write_tables(folder, folder.read_space().plan())
    return folder.root


@pytest.fixture(scope="module")
def finished(interrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = Path(shutil.copytree(interrupted, tmp_path_factory.mktemp("finished") / "sweep"))
    finish_sweep(SweepFolder(out))
    return tables(out)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("what", FILES)
def test_each_fault_is_told_and_costs_what_it_says(
    what: str, harm: str, interrupted: Path, finished: dict[str, bytes], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(interrupted, tmp_path / "sweep"))
    records = {path: path.stat().st_mtime_ns for path in out.glob("trials/*/record.json")}
    made = fault(out, what, harm, random.Random(1))
    assert made
    done = call("verify", out, ok=False)
    assert broken_promises(done.returncode, done.stdout + done.stderr, [made]) == []
    folder = SweepFolder(out)
    plan = folder.read_space().plan()
    mend_folder(folder, plan)
    mend(folder.runs_folder, of_sweep(plan, folder))
    finish_sweep(folder)
    assert tables(out) == finished
    again = {path.parent.name for path, then in records.items() if path.stat().st_mtime_ns != then}
    assert again == ({made.trial} if made.costs else set())


def test_a_trial_to_which_something_happened_is_spared(interrupted: Path, tmp_path: Path) -> None:
    out, chance = Path(shutil.copytree(interrupted, tmp_path / "sweep")), random.Random(1)
    harmed: list[str] = []
    while made := fault(out, "a history", "cut", chance, harmed):
        harmed.append(made.trial)
    assert len(harmed) == len(set(harmed)) == 7


def test_a_silent_verify_breaks_its_promises(interrupted: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(interrupted, tmp_path / "sweep"))
    before = call("verify", out).stdout
    made = fault(out, "weights", "empty", random.Random(1))
    assert made
    assert broken_promises(0, before, [made]) == [f"verify is silent on {made.told} (empty weights)"]
    assert broken_promises(2, "Traceback\nx\n", [])[1:] == [
        "verify showed a traceback",
        "verify names no way out: Traceback",
    ]


@pytest.mark.parametrize("name", ["record.json", "history.csv", "weights.safetensors"])
def test_a_file_that_cannot_be_read_is_no_damage(name: str, interrupted: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(interrupted, tmp_path / "sweep"))
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with unreadable(next(out.glob(f"trials/*/{name}"))):
        done = call("verify", out, ok=False)
    assert done.returncode == 2
    assert "cannot be read (Too many levels of symbolic links)" in done.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
