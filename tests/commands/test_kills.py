"""A sweep that is killed, for real, again and again, comes out as if nothing had happened: by signals, and where Ray loses a part.

The long form is `python -m benchmarks.chaos --kills 150 --faults 150`; here each way to die is tried once.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.family import PROCESSES, SIGNALS
from tests.chaos import die_of


def test_a_sweep_that_is_killed_by_signals_or_loses_a_process_of_rays_loses_nothing(tmp_path: Path) -> None:
    """A worker's death comes last: the sweep lives on and ends by itself."""
    die_of([*SIGNALS, "kill the raylet", "kill the GCS", "kill a worker"], tmp_path)
    assert len(PROCESSES) == 3
