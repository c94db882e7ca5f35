"""A trial whose folder takes nothing, not even a note of its failure: the others are trained, and the reason is told."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from tests.command import infomax_tune


def test_it_costs_only_itself(tmp_path: Path) -> None:
    """Folders stand where its history and its failure must go."""
    settings = ["epochs=2", "activation=[tanh]", "seed=[1, 2]"]
    space, _ = load_space("quickstart", overrides=read_overrides(settings)[0])
    stuck = space.trials()[0].trial_id
    out = tmp_path / "sweep"
    for name in ("history.csv", "failure.json"):
        (out / "trials" / stuck / name).mkdir(parents=True)
    options = [word for setting in settings for word in ("--set", setting)]
    done = infomax_tune("sweep", "quickstart", *options, "--pack", 2, "--max-failures", 0, "--out", out, ok=False)
    assert done.returncode == 1
    assert "2 trials: 1 done, 1 failed" in done.stdout
    assert f"{stuck}/history.csv: cannot be written (Is a directory)." in done.stderr
    assert "its worker died" not in done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"incomplete; to go on: infomax-tune resume {out} ")
    assert pd.read_csv(out / "results.csv")["status"].tolist() == ["failed", "done"]
