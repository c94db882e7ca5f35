"""The end of a sweep is an answer: what a person sees in a terminal, from the first phase to the table."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

import numpy as np
import pytest

from infomax_tune import load_results
from infomax_tune.answering import what_seeds_show
from infomax_tune.study.read_space import space_from_python
from tests import warm
from tests.command import call
from tests.commands.test_estimate import PARTS

SETTINGS = [
    f"--set={setting}" for setting in ("activation=relu,tanh", "hidden_dim=16,32", "seed=1,2,3,4,5", "epochs=60")
]
METRICS = ("effective_rank", "weight_redundancy", "dead_units", "output_correlation", "variance_ratio")


def in_a_terminal(*arguments: object) -> str:
    """What a terminal of 100 columns was sent by a command that succeeds, without the codes for colors and the cursor."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    command = [*warm.forking(), *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, env=os.environ | {"TERM": "xterm-256color"}
    )
    os.close(follower)
    parts = []
    try:
        while data := os.read(leader, 65536):
            parts.append(data)
    except OSError:  # the other end is closed
        pass
    os.close(leader)
    text = b"".join(parts).decode()
    assert process.wait() == 0, text
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep with its report, in a terminal: its folder, and what was shown."""
    out = tmp_path_factory.mktemp("out") / "a sweep"
    return out, in_a_terminal("sweep", "quickstart", *SETTINGS, "--out", out)


def test_every_phase_is_named_while_it_lasts(swept: tuple[Path, str]) -> None:
    _, shown = swept
    phases = [
        "starting Ray",
        "starting workers",
        "epochs/s",
        "writing the tables",
        "stopping Ray",
        "writing the report",
    ]
    places = [shown.index(phase) for phase in phases]
    assert places == sorted(places)
    assert re.search(r"[|/\\-] writing the report \.\.\.  0:0[1-9]", shown)
    for line in shown.splitlines():
        assert not ("starting" in line and "epochs/s" in line), line


def test_the_power_is_said_before_the_training(swept: tuple[Path, str]) -> None:
    """By the analysis's own function: with five seeds nothing can be shown."""
    from analysis.power import power_of

    _, shown = swept
    sentence = f"power: {power_of(5, 1).sentence}"
    assert sentence in shown.partition("starting Ray")[0]
    assert "0.05" in sentence


def test_a_sweep_ends_with_the_table_the_finding_and_where_to_go(swept: tuple[Path, str]) -> None:
    out, shown = swept
    end = shown.rpartition("20 trials: 20 done")[2]
    table = load_results(out)
    cells = table.groupby(["activation", "hidden_dim"])[list(METRICS)].agg(["mean", "std"])
    rows = [line for line in end.splitlines() if re.match(r"(relu|tanh) +\d", line)]
    assert len(rows) == len(cells) == 4
    for row, (cell, numbers) in zip(rows, cells.iterrows(), strict=True):
        assert tuple(row.split()[:2]) == (cell[0], str(cell[1]))  # type: ignore[index]
        found = [(mean.replace(",", ""), sd.replace(",", "")) for mean, sd in re.findall(r"(\S+) (?:±|×÷) (\S+)", row)]
        for metric, (mean, sd) in zip(METRICS[:-1], found[:-1], strict=True):
            assert float(mean) == pytest.approx(numbers[metric, "mean"], rel=0.051)
            assert float(sd) == pytest.approx(numbers[metric, "std"], rel=0.051)
        logs = np.log(table.set_index(["activation", "hidden_dim"]).loc[[cell], "variance_ratio"])
        assert float(found[-1][0]) == pytest.approx(np.exp(logs.mean()), rel=0.051)  # as the report averages a ratio
        assert float(found[-1][1]) == pytest.approx(np.exp(logs.std()), rel=0.051)
    assert f"report: {(out / 'analysis/report.html').as_uri()}" in end
    assert f"curves: infomax-tune tensorboard '{out}'" in end
    page = (out / "analysis/report.html").read_text()
    lines = [line for line in end.splitlines() if line]
    finding = lines[next(place for place, line in enumerate(lines) if line.startswith("curves: ")) + 1 :]
    assert finding[0].startswith("Effective rank: ")
    assert all(len(line) <= 100 for line in finding)
    assert " ".join(" ".join(finding).split())[:40] in " ".join(page.split())


def test_results_shows_the_same_table_in_a_pipe(swept: tuple[Path, str]) -> None:
    out, shown = swept
    lines = call("results", out).stdout.splitlines()
    assert lines[0] == "20 trials: 20 done"
    assert lines[1].split()[:2] == ["activation", "units"]
    for line in lines[2:6]:
        assert " ".join(line.split()) in " ".join(shown.split())
    assert f"report: {(out / 'analysis/report.html').as_uri()}" in lines
    assert lines[-1].endswith(".")
    assert " ".join(lines[-1].split()) in " ".join(shown.split()), "the same answer as at the end of the sweep"


def test_a_dry_run_counts_its_pilots_and_says_the_power(tmp_path: Path) -> None:
    one_worker = ["--max-concurrent", 1]
    shown = in_a_terminal("sweep", "quickstart", *SETTINGS, *one_worker, "--out", tmp_path / "none", "--dry-run")
    assert "starting Ray" in shown
    assert re.search(r"pilot [12] of 2", shown)  # one for each width
    assert re.search(r"20 trials in 4 cells; 0 done, 20 to train in \d+ packs, 1 at a time\n", shown)
    for part in PARTS:
        assert re.search(part, shown), part
    assert "power: With 5 seeds" in shown.rpartition("nothing was written)")[2]
    assert not (tmp_path / "none").exists()


def test_the_power_counts_the_comparisons_that_the_report_makes() -> None:
    """Activations are compared among InfoMax's trials, at each optimizer; baselines add none."""
    from analysis.power import power_of

    axes = {"activation": ["relu", "tanh"], "optimizer": ["adam", "sgd"], "objective": ["infomax", "random"]}
    space, _ = space_from_python({"axes": {**axes, "seed": {"range": [1, 8]}}}, {}, None)
    assert what_seeds_show(space) == [f"power: {power_of(8, 2).sentence}"]
