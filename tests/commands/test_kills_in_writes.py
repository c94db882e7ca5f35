"""A sweep that is killed, for real, again and again, comes out as if nothing had happened: in every kind of write.

The long form is `python -m benchmarks.chaos --kills 150 --faults 150`; here each way to die is tried once.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.chaos import WRITES
from tests.chaos import die_of


def test_a_sweep_that_is_killed_while_it_writes_loses_nothing(tmp_path: Path) -> None:
    """In the workers before the file is whole, before it has its name and after, and in the driver's tables."""
    moments = ("half", "written", "renamed")
    in_workers = [f"kill in {name}:{moments[i % 3]}:1" for i, name in enumerate(WRITES[:4])]
    die_of([*in_workers, "kill in results.csv:half:1"], tmp_path, "hidden_dim=[16]")
