"""verify.py: tables against what they were made of, by digests and not by clocks. Whole commands: test_damaged_folders.py."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from infomax_tune.store import tables
from infomax_tune.store.sweep_folder import TABLES, SweepFolder
from infomax_tune.store.tables import write_tables
from infomax_tune.store.verify import Verification, verify
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from tests.conftest import MakeConfig
from tests.store.records import leave_record


@pytest.fixture
def trials(make_config: MakeConfig) -> list[TrialConfig]:
    return [make_config(seed=seed) for seed in (1, 2, 3)]


@pytest.fixture
def folder(tmp_path: Path, trials: list[TrialConfig]) -> SweepFolder:
    """Two trials with their tables."""
    folder = SweepFolder(tmp_path)
    folder.create()
    for config in trials[:2]:
        leave_record(folder.trial(config.trial_id), config)
    write_tables(folder, Plan(trials[:2]))
    return folder


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("tables_older", [True, False])
@pytest.mark.parametrize("name", TABLES)
def test_a_flipped_bit_in_a_table_is_damage_whatever_the_clock_says(
    name: str, tables_older: bool, folder: SweepFolder, trials: list[TrialConfig]
) -> None:
    plan = Plan(trials[:2])
    assert verify(folder, plan) == Verification(2, [], [])
    flip(folder.root / name)
    set_clock(folder, tables_older)
    found = verify(folder, plan)
    (line,) = found.damage
    assert f"{name}: damaged (its checksum is wrong); recreate it with: infomax-tune results" in line
    assert found.notes == []
    write_tables(folder, plan)
    assert verify(folder, plan) == Verification(2, [], [])


def set_clock(folder: SweepFolder, tables_older: bool) -> None:
    for path in folder.root.rglob("*"):
        is_older = (path.name in TABLES) == tables_older
        os.utime(path, (1, 1) if is_older else (2, 2))


@pytest.mark.parametrize("tables_older", [True, False])
def test_an_extension_that_was_killed_is_no_damage_whatever_the_clock_says(
    tables_older: bool, folder: SweepFolder, trials: list[TrialConfig]
) -> None:
    plan = Plan(trials)
    for _ in ("before a record of it", "after one"):
        set_clock(folder, tables_older)
        found = verify(folder, plan)
        assert found.damage == []
        (note,) = found.notes
        assert "its tables are older than its records; recreate them with: infomax-tune results" in note
        leave_record(folder.trial(trials[2].trial_id), trials[2])
    write_tables(folder, plan)
    assert verify(folder, plan) == Verification(3, [], [])


def test_tables_of_which_nothing_is_noted_are_compared_with_the_records(
    folder: SweepFolder, trials: list[TrialConfig]
) -> None:
    """As an older version left them; no note says whether they are damaged or older."""
    (folder.root / "tables.json").unlink()
    plan = Plan(trials[:2])
    assert verify(folder, plan) == Verification(2, [], [])
    flip(folder.results_csv)
    found = verify(folder, plan)
    assert found.damage == []
    (note,) = found.notes
    assert "results.csv: does not match the records; recreate it with: infomax-tune results" in note


def test_a_note_on_the_tables_that_is_damaged_is_written_anew(folder: SweepFolder, trials: list[TrialConfig]) -> None:
    plan = Plan(trials[:2])
    flip(folder.root / "tables.json")
    (line,) = verify(folder, plan).damage
    assert "tables.json" in line
    assert "Recreate it with: infomax-tune results" in line
    write_tables(folder, plan)
    assert verify(folder, plan) == Verification(2, [], [])


@pytest.mark.parametrize("noted", [True, False])
def test_another_version_of_pyarrow_is_no_damage_and_no_reason_to_write_anew(
    noted: bool, folder: SweepFolder, trials: list[TrialConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes the same rows as other bytes. Rows that differ, bytes that were changed, and bytes that nothing vouches for
    are written anew."""

    def as_another_version(table: pd.DataFrame) -> bytes:
        return table.to_parquet(None, index=False, compression="gzip")

    plan = Plan(trials[:2])
    if not noted:
        (folder.root / "tables.json").unlink()
    before = {name: (folder.root / name).read_bytes() for name in TABLES}
    monkeypatch.setattr(tables, "_parquet", as_another_version)
    assert verify(folder, plan) == Verification(2, [], [])
    write_tables(folder, plan)
    assert ({name: (folder.root / name).read_bytes() for name in TABLES} == before) == noted
    assert verify(folder, plan) == Verification(2, [], [])
    flip(folder.root / "history.parquet")
    write_tables(folder, plan)
    assert (folder.root / "history.parquet").read_bytes() != before["history.parquet"]
    assert pd.read_parquet(folder.root / "history.parquet")["trial_id"].nunique() == 2
    leave_record(folder.trial(trials[0].trial_id), trials[0], value=2.5)
    write_tables(folder, plan)
    assert 2.5 in pd.read_parquet(folder.root / "results.parquet")["loss"].tolist()
    assert verify(folder, plan) == Verification(2, [], [])


def test_tables_that_hold_what_they_should_are_not_written_again(
    folder: SweepFolder, trials: list[TrialConfig]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.root.iterdir()}
    assert folder.root / "tables.json" in before
    write_tables(folder, Plan(trials[:2]))
    assert {path: path.stat().st_mtime_ns for path in folder.root.iterdir()} == before


@pytest.mark.parametrize(
    ("place", "logger"), [("csv", "csv"), ("wandb-offline", "wandb"), ("mlflow-0a1b2c3d", "mlflow")]
)
def test_a_damaged_note_on_a_tracker_names_the_option_that_hands_the_trial_over(
    place: str, logger: str, folder: SweepFolder, trials: list[TrialConfig]
) -> None:
    note = folder.root / "trackers" / place / "given" / f"{trials[0].trial_id}.json"
    note.parent.mkdir(parents=True)
    note.write_bytes(b"")
    (line,) = verify(folder, Plan(trials[:2])).notes
    assert line.endswith(f"Log the trial again with: infomax-tune resume {folder.root} --logger {logger}")
