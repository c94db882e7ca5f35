"""streams.py: what libraries print goes to a file, and what we print does not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infomax_tune.process.streams import diverted

PROGRAM = """
import os, subprocess, sys
from pathlib import Path
from infomax_tune.process.streams import diverted

print("before")
try:
    with diverted(Path("log")) as (out, err):
        print("python's stdout")
        os.write(2, b"C's stderr\\n")
        subprocess.run(["echo", "a child's stdout"])
        out.write("ours\\n")
        err.write("our problem\\n")
        raise ValueError("on the way out")
except ValueError as error:
    print(error)
print("after", file=sys.stderr)
"""


def test_all_that_is_printed_goes_to_the_log_but_what_is_meant(tmp_path: Path) -> None:
    Path("log").write_text("older\n")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "before\nours\non the way out\n"
    assert done.stderr == "our problem\nafter\n"
    assert sorted(Path("log").read_text().splitlines()) == [
        "C's stderr",
        "a child's stdout",
        "older",
        "python's stdout",
    ]


def test_a_log_on_a_full_disk_does_not_keep_the_streams() -> None:
    program = """
import sys
from pathlib import Path
from infomax_tune.process.streams import diverted
with diverted(Path("/dev/full")) as (out, err):
    sys.stdout.write("lost")
    out.write("kept\\n")
print("after")
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert "kept\n" in done.stdout
    assert done.stdout.endswith("after\n")


def test_streams_that_are_not_the_process_s_own_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook."""
    mine = io.StringIO()
    monkeypatch.setattr(sys, "stdout", mine)
    with diverted(Path("log")) as (out, _):
        assert out is mine
    assert not Path("log").exists()
