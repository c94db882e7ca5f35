"""sweep_folder.py: one driver a folder, no stranger's folder, a sweep file that can be believed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from infomax_tune.errors import DamagedFileError, LockedError, StoreError
from infomax_tune.store.files import read_bytes, write_atomically
from infomax_tune.store.objects import location
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space

OLD = Path(__file__).resolve().parents[1] / "old_folders" / "0.1.0"


def hold(root: Path, ready: multiprocessing.Queue, leave: multiprocessing.Event) -> None:  # pyright: ignore
    with SweepFolder(root).lock():
        ready.put(os.getpid())
        leave.wait(60)


def test_a_second_driver_is_told_who_holds_the_folder_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Queue(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, leave))
    holder.start()
    pid = ready.get(timeout=60)
    with (
        pytest.raises(LockedError, match=rf"another sweep is running here \(host .*, pid {pid}\)"),
        SweepFolder(tmp_path).lock(),
    ):
        pass
    holder.kill()
    holder.join()
    with SweepFolder(tmp_path).lock():
        assert f"pid {os.getpid()}" in (tmp_path / "lock").read_text()


def test_a_sweep_file_is_believed_only_whole_and_of_a_version_that_is_known(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    with pytest.raises(StoreError, match=r"is not a sweep's output folder \(it has no sweep.yaml\)"):
        folder.read_space()
    with pytest.raises(StoreError, match="does not exist"):
        SweepFolder(tmp_path / "nowhere").read_space()
    overrides, _ = read_overrides(["seed=[1, 2]", "activation=[tanh]"])
    space = replace(load_space("quickstart", overrides=overrides)[0], name="mine", description="é")
    folder.write_space(space)
    assert folder.read_space() == space
    path = tmp_path / "sweep.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("- 2", "- 3"), encoding="utf-8")
    with pytest.raises(DamagedFileError, match="damaged or edited"):
        folder.read_space()
    path.write_text(text.replace("schema: 2", "schema: 3"), encoding="utf-8")
    with pytest.raises(StoreError, match="written by a newer infomax-tune"):
        folder.read_space()
    path.write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(DamagedFileError, match=r"sweep.yaml"):
        folder.read_space()


def test_what_does_not_clash_with_a_sweep_stays_beside_it(tmp_path: Path) -> None:
    """An empty volume has lost+found; a shell that writes a log of the sweep makes it first."""
    for name in ("lost+found", "log.txt", "thesis.tex"):
        (tmp_path / name).write_text("years of work")
    SweepFolder(tmp_path).create()
    assert {path.name for path in tmp_path.iterdir()} == {"lost+found", "log.txt", "thesis.tex", "trials"}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "results.csv",
            "timings.csv",
            "tables.json",
            "analysis/report.html",
            "tensorboard/x",
            "trackers/x",
            "record.json",
        ),
        *("lock", "driver.json", "progress.json", "stop", "environment.json"),
    ],
)
def test_what_a_sweep_would_overwrite_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("years of work")
    with pytest.raises(StoreError, match=rf"holds {name.removesuffix('/x')}, which no sweep made"):
        SweepFolder(tmp_path).create()
    assert (tmp_path / name).read_text() == "years of work"
    assert not (tmp_path / "trials").exists()


def test_a_report_is_current_if_it_was_made_of_what_is_there_whatever_the_clock_says(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    folder.report.parent.mkdir()
    folder.report.write_text("report")
    folder.results_csv.write_text("a table")
    assert not folder.report_is_current()
    folder.note_report(folder.report_sources())
    os.utime(folder.report, (1, 1))
    assert folder.report_is_current()
    folder.results_csv.write_text("another table")
    os.utime(folder.results_csv, (0, 0))  # the clock was set back
    assert not folder.report_is_current()
    folder.note_report(folder.report_sources())
    assert folder.report_is_current()
    (tmp_path / "history.parquet").write_text("it reads this too")
    assert not folder.report_is_current()
    folder.note_report(folder.report_sources())
    folder.report.write_text("")
    assert not folder.report_is_current()
    folder.note_report(folder.report_sources())
    (folder.report.parent / "made_of.json").write_text("nonsense")
    assert not folder.report_is_current()


def test_a_sweep_file_that_cannot_be_read_is_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told to move it away."""
    folder = SweepFolder(tmp_path)
    folder.write_space(load_space("quickstart")[0])

    def fail(path: Path) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StoreError, match=r"\(Too many open files\)\. Nothing was changed") as caught:
        folder.read_space()
    assert not isinstance(caught.value, DamagedFileError)


def test_a_folder_whose_sweep_file_was_moved_away_is_taken_with_all_that_was_set_aside(tmp_path: Path) -> None:
    (tmp_path / "environment.json.damaged-1").write_text("{")
    (tmp_path / "sweep.yaml.old").write_text("{")
    SweepFolder(tmp_path).create()


@pytest.mark.parametrize("kind", ["finished", "interrupted"])
def test_a_sweep_whose_file_was_moved_away_is_taken_again(kind: str, tmp_path: Path) -> None:
    """As a damaged sweep.yaml asks for; version 0.1.0 noted nothing on its tables."""
    out = shutil.copytree(OLD / kind, tmp_path / "sweep")
    (out / "sweep.yaml").rename(tmp_path / "sweep.yaml")
    SweepFolder(out).refuse_strangers()


def test_the_log_of_a_driver_that_lost_the_folder_is_not_its_successors(tmp_path: Path) -> None:
    folder = SweepFolder(location(f"memory://log{tmp_path}"))
    write_atomically(folder.root / "ray.log", b"its own")
    with folder.driver.heeded(folder.driver.take_over()), folder.files_here():
        folder.ray_log.write_text("of the one before")
        SweepFolder(folder.root).driver.take_over()
    assert read_bytes(folder.root / "ray.log") == b"its own"
