"""The parts of a user's own that an output folder keeps: found again, and run only with the user's leave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from infomax_tune.errors import ConfigError
from infomax_tune.parts import catalogue
from infomax_tune.store import part_copies

Parts = list[tuple[str, str]]


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Parts in a file and in an array file, as another process finds them: with copies, and nothing loaded."""
    (tmp_path / "mine.py").write_text("def half(z):\n    return z / 2\n\n\ndef same(z):\n    return z\n")
    np.savez(tmp_path / "rows.npz", train=np.ones((4, 2)), test=np.ones((4, 2)))
    parts = [("activations", "mine.py:half"), ("activations", "mine.py:same"), ("datasets", "rows.npz")]
    pinned = [(kind, catalogue.pin(kind, name, tmp_path)) for kind, name in parts]
    part_copies.keep(tmp_path / "out", [name for _, name in pinned])
    (tmp_path / "mine.py").unlink()
    monkeypatch.setattr(catalogue, "_sources", {})
    return pinned


def test_code_is_run_only_with_leave_which_is_asked_once_for_a_file(tmp_path: Path, named: Parts) -> None:
    with pytest.raises(ConfigError) as error:
        part_copies.bring(named, [tmp_path / "out"], trust=False)
    assert str(error.value).count("is code, in") == 1
    assert not any(catalogue.is_here(kind, name) for kind, name in named if kind == "activations")
    part_copies.bring(named, [tmp_path / "out"], trust=True)
    assert all(catalogue.is_here(kind, name) for kind, name in named)


def test_data_needs_no_leave_and_is_looked_for_where_one_stands(tmp_path: Path, named: Parts) -> None:
    """It is not copied: the working directory is where `sweep` found it."""
    assert Path.cwd() == tmp_path
    part_copies.bring(named[2:], [tmp_path / "out"], trust=False)
    assert catalogue.is_here(*named[2])


def test_another_file_of_that_name_is_not_taken_for_it(tmp_path: Path, named: Parts) -> None:
    np.savez(tmp_path / "rows.npz", train=np.zeros((4, 2)), test=np.ones((4, 2)))
    with pytest.raises(ConfigError, match=r"^rows\.npz@\w{12}: its source is not here"):
        part_copies.bring(named[2:], [tmp_path / "out"], trust=True)


def test_a_module_that_is_not_installed_is_named_without_asking_for_leave(tmp_path: Path) -> None:
    part = [("activations", "no_such_package.module:swish@0123456789ab")]
    with pytest.raises(ConfigError, match=r"^no_such_package\.module:swish@\w+: no package that is installed here"):
        part_copies.bring(part, [tmp_path], trust=False)
