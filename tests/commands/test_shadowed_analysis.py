"""A module `analysis` of the user's own, which Python finds before ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import infomax_tune
from tests.folders import make_sweep


def told_of(own: Path) -> str:
    return f"{own} is imported instead of infomax-tune's package `analysis`; rename it, or run from another folder."


@pytest.mark.parametrize("path", ["analysis.py", "analysis/__init__.py"])
def test_one_in_the_working_directory_is_noticed_and_told(path: str, tmp_path: Path) -> None:
    """`python -m infomax_tune` and notebooks look there first."""
    own = tmp_path / path
    own.parent.mkdir(exist_ok=True)
    own.write_text("def analyze(*args): raise SystemExit('this is the wrong one')\n")
    told = infomax_tune("analyze", tmp_path, ok=False)
    assert told.returncode == 2
    assert told.stderr == f"infomax-tune: {told_of(own)}\n"


def test_a_folder_of_that_name_that_is_no_package_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "figure.png").touch()
    told = infomax_tune("analyze", tmp_path, ok=False)
    assert told.returncode == 2
    assert "is imported instead" not in told.stderr


def test_one_that_a_program_imported_before_is_noticed_and_told(tmp_path: Path) -> None:
    """From wherever it came; the sweep is no worse for the report it lacks."""
    sweep = make_sweep(tmp_path / "sweep", "epochs=1", "activation=[relu]", "seed=[1]")
    own = tmp_path / "mine" / "analysis.py"
    own.parent.mkdir(parents=True)
    own.touch()
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "mine")!r})
import analysis
del sys.path[0]
from infomax_tune import sweep
done = sweep(None, out="sweep", quiet=True)
assert done.complete and done.report is None
assert sys.modules["analysis"] is analysis
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = "try again with: infomax-tune analyze sweep"
    assert done.stderr == f"no report: {told_of(own).rstrip('.')}; {again}\n"
    assert not sweep.report.exists()
