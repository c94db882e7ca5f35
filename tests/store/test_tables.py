"""tables.py: tables that do not depend on how they came about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infomax_tune.errors import DamagedFileError
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import read_results, write_tables
from infomax_tune.study import columns
from infomax_tune.study.plan import Plan
from infomax_tune.study.trial_status import TrialStatus
from tests.conftest import MakeConfig
from tests.store.records import leave_record


def test_the_tables_do_not_depend_on_the_order_of_writing_or_of_the_plan(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    configs = [make_config(activation=name, seed=seed) for name in ("tanh", "relu") for seed in (10, 2, 1)]
    tables = []
    for number, order in enumerate([configs, configs[::-1], configs[3:] + configs[:3]]):
        folder = SweepFolder(tmp_path / str(number))
        folder.create()
        for config in order:
            leave_record(folder.trial(config.trial_id), config, value=config.training.seed / 7)
        write_tables(folder, Plan(order))
        names = ("results.csv", "results.parquet", "history.parquet", "units.parquet")
        tables.append([(folder.root / name).read_bytes() for name in names])
    assert tables[0] == tables[1] == tables[2]


def test_the_tables_have_a_row_for_every_planned_trial_and_the_same_columns_always(
    tmp_path: Path, make_config: MakeConfig
) -> None:
    done, diverged, failed, missing = (make_config(seed=seed) for seed in (1, 2, 3, 4))
    folder = SweepFolder(tmp_path)
    empty = write_tables(folder, Plan([missing]))
    assert list(empty.columns) == list(columns.RESULTS)
    assert list(pd.read_parquet(tmp_path / "units.parquet").columns) == list(columns.UNITS)
    assert empty["status"].tolist() == ["missing"]
    leave_record(folder.trial(done.trial_id), done)
    leave_record(folder.trial(diverged.trial_id), diverged, status=TrialStatus.DIVERGED)
    folder.trial(failed.trial_id).write_failure("ValueError: no", 0)
    write_tables(folder, Plan([missing, failed, diverged, done]))
    results = read_results(folder)
    assert list(results.columns) == list(columns.RESULTS)
    assert results["status"].tolist() == ["done", "diverged", "failed", "missing"]
    assert results["diverged_epoch"].tolist()[1] == 1
    assert results["loss"].notna().tolist() == [True, False, False, False]
    history = pd.read_parquet(tmp_path / "history.parquet")
    assert list(history.columns) == ["trial_id", *columns.HISTORY]
    assert history["trial_id"].nunique() == 2
    units = pd.read_parquet(tmp_path / "units.parquet")
    assert units["trial_id"].tolist() == [done.trial_id] * 2
    assert units[["unit", "activation_rate"]].to_numpy().tolist() == [[0, 1.5], [1, 0.75]]
    assert pd.read_parquet(tmp_path / "results.parquet")["status"].tolist() == results["status"].tolist()


def test_results_csv_holds_every_bit_of_a_number(tmp_path: Path, make_config: MakeConfig) -> None:
    config = make_config()
    value = float(np.nextafter(1 / 3, 1))
    folder = SweepFolder(tmp_path)
    leave_record(folder.trial(config.trial_id), config, value=value)
    write_tables(folder, Plan([config]))
    assert read_results(folder)["loss"][0] == value


def test_odd_names_are_only_names(tmp_path: Path, make_config: MakeConfig) -> None:
    root = tmp_path / "résultats & co #1 %20 [x]"
    folder = SweepFolder(root)
    folder.create()
    config = make_config()
    leave_record(folder.trial(config.trial_id), config)
    write_tables(folder, Plan([config]))
    assert read_results(folder)["status"].tolist() == ["done"]


def test_a_column_that_came_later_is_empty_in_a_table_written_before(tmp_path: Path, make_config: MakeConfig) -> None:
    config, folder = make_config(), SweepFolder(tmp_path)
    leave_record(folder.trial(config.trial_id), config)
    before = write_tables(folder, Plan([config]))
    before.drop(columns=["gaussian_total_correlation", "head"]).to_csv(folder.results_csv, index=False)
    results = read_results(folder)
    assert list(results.columns) == list(columns.RESULTS)
    assert results[["gaussian_total_correlation", "head"]].isna().all(axis=None)
    assert results["loss"].tolist() == [1.5]


def test_a_table_without_what_names_a_trial_is_damage(tmp_path: Path, make_config: MakeConfig) -> None:
    config, folder = make_config(), SweepFolder(tmp_path)
    leave_record(folder.trial(config.trial_id), config)
    write_tables(folder, Plan([config])).drop(columns="seed").to_csv(folder.results_csv, index=False)
    with pytest.raises(DamagedFileError, match=r"no column seed.*recreate it with: infomax-tune results"):
        read_results(folder)


def test_a_table_that_nothing_vouches_for_is_written_again(tmp_path: Path, make_config: MakeConfig) -> None:
    """A kill between two tables leaves no tables.json: a flipped bit beside a parquet file's rows must not stay."""
    config, folder = make_config(), SweepFolder(tmp_path)
    leave_record(folder.trial(config.trial_id), config)
    write_tables(folder, Plan([config]))
    path = tmp_path / "history.parquet"
    whole = path.read_bytes()
    for place in np.random.default_rng(0).integers(len(whole), size=40):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        (tmp_path / "tables.json").unlink()
        write_tables(folder, Plan([config]))
        assert path.read_bytes() == whole
