"""--dry-run: what a sweep would take, said before it starts."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infomax_tune.on_ray import estimate
from infomax_tune.packs.pilot import Cost
from tests.command import call
from tests.folders import make_sweep

PARTS = (
    r"time +about [\d.]+ (s|min)",
    r"CPU-hours +[\d.e-]+",
    r"memory +[\d.]+ GiB",
    r"disk +[\d.]+ KiB",
    "nothing was written",
)
"""What an estimate says."""
SMALL = ["quickstart", "--set", "activation=[relu, tanh]", "--set", "epochs=20"]


@pytest.fixture
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of Ray and its pilots: two slots, and each pack costs the same."""

    @contextlib.contextmanager
    def cluster(*arguments: object, **options: object) -> Iterator[int]:
        yield 2

    def measure(packs: dict, *arguments: object) -> dict:
        return dict.fromkeys(packs, Cost(1.0, 1.0, 0.0, 2**30, 0.0))

    monkeypatch.setattr(estimate, "cluster", cluster)
    monkeypatch.setattr(estimate, "_measure", measure)


@pytest.mark.usefixtures("_measured")
def test_a_dry_run_says_what_there_is_and_leaves_nothing(tmp_path: Path) -> None:
    """In a pipe nothing else; `test_answer` has one on real Ray."""
    out = tmp_path / "sweep"
    text = call("sweep", *SMALL, "--out", out, "--dry-run").stdout
    assert re.match(r"20 trials in 2 cells; 0 done, 20 to train in \d+ packs, \d+ at a time\n", text)
    for what in PARTS:
        assert re.search(what, text), what
    assert not out.exists()
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("_measured")
def test_a_dry_run_counts_what_is_done_and_changes_nothing(tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "sweep", "activation=[relu, tanh]", "epochs=20", "seed=[1, 2, 3]").root
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    text = call("sweep", *SMALL, "--out", out, "--dry-run").stdout
    assert "20 trials in 2 cells; 6 done, 14 to train in 2 packs, 2 at a time\n" in text
    done = call("resume", out, "--dry-run").stdout
    assert done == "6 trials in 2 cells; 6 done: nothing to train\n"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_dry_run_is_refused_where_the_sweep_would_be(tmp_path: Path) -> None:
    (tmp_path / "results.csv").touch()
    strange = call("sweep", *SMALL, "--out", tmp_path, "--dry-run", ok=False)
    assert (strange.returncode, "holds results.csv, which no sweep made" in strange.stderr) == (2, True)
    out = make_sweep(tmp_path / "sweep", "activation=[relu, tanh]", "epochs=1", "seed=[1]").root
    other = call("sweep", *SMALL, "--out", out, "--dry-run", ok=False)
    assert (other.returncode, "already contains a sweep with a different config" in other.stderr) == (2, True)


@pytest.mark.usefixtures("_measured")
def test_a_dry_run_says_which_trials_torch_trains_and_why(tmp_path: Path) -> None:
    Path("mine.py").write_text("def half(z):\n    return z / 2\n", encoding="utf-8")
    axes = ("--set", "activation=relu,tanh,mine.py:half", "--set", "objective=infomax,reconstruction")
    text = call("sweep", "quickstart", *axes, "--set", "seed=1,2", "--out", tmp_path / "sweep", "--dry-run").stdout
    assert re.findall("^torch .*$", text, re.MULTILINE) == [
        "torch      trains 2 trials, several times slower than the compiled loops: its activation has no forward and "
        "derivative made of infomax_tune.parts.elementwise",
        "torch      trains 6 trials, several times slower than the compiled loops: its objective rebuilds the inputs",
    ]
