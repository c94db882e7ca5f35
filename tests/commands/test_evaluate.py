"""evaluate (packs/later_metrics.py): a metric that was not measured at the time, with the bytes that it would have had."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from infomax_tune import InfomaxTuneError, evaluate, load_results
from infomax_tune.follow.tensorboard_runs import mend, of_sweep
from infomax_tune.on_ray import spreading
from infomax_tune.store.files import read_json, write_json
from infomax_tune.store.formats import RECORD
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.study import columns
from tests.command import call, dies, infomax_tune, tables
from tests.folders import finish_sweep, make_interrupted_sweep, make_sweep
from tests.read_tensorboard import curves, told

SETTINGS = ("epochs=3", "activation=relu,tanh", "seed=1,2")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep without the probe."""
    return make_sweep(tmp_path_factory.mktemp("out") / "plain", *SETTINGS).root


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep, with the probe asked for at once."""
    return make_sweep(tmp_path_factory.mktemp("out") / "at_once", *SETTINGS, "probe=true").root


def test_the_tables_are_the_same_bytes_as_if_asked_at_once(plain: Path, at_once: Path) -> None:
    out = Path("later")
    shutil.copytree(plain, out)
    assert load_results(out)["probe_accuracy"].isna().all()
    done = call("evaluate", out, "--probe")
    assert "measured: 4 of 4 trials" in done.stdout
    assert tables(out) == tables(at_once)
    assert (load_results(out)["probe_accuracy"] > 0.5).all()
    assert call("verify", out).stdout == "4 trial folders checked: no damage\n"
    before = tables(out)
    evaluate(out, probe=True)  # there is nothing left to measure
    evaluate(out)
    assert tables(out) == before


def forget_the_end(out: Path) -> None:
    """Makes a sweep's records and runs those of a version that did not measure a trained layer."""
    for path in out.glob("trials/*/record.json"):
        record = read_json(path, RECORD) or {}
        del record["units"]
        early = (*columns.HISTORY, "convergence_epoch")
        numbers = {name: value for name, value in record["result"].items() if name in early}
        result = {name: None if math.isnan(value) else value for name, value in numbers.items()}
        write_json(path, RECORD, {**record, "result": result})
    shutil.rmtree(out / "tensorboard")
    mend(out / "tensorboard", of_sweep(SweepFolder(out).read_plan(), SweepFolder(out)))
    call("results", out)


def test_what_did_not_exist_when_they_were_trained_is_the_same_bytes_later(plain: Path) -> None:
    """Whatever the process that measures is killed in; and the curves get it too."""
    out = Path("older")
    shutil.copytree(plain, out)
    forget_the_end(out)
    assert load_results(out)["rankme"].isna().all()
    assert tables(out) != tables(plain)
    assert dies("record.json:renamed:3", "evaluate", out)
    assert "measured: 4 of 4 trials" in call("evaluate", out).stdout
    assert tables(out) == tables(plain)
    assert (load_results(out)["ridge_accuracy"] > 0.5).all()
    assert (load_results(out)["saturation"].notna() == (load_results(out)["activation"] == "tanh")).all()
    for trial in of_sweep(SweepFolder(out).read_plan(), SweepFolder(out)):
        record, of_plain = (
            folder.trial(trial.folder.path.name).read_record() for folder in map(SweepFolder, (out, plain))
        )
        assert record
        assert of_plain
        assert repr((record.result, record.units)) == repr((of_plain.result, of_plain.units))  # in which NaN is NaN
        assert curves(trial.run.folder) == told(trial.folder)


def test_mutual_information_is_measured_when_asked_for_and_stays(plain: Path) -> None:
    out = Path("mutual")
    shutil.copytree(plain, out)
    call("evaluate", out, "--mutual-information")
    found = load_results(out)
    assert (found["mutual_information"] > found["mutual_information_null"]).all()
    before = tables(out)
    call("evaluate", out)
    assert tables(out) == before
    pd.testing.assert_frame_equal(found[[*columns.METRICS]], load_results(plain)[[*columns.METRICS]])


