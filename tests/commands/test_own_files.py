"""A folder from somebody else, or that holds other things too: nothing outside it is changed, and nothing that is not ours."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infomax_tune.errors import TakenOverError
from infomax_tune.packs import later_metrics
from infomax_tune.store import objects
from infomax_tune.store.files import digest
from infomax_tune.store.objects import location
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder, run_path
from tests.command import call, tables
from tests.folders import make_sweep

SETTINGS = ("epochs=1", "activation=relu", "seed=1,2")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep."""
    return make_sweep(tmp_path_factory.mktemp("made") / "out", *SETTINGS).root


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def one_of(out: Path) -> Path:
    return SweepFolder(out).trial_folders()[0]


def bytes_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def replace_by_link(path: Path, outside: Path) -> None:
    """Moves a file or a folder of the sweep away, or makes what is missing there, and links it."""
    if path.exists():
        path.rename(outside / path.name)
    elif path.suffix:
        (outside / path.name).write_text("theirs")
    else:
        (outside / path.name).mkdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside / path.name)


PLACES: list[Callable[[Path], Path]] = [
    one_of,
    lambda out: one_of(out) / "record.json",
    lambda out: one_of(out) / "weights.safetensors",
    *(
        lambda out, name=name: out / name
        for name in (
            "trials",
            "lock",
            "ray.log",
            "sweep.yaml",
            "results.csv",
            "environments",
            "parts",
            "tensorboard",
            "tensorboard/relu/k16",
            "trackers/csv",
            "trackers/mlflow/mlflow.db",
        )
    ),
]


