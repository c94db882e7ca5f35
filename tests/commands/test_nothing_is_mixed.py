"""The same numbers mean the same everything: no other trial, data, arithmetic or space passes for the one that was meant."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infomax_tune.science.arithmetic import ARITHMETIC
from infomax_tune.store.files import read_json, write_json
from infomax_tune.store.formats import RECORD
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.space import SearchSpace
from tests.command import call, tables
from tests.folders import finish_sweep, make_sweep
from tests.science.test_data import write_idx
from tests.without_ray import sweep_here

SMALL = ["quickstart", "--set", "activation=[relu]", "--set", "epochs=2"]


def everything(out: Path) -> dict[Path, bytes]:
    """The bytes of every file, but for what a refused command may leave."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name not in ("lock", "ray.log")]
    return {path: path.read_bytes() for path in files}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished sweep of seeds 1, 2 and 3."""
    return make_sweep(tmp_path / "sweep", "activation=[relu]", "epochs=2", "seed=[1, 2, 3]").root


# ---- finished trials that would leave the table


@pytest.mark.parametrize(("seeds", "leave"), [("[2]", 2), ("[2, 3]", 1), ("[7, 8]", 3), ("[3, 4]", 2)])
def test_finished_trials_leave_the_table_only_if_told_to(out: Path, seeds: str, leave: int) -> None:
    """A narrower space, a disjoint one, one that goes on and leaves out the beginning: a dry run says so too."""
    before = everything(out)
    for more in ([], ["--dry-run"]):
        refused = call("sweep", *SMALL, "--set", f"seed={seeds}", "--out", out, *more, ok=False)
        are = "1 finished trial is" if leave == 1 else f"{leave} finished trials are"
        assert refused.returncode == 2
        assert f"{out}: {are} not in this space and would be dropped from the table (relu-k16-s1-" in refused.stderr
        assert "add --narrow (their records stay in the folder); or choose another output folder." in refused.stderr
    assert everything(out) == before


def test_a_sweep_is_narrowed_where_that_is_meant_and_widened_again(out: Path) -> None:
    """Going on with what it is now needs no flag."""
    before = tables(out)
    narrow = ["sweep", *SMALL, "--set", "seed=[2]", "--out", out, "--no-report"]
    assert "1 trials: 1 done" in call(*narrow, "--narrow").stdout
    for again in (narrow, ["resume", out, "--no-report"]):
        assert "1 trials: 1 done" in call(*again).stdout
    assert pd.read_csv(out / "results.csv")["seed"].tolist() == [2]
    call("sweep", *SMALL, "--set", "seed=[1, 2, 3]", "--out", out, "--no-report")
    assert tables(out) == before


def test_a_trial_without_a_record_may_leave(out: Path) -> None:
    for path in out.glob("trials/*-s3-*/record.json"):
        path.unlink()
    assert "2 trials: 2 done" in call("sweep", *SMALL, "--set", "seed=[1, 2]", "--out", out, "--no-report").stdout


# ---- two trials of one id


def test_a_record_of_another_trial_of_the_same_id_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    """In a sweep of before, whose ids have 8 digits, the learning rate is changed to one that happens to give the same id."""
    base = TrialConfig.model_validate({"data": {"dataset": "digits"}, "training": {"epochs": 2}})
    folder = SweepFolder(tmp_path)
    folder.create()
    folder.write_space(SearchSpace("before", "", base, {"training.lr": [0.001064]}, id_digits=8))
    finish_sweep(folder)
    assert [path.name for path in folder.trial_folders()] == ["relu-k16-s1-2fed1708"]
    space = tmp_path / "space.yaml"
    space.write_text("base: {dataset: digits, epochs: 2}\naxes: {lr: [0.0052725]}\n")
    before = everything(tmp_path)
    refused = call("sweep", space, "--out", tmp_path, "--no-report", ok=False)
    assert refused.returncode == 2
    assert "holds another trial with the same id (training.lr is 0.001064 instead of 0.0052725)" in refused.stderr
    space.write_text("base: {dataset: digits, epochs: 2}\naxes: {lr: [0.001064, 0.0052725]}\n")
    refused = call("sweep", space, "--out", tmp_path, "--no-report", ok=False)
    assert refused.returncode == 2
    assert "two different trials have the same id by chance, relu-k16-s1-2fed1708" in refused.stderr
    before[space] = space.read_bytes()
    assert everything(tmp_path) == before


def test_ids_are_longer_in_a_new_sweep_and_stay_as_they_are_in_one_of_before(tmp_path: Path) -> None:
    old, new = SweepFolder(tmp_path / "old"), make_sweep(tmp_path / "new", "activation=[relu]", "epochs=2", "seed=[1]")
    old.create()
    space = new.read_space()
    old.write_space(SearchSpace(space.name, space.description, space.base, space.axes, id_digits=8))
    finish_sweep(old)
    (long,), (short,) = ([path.name for path in folder.trial_folders()] for folder in (new, old))
    assert (len(long), long[:-8]) == (len("relu-k16-s1-") + 16, short)
    again = ["sweep", *SMALL, "--set", "seed=[1]", "--out", old.root, "--no-report"]
    assert "to train" not in call(*again).stdout
    assert pd.read_csv(old.results_csv)["trial_id"].tolist() == [short]
    (old.root / "sweep.yaml").unlink()  # as the way out of a damaged one has it
    assert "to train" not in call(*again).stdout
    assert old.read_space().id_digits == 8


# ---- other data, another arithmetic


def fake_fashion_mnist(data_dir: Path, images: np.ndarray) -> None:
    raw = data_dir / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, rows in (("train", 60_000), ("t10k", 10_000)):
        write_idx(raw / f"{prefix}-images-idx3-ubyte", images[:rows])
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", (np.arange(rows) % 10).astype(np.uint8))


def test_other_images_under_the_same_name_are_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the pixels are zero in another --data-dir. Without any flag."""
    images = np.random.default_rng(1).integers(256, size=(60_000, 28, 28), dtype=np.uint8)
    fake_fashion_mnist(tmp_path / "whole", images)
    images[:, :14] = 0
    fake_fashion_mnist(tmp_path / "half", images)
    monkeypatch.setenv("INFOMAX_TUNE_DATA_DIR", str(tmp_path / "whole"))
    settings = ["activation=[relu]", "dataset=fashion_mnist", "batch_size=-1", "epochs=1"]
    out = make_sweep(tmp_path / "sweep", *settings, "seed=[1]").root
    before = everything(out)
    words = [word for setting in [*settings, "seed=[1, 2]"] for word in ("--set", setting)]
    refused = sweep_here("sweep", "quickstart", *words, "--out", out, "--data-dir", tmp_path / "half", ok=False)
    assert refused.returncode == 2
    assert "fashion_mnist: 1 trial was trained here on different data with the same name" in refused.stderr
    assert {path: everything(out)[path] for path in before} == before
    assert len(list((out / "trials").iterdir())) == 1


def test_another_arithmetic_is_mixed_only_if_told_to(out: Path) -> None:
    ours = ARITHMETIC
    for path in out.glob("trials/*-s[12]-*/record.json"):
        content = json.loads(path.read_bytes())
        del content["schema"], content["sha256"]
        write_json(path, RECORD, content | {"arithmetic": 0})
    more = ["sweep", *SMALL, "--set", "seed=[1, 2, 3, 4]", "--out", out]
    refused = sweep_here(*more, ok=False)
    assert refused.returncode == 2
    assert "2 trials were trained here with arithmetic 0 of infomax-tune" in refused.stderr
    assert f"but this version uses {ours}" in refused.stderr
    assert "--mix-arithmetic" in refused.stderr
    assert not list(out.glob("trials/*-s4-*"))
    assert "1 of 4 trials to train" in sweep_here(*more, "--mix-arithmetic").stdout
    (record,) = (read_json(path, RECORD) or {} for path in out.glob("trials/*-s4-*/record.json"))
    assert record["arithmetic"] == ours
