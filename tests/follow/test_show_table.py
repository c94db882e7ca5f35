"""show_table.py: a table in a terminal and in a pipe."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import termios

from infomax_tune.follow.show_table import show_table

HEADINGS = [
    "activation",
    "units",
    "effective rank",
    "weight redundancy",
    "dead units",
    "output correlation",
    "variance ratio",
]
ROWS = [
    ["leaky_relu", "256", "55.4 ± 0.37", "23.9 ± 1.1", "0 ± 0", "21.7 ± 0.83", "46.3 ± 9.3"],
    ["tanh", "16", "5.4 ± 0.37", "3.9 ± 1.1", "0.600 ± 0.89", "1.7 ± 0.83", "[bold] ± 7.1e+09"],
]


def in_a_terminal(columns: int) -> list[str]:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(follower, "w") as terminal:
        show_table(terminal, HEADINGS, ROWS, text_columns=1)
        shown = os.read(leader, 65536).decode()
    os.close(leader)
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()]


def test_a_terminal_breaks_headings_and_not_numbers() -> None:
    lines = in_a_terminal(100)
    assert [line.split() for line in lines[-2:]] == [" ".join(row).split() for row in ROWS]
    assert lines[0].split() == ["effective", "weight", "dead", "output", "variance"]


def test_a_pipe_gets_a_line_per_row() -> None:
    out = io.StringIO()
    show_table(out, HEADINGS, ROWS, text_columns=1)
    lines = out.getvalue().splitlines()
    assert [line.split() for line in lines] == [" ".join(row).split() for row in [HEADINGS, *ROWS]]
    assert lines[1].index("256") + 3 == lines[2].index("16") + 2  # numbers end in one column