@pytest.mark.parametrize("place", range(len(PLACES)))
def test_no_command_writes_through_a_link_and_verify_names_it(place: int, out: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = PLACES[place](out)
    replace_by_link(link, outside)
    before, inside = bytes_in(outside), bytes_in(out)
    checked = call("verify", out, ok=False)
    assert checked.returncode == 1
    assert f"{link}: a link, and nothing is written through one; " in checked.stdout
    assert f"rm {link}" in checked.stdout
    for words in (("results", out), ("evaluate", out, "--probe"), ("resume", out, "--no-report")):
        refused = call(*words, ok=False)
        assert refused.returncode == 2
        assert f"{link}: a link" in refused.stderr
    assert bytes_in(outside) == before
    assert bytes_in(out) == inside


def test_the_report_is_not_written_through_a_link(out: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (out / "analysis").symlink_to(tmp_path / "outside")
    assert "analysis: a link" in call("analyze", out, ok=False).stderr
    assert bytes_in(tmp_path / "outside") == {}


def test_links_of_the_user_and_of_a_tracker_are_theirs(out: Path, tmp_path: Path) -> None:
    """The output folder may be reached through a link, hold other links, and what wandb keeps of a trial has some."""
    (out / "paper").symlink_to(tmp_path)
    run = out / "trackers" / "wandb-offline" / one_of(out).name / "wandb"
    run.mkdir(parents=True)
    (run / "latest-run").symlink_to("run-1")
    (tmp_path / "link").symlink_to(out)
    call("results", tmp_path / "link")
    assert "no damage" in call("verify", tmp_path / "link").stdout


def test_a_run_is_not_written_through_a_link(tmp_path: Path) -> None:
    run = ("run", "activation=relu", "dataset=digits", "epochs=1", "--out", "run")
    call(*run)
    (tmp_path / "outside").mkdir()
    Path("run/record.json").unlink()
    shutil.rmtree("run/tensorboard")
    Path("run/tensorboard").symlink_to(tmp_path / "outside")
    assert "tensorboard: a link" in call(*run, ok=False).stderr
    assert bytes_in(tmp_path / "outside") == {}


@pytest.mark.parametrize("name", ["../../../profile", "/etc/hostname", "record.json", "notes.txt"])
def test_a_record_vouches_for_no_other_file(name: str, out: Path, tmp_path: Path) -> None:
    """Whoever made the folder can write valid checksums."""
    path = one_of(out) / "record.json"
    content = json.loads(path.read_text())
    del content["sha256"]
    (tmp_path / "profile").write_text("mine")
    content["files"][name] = "0" * 64
    path.write_text(json.dumps(content | {"sha256": digest(content)}))
    assert f"{path}: infomax-tune did not write this record" in call("verify", out, ok=False).stdout
    assert "is damaged" in call("evaluate", out, "--probe", ok=False).stderr
    assert (tmp_path / "profile").read_text() == "mine"


@pytest.mark.parametrize("name", ["../../../outside", "/tmp/infomax-tune-outside", ".."])
def test_the_name_of_an_unknown_part_is_no_path(name: str, out: Path) -> None:
    """As TensorBoard's runs have the activation's name; a newer version may have more of them."""
    config = SweepFolder(out).read_space().trials()[0]
    model = config.model.model_copy(update={"activation": name})
    path = run_path(config.model_copy(update={"model": model}))
    assert ".." not in path.parts
    assert not path.is_absolute()
    assert len(path.parts) == 3


def test_what_the_user_keeps_beside_a_trial_stays(out: Path, made: Path) -> None:
    old = one_of(out)
    for name in ("notes.txt", "record.json.damaged-1", ".notes.txt.swp"):
        (old / name).write_text("mine")
    (old / "figures").mkdir()
    (old / "figures" / "loss.png").write_text("mine")
    call("evaluate", out, "--probe")
    assert set(bytes_in(old)) == {"notes.txt", "record.json.damaged-1", ".notes.txt.swp", "figures/loss.png"}
    assert "2 done" in call("results", out).stdout
    call("evaluate", out, "--probe")
    assert len(tables(out)) == len(tables(made))


def test_what_only_looks_like_ours_stays(out: Path) -> None:
    """An editor's swap file, a draft, and a copy of a trial."""
    names = (
        "analysis/.draft.tmp.md",
        ".results.csv.tmp",
        "trials/.x.tmp",
        "tensorboard/relu/.tmp",
        "trials/copy/record.json",
    )
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    ours = [out / f".{'0123abcd' * 4}.tmp", out / "analysis" / f".{'0123abcd' * 4}.tmp", out / ".room.tmp"]
    for path in ours:
        path.touch()
    assert call("verify", out).stdout.count("left over from a crash") == len(ours)
    call("resume", out, "--no-report")
    assert {(out / name).read_text() for name in names} == {"mine"}
    assert not any(path.exists() for path in ours)
    assert call("verify", out).stdout == "2 trial folders checked: no damage\n"


def test_evaluate_stops_where_a_later_sweep_has_taken_the_folder(tmp_path: Path) -> None:
    """It was suspended for longer than its lease, and an extension of the sweep began and ended meanwhile."""
    store = location(f"memory://lost{tmp_path}")
    folder = make_sweep(store, *SETTINGS, runs=False)
    earlier = folder.driver.take_over()
    after: dict[str, bytes] = {}

    def be_suspended(done: int, total: int) -> None:
        if done == 1:
            assert not folder.driver.is_driven_by(earlier, afresh=True), "workers of an earlier driver go on"
            for name in ("sweep.yaml", "results.csv", "driver.json"):
                objects.write(store / name, b"the later one's")
            objects.write(store / "lock" / "2", b"{}")
            after.update(objects_in(store))

    with pytest.raises(TakenOverError, match="another process has taken over this folder; this one stops"):
        later_metrics.add_to_sweep(folder, None, be_suspended, one_by_one, probe=True)
    assert objects_in(store) == after
    assert len(after) > 8


def one_by_one(function: Any, tasks: Any, shared: Any) -> Any:
    return ((task, function(task, shared)) for task in tasks)


def objects_in(store: Path) -> dict[str, bytes]:
    """All but the leases."""
    found = [path for folders in ("", "*/", "*/*/") for path in objects.matching(store, f"{folders}*.*")]
    return {str(path): objects.read(path) for path in found}


def test_a_run_stops_where_another_process_has_taken_its_folder(tmp_path: Path) -> None:
    store = location(f"memory://lost{tmp_path}")
    trial = TrialFolder(store)
    with trial.lock():
        trial.write_environment({"host": "here"})
        objects.write(store / "lock" / "2", b"{}")
        with pytest.raises(TakenOverError):
            trial.write_environment({"host": "late"})
