"""environments.py: where and how a sweep was trained. `commands` shows what becomes of damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from infomax_tune.store.environments import Environments

HERE = {"python": "3.11.7", "torch": "2.6.0", "host": "here"}


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path)


def latest(environments: Environments) -> dict[str, object]:
    written = environments.latest_as_written()
    assert written is not None
    return {name: value for name, value in written.items() if name in {*HERE, "command"}}


def test_what_the_driver_left_out_is_added(environments: Environments) -> None:
    environments.write_latest({"command": "infomax-tune sweep quickstart"})
    environments.complete_latest(HERE)
    assert latest(environments) == HERE | {"command": "infomax-tune sweep quickstart"}


def test_what_is_there_stays(environments: Environments) -> None:
    """On a cluster each machine's first worker has its own."""
    environments.write_latest(HERE)
    environments.complete_latest(HERE | {"host": "another"})
    assert latest(environments) == HERE


def test_one_that_was_lost_is_not_written(environments: Environments) -> None:
    """It would lack the command; `resume` writes all of it."""
    environments.complete_latest(HERE)
    assert environments.latest_as_written() is None


def test_a_damaged_environment_is_not_written_over(environments: Environments, tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text("{")
    environments.complete_latest(HERE)
    assert (tmp_path / "environment.json").read_text() == "{"
