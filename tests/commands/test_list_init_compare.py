"""list, init, settings and compare: what stands around a sweep, as commands and as functions."""

from __future__ import annotations

import datetime
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import infomax_tune
from infomax_tune import InfomaxTuneError, load_results
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.config import NAMES, TrialConfig
from infomax_tune.study.read_space import load_space
from tests.command import call
from tests.folders import make_interrupted_sweep, make_sweep

SMALL = ("epochs=2", "activation=relu,tanh", "seed=1,2,3,4,5,6")


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished sweeps, one that was interrupted, and a run."""
    root = tmp_path_factory.mktemp("studies")
    make_sweep(root / "slow", *SMALL)
    make_sweep(root / "deep/fast", *SMALL, "lr=0.05")
    make_interrupted_sweep(root / "interrupted")
    call("run", "dataset=digits", "epochs=1", "--out", root / "alone")
    (root / ".hidden").mkdir()
    return root


def test_list_finds_sweeps_and_runs_with_their_state(studies: Path) -> None:
    listed = {Path(each.out).name: each for each in infomax_tune.list(studies)}
    assert {name: (each.kind, each.state, each.ended, each.trials) for name, each in listed.items()} == {
        "alone": ("run", "finished", 1, 1),
        "fast": ("sweep", "finished", 12, 12),
        "interrupted": ("sweep", "unfinished", 7, 8),
        "slow": ("sweep", "finished", 12, 12),
    }
    files = [path for path in (studies / "slow").rglob("*") if path.is_file()]
    assert listed["slow"].size == sum(path.stat().st_size for path in files)
    shown = call("list", studies).stdout.splitlines()
    assert shown[0].split() == ["folder", "kind", "state", "last", "change", "trials", "size"]
    assert re.search(
        rf"^{studies}/interrupted +sweep +unfinished +\d{{4}}-\d\d-\d\d \d\d:\d\d +7/8 +[\d.]+ KiB$", shown[3]
    )
    looks = [json.loads(line) for line in call("list", studies, "--json").stdout.splitlines()]
    assert [(look["ended"], look["trials"]) for look in looks] == [(1, 1), (12, 12), (7, 8), (12, 12)]
    assert all(datetime.datetime.fromisoformat(look["changed"]).tzinfo for look in looks)
    (studies / "slow/sweep.yaml").rename(studies / "aside")
    (studies / "slow/sweep.yaml").write_text("torn")
    try:
        assert [each.state for each in infomax_tune.list(studies / "slow")] == ["damaged"]
    finally:
        (studies / "aside").rename(studies / "slow/sweep.yaml")


def test_list_follows_a_link_to_a_sweep_and_no_other(studies: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/linked").symlink_to(studies / "deep/fast")
    (tmp_path / "elsewhere/many").symlink_to(studies)
    (tmp_path / "elsewhere/itself").symlink_to(tmp_path / "elsewhere")
    (listed,) = infomax_tune.list(tmp_path / "elsewhere")
    assert (listed.out, listed.state) == (str(tmp_path / "elsewhere/linked"), "finished")
    assert listed.size > 10_000


def test_analyze_says_what_a_sweep_without_tables_lacks(studies: Path, tmp_path: Path) -> None:
    out = shutil.copytree(studies / "deep/fast", tmp_path / "sweep")
    (out / "results.csv").unlink()
    done = call("analyze", out, ok=False)
    assert (done.returncode, f"make it with: infomax-tune results {out}" in done.stderr) == (2, True)
    with SweepFolder(out).lock():
        assert "its sweep writes it when it ends" in call("analyze", out, ok=False).stderr


def test_list_looks_in_results_first_and_says_when_there_is_nothing() -> None:
    assert call("list").stdout == ".: no sweeps or runs here\n"
    Path("results").mkdir()
    assert call("list").stdout == "results: no sweeps or runs here\n"
    done = call("list", "nowhere", ok=False)
    assert (done.returncode, "nowhere: not a folder" in done.stderr) == (2, True)


def test_init_writes_a_space_that_is_valid_and_holds_every_setting() -> None:
    done = call("init", "mine")
    assert "infomax-tune sweep mine.yaml --dry-run" in done.stdout
    space, _ = load_space("mine.yaml")
    assert (space.name, len(space.plan())) == ("mine", 20)
    text = Path("mine.yaml").read_text()
    for name in NAMES:
        assert re.search(rf"^ +(# )?{name.split('.')[1]}: ", text, flags=re.MULTILINE), name
    # every commented setting can be had by taking its # away
    Path("all.yaml").write_text(re.sub(r"^    # (\w+: \S+)$", r"    \1", text, flags=re.MULTILINE))
    full, _ = load_space("all.yaml")
    assert full.plan()[next(iter(full.plan())).trial_id].cell_numbers == next(iter(space.plan())).cell_numbers
    again = call("init", "mine", ok=False)
    assert (again.returncode, Path("mine.yaml").read_text()) == (2, text)
    assert "mine.yaml: already exists; edit it, or choose another name" in again.stderr
    assert infomax_tune.init("studies/50% more: äö") == Path("studies/50% more: äö.yaml")
    assert load_space("studies/50% more: äö.yaml")[0].name == "50% more: äö"


def test_settings_are_those_of_the_config() -> None:
    found = infomax_tune.settings()
    assert [f"{each.section}.{each.key}" for each in found] == list(NAMES)
    assert all(each.meaning.endswith(".") and each.type and each.range for each in found)
    by_key = {each.key: each for each in found}
    assert (by_key["hidden_dim"].default, by_key["hidden_dim"].range) == ("16", "1 to 65536")
    assert by_key["lr"].range == "more than 0"
    assert (
        by_key["activation"].range
        == "identity, relu, leaky_relu, softmax, tanh, softplus, gelu, silu, elu, abs, or your own"
    )
    shown = call("settings").stdout
    for each in found:
        assert each.meaning in shown
    flat = TrialConfig().flat()
    assert by_key["lr"].default == f"{flat['training.lr']:g}"


def test_compare_pairs_the_seeds_of_two_sweeps(studies: Path) -> None:
    slow, fast = studies / "slow", studies / "deep/fast"
    found = infomax_tune.compare(slow, fast)
    assert found.settings.to_dict("records") == [{"setting": "lr", "slow": "0.01", "fast": "0.05"}]
    one, other = (load_results(out).set_index(["activation", "seed"]) for out in (slow, fast))
    for activation in ("relu", "tanh"):
        values, others = (table.loc[activation, "effective_rank"].to_numpy() for table in (one, other))
        pairs = found.pairs
        (row,) = pairs[(pairs["activation"] == activation) & (pairs["metric"] == "effective_rank")].to_dict("records")
        assert (row["a"], row["b"], row["n"]) == ("slow", "fast", 6)
        assert row["difference"] == pytest.approx(np.mean(values - others))
        flips = stats.permutation_test((values - others,), np.mean, permutation_type="samples", n_resamples=np.inf)
        assert row["p"] == pytest.approx(flips.pvalue)
    done = call("compare", slow, fast, "--page", "page.html")
    lines = done.stdout.splitlines()
    assert lines[:3] == ["settings that differ:", "setting  slow  fast", "lr       0.01  0.05"]
    mean, sd = (getattr(one.loc["relu", "effective_rank"], what)() for what in ("mean", "std"))
    assert any(line.startswith("effective rank") and f"{mean:.3g} ± {sd:.2g}" in line for line in lines)
    assert lines[-1] == f"all metrics, with intervals: {Path('page.html').resolve().as_uri()}"
    page = Path("page.html").read_text()
    assert page.count("<table>") == 2 + found.metrics["metric"].nunique()
    assert '<th scope="col">p (max-T)</th>' in page
    assert f"<td>{mean:.3g} ± {sd:.2g}</td>" in page


def test_sweeps_without_a_common_seed_are_compared_unpaired(studies: Path, tmp_path: Path) -> None:
    other = make_sweep(tmp_path / "other", "epochs=2", "activation=tanh", "seed=11,12").root
    found = infomax_tune.compare(studies / "slow", other)
    assert found.pairs.empty
    assert "seed" in set(found.settings["setting"])
    assert "n/a" in call("compare", studies / "slow", other).stdout
    assert Path("comparison.html").exists()


def test_compare_says_what_it_needs(studies: Path) -> None:
    with pytest.raises(InfomaxTuneError, match="at least two"):
        infomax_tune.compare(studies / "slow")
    with pytest.raises(InfomaxTuneError, match="the same folder is given twice"):
        infomax_tune.compare(studies / "slow", studies / "deep/../slow")
    done = call("compare", studies / "slow", studies / "alone", ok=False)
    assert (done.returncode, "holds a single run, not a sweep" in done.stderr) == (2, True)
