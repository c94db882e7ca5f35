"""A module `analysis` of the user's own, which Python finds before ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import infomax_tune


@pytest.mark.parametrize("path", ["analysis.py", "analysis/__init__.py"])
def test_it_is_noticed_and_told(path: str, tmp_path: Path) -> None:
    """`python -m` and notebooks look in the working directory first."""
    own = tmp_path / path
    own.parent.mkdir(exist_ok=True)
    own.write_text("def analyze(*args): raise SystemExit('this is the wrong one')\n")
    told = infomax_tune("analyze", tmp_path, ok=False)
    assert told.returncode == 2
    assert told.stderr == (
        f"infomax-tune: {own} is imported instead of infomax-tune's package `analysis`; "
        "rename it, or start from another folder.\n"
    )
