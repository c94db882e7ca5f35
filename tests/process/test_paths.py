"""Paths as users name them: one way for all of them."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

import analysis
import infomax_tune
from infomax_tune.errors import ConfigError
from infomax_tune.parts.datasets import default_data_dir
from infomax_tune.process.code_cache import cache_folder
from infomax_tune.process.paths import user_path
from infomax_tune.store.objects import location
from infomax_tune.study.options import Options
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import default_out, load_space, space_from_python
from tests.command import COMMAND, call
from tests.folders import make_sweep


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the user's, from which everything is far."""
    home, far = tmp_path / "home", tmp_path / "far"
    home.mkdir()
    far.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(far)
    return home


def test_a_tilde_is_the_home_wherever_a_path_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for read in (user_path, location):
        assert read("~/x") == read(Path("~/x")) == home / "x"
    assert Options(data_dir=Path("~/data")).data_dir == home / "data"
    monkeypatch.setenv("INFOMAX_TUNE_DATA_DIR", "~/data")
    monkeypatch.setenv("INFOMAX_TUNE_CACHE_DIR", "~/cache")
    assert default_data_dir() == home / "data"
    assert (cache_folder() or Path()).parent == home / "cache/compiled"

    call("init", "~/mine")
    assert infomax_tune.init("~/other.yaml") == home / "other.yaml"
    (home / "swish.py").write_text("def swish(x):\n    return x\n")
    (home / "config.yaml").write_text("activation: ~/swish.py:swish\n")
    space, _ = load_space("~/mine.yaml", overrides=read_overrides(["activation=~/swish.py:swish"])[0])
    assert space.name == "mine"
    assert space.axes.get("model.activation", [space.base.model.activation])[0].startswith("swish.py:swish@")
    assert space_from_python("quickstart", {}, "~/config.yaml")[0].trials()
    (home / "study").mkdir()
    (home / "study/sweep.yaml").touch()
    assert default_out("~/study/sweep.yaml") == Path("results/study")

    for out in (home / "one", home / "two"):
        make_sweep(out, "epochs=0", "activation=relu", "seed=1,2", runs=False)
    assert len(infomax_tune.load_results("~/one")) == 2
    call("compare", "~/one", "~/two", "--page", "~/page.html")
    assert (home / "page.html").exists()
    with pytest.raises(analysis.AnalysisError, match="the same folder is given twice"):
        infomax_tune.compare("~/one", home / "one")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "program",
    [
        "sweep('quickstart', out='')",
        "sweep('quickstart', data_dir='')",
        "sweep('quickstart', config='')",
        "sweep('')",
        "run({}, out='')",
        "run({}, data_dir='')",
        "run('')",
        "list('')",
        "stop('')",
        "init('')",
        "compare('', 'x')",
        "analyze('')",
        "evaluate('')",
        "load_results('')",
    ],
)
def test_an_empty_path_is_refused_in_python_too(program: str, home: Path) -> None:
    name, _, arguments = program.partition("(")
    with pytest.raises(ConfigError, match=r"a path is empty; name a file or a folder\."):
        eval(f"function({arguments}", {"function": getattr(infomax_tune, name)})
    assert list(Path().iterdir()) == []


def test_what_cannot_be_a_path_is_refused() -> None:
    with pytest.raises(ConfigError, match="~nobody-here/x: there is no such home folder"):
        user_path("~nobody-here/x")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        user_path(os.fsdecode(b"caf\xe9"))


def test_a_folder_that_was_deleted_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    words = shlex.join([*COMMAND, "sweep", "quickstart", "--out", str(tmp_path / "out")])
    shell = f"mkdir {gone}; cd {gone}; rmdir {gone}; exec {words}"
    environment = os.environ | {"PYTHONPATH": str(Path(infomax_tune.__file__).parents[1])}
    done = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=120, check=False, env=environment
    )
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert last.startswith("infomax-tune: the folder that this was started in no longer exists; change to another")


def test_a_folder_that_was_deleted_is_told_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    os.chdir("gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(infomax_tune.InfomaxTuneError, match="no longer exists"):
        infomax_tune.sweep("quickstart", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
