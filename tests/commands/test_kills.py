"""A sweep that is killed, for real, again and again, comes out as if nothing had happened: its driver, and parts of Ray.

The long form, with every way to die, is `python -m benchmarks.chaos --kills 150 --faults 150`. Signals that a driver can
handle are in `test_interrupts` and `test_beside_a_running_sweep`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import warm
from tests.chaos import die_of


def test_a_sweep_whose_driver_is_killed_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.chaos.COMMAND", warm.forking())
    die_of(["kill the driver"], tmp_path, "hidden_dim=[16]")


def test_a_sweep_that_loses_a_process_of_rays_loses_nothing(tmp_path: Path) -> None:
    """A worker's death comes last: the sweep lives on and ends by itself."""
    die_of(["kill the raylet", "kill a worker"], tmp_path, "hidden_dim=[16]")