def test_what_takes_long_is_measured_on_ray(
    plain: Path, at_once: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the same bytes, and with the parts of the user's own that the folder has."""
    monkeypatch.setattr(spreading, "LONG_S", 0.0)
    out = Path("later")
    shutil.copytree(plain, out)
    shown = call("evaluate", out, "--probe").stdout
    assert "measured: 4 of 4 trials" in shown
    assert tables(out) == tables(at_once)
    assert "the workers' output is under" in (out / "ray.log").read_text()


@pytest.mark.parametrize(
    "fault", ["record.json:begun:2", "record.json:renamed:3", "sweep.yaml:renamed:1", "results.csv:begun:1"]
)
def test_a_kill_at_any_point_loses_nothing(fault: str, plain: Path, at_once: Path) -> None:
    out = Path("killed")
    shutil.copytree(plain, out)
    assert dies(fault, "evaluate", out, "--probe")
    assert '"left": 0' in call("status", out, "--json").stdout
    call("evaluate", out, "--probe")
    assert tables(out) == tables(at_once)


def test_trials_that_a_narrower_sweep_has_left_out_are_measured_too(
    plain: Path, at_once: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wider sweep with the probe takes them again, and trains none; what is damaged of them is left as it is."""
    monkeypatch.setattr("infomax_tune.on_ray.sweep.cluster", pytest.fail)  # nothing is to be trained
    out = Path("narrow")
    shutil.copytree(plain, out)
    set_ = [word for setting in SETTINGS[:2] for word in ("--set", setting)]
    damaged = out / "trials" / "tanh-k16-s3-0123456789abcdef"
    shutil.copytree(next(out.glob("trials/tanh-k16-s2-*")), damaged)
    call("sweep", "quickstart", *set_, "--set", "seed=[1]", "--narrow", "--no-report", "--out", out)
    assert "measured: 4 of 4 trials" in call("evaluate", out, "--probe").stdout
    assert len(load_results(out)) == 2
    assert len(list(damaged.iterdir())) == 3
    shutil.rmtree(damaged)
    call("sweep", "quickstart", *set_, "--set", SETTINGS[2], "--set", "probe=true", "--no-report", "--out", out)
    assert tables(out) == tables(at_once)


def test_a_trial_left_out_whose_part_is_not_loaded_is_left_as_it_is(tmp_path: Path) -> None:
    """As after an activation of the user's own was edited, and its first version dropped with --narrow."""
    (tmp_path / "my.py").write_text("def swoosh(z):\n    return z * z.sigmoid()\n")
    folder = make_sweep(tmp_path / "narrow", "epochs=1", "activation=relu,my.py:swoosh", "seed=1")
    space = folder.read_space()
    folder.write_space(dataclasses.replace(space, axes=space.axes | {"model.activation": ["relu"]}))
    # in a process that has not loaded it
    assert "measured: 1 of 1 trials" in infomax_tune("evaluate", folder.root, "--probe").stdout
    assert len(load_results(folder.root)) == 1
    assert len(folder.trial_folders()) == 2


def test_a_run_gets_its_probe_too() -> None:
    settings = ["dataset=digits", "activation=tanh", "epochs=3"]
    call("run", *settings, "--out", "later")
    call("run", *settings, "probe=true", "--out", "at_once")
    call("evaluate", "later", "--probe")
    later, at_once = (TrialFolder(Path(name)).read_record() for name in ("later", "at_once"))
    assert later
    assert at_once
    assert (later.trial_id, later.result, later.config) == (at_once.trial_id, at_once.result, at_once.config)
    assert call("run", "later/config.yaml", "--out", "later").stdout.count("probe_accuracy") == 1


def test_trials_that_diverged_have_no_probe_and_an_unfinished_sweep_is_refused(tmp_path: Path) -> None:
    _, folder = make_interrupted_sweep(tmp_path / "sweep")
    done = call("evaluate", folder.root, "--probe", ok=False)
    assert done.returncode == 2
    assert f"is missing; finish the sweep first: infomax-tune resume {folder.root}" in done.stderr
    finish_sweep(folder)
    evaluate(folder.root, probe=True)
    table = load_results(folder.root)
    pd.testing.assert_series_equal(table["probe_accuracy"].notna(), table["status"] == "done", check_names=False)


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "light", "epochs=1", "activation=relu", "seed=1,2", "save_weights=false").root
    with pytest.raises(InfomaxTuneError, match=r"its weights were not saved \(save_weights was false\)"):
        evaluate(out, probe=True)
