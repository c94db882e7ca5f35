"""streams.py: what libraries print goes to a file, and what we print does not."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infomax_tune.process.streams import diverted, write_line
from tests.command import COMMAND
from tests.folders import make_sweep

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


@pytest.mark.parametrize(("encoding", "dash"), [("ascii", "?"), ("latin-1", "\u00b1")])
def test_what_a_terminal_cannot_show_is_replaced(encoding: str, dash: str, tmp_path: Path) -> None:
    """Whoever prints it: the table is ours, the other lines are click's, which takes ASCII for UTF-8."""
    make_sweep(tmp_path / "\u4e00", "epochs=0", "activation=relu", "seed=1,2", runs=False)
    words = [*COMMAND, "results", "\u4e00"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode("utf-8" if encoding == "ascii" else encoding).splitlines()
    assert re.fullmatch(rf"relu +[\d.]+ {re.escape(dash)} [\d.]+ .*", lines[2]), lines
    assert "results: \u4e00/results.csv" in lines or "results: ?/results.csv" in lines


def test_a_line_is_written_to_a_stream_of_a_program_that_calls_ours() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    write_line(stream, "1 \u00b1 2")
    assert stream.detach().getvalue() == b"1 ? 2\n"  # pyright: ignore[reportAttributeAccessIssue]
