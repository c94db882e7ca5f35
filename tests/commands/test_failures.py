"""Trials that fail, for real: each is recorded as what it is, and takes no other with it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import psutil
import pytest

from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.study.read_config import read_overrides
from infomax_tune.study.read_space import load_space
from tests.command import infomax_tune


def test_a_trial_that_raises_keeps_its_traceback_and_the_others_go_on(tmp_path: Path) -> None:
    """A folder stands where one trial's history must go."""
    settings = ["epochs=2", "activation=[tanh]", "seed=[1, 2, 3]"]
    space, _ = load_space("quickstart", overrides=read_overrides(settings)[0])
    stuck = space.trials()[1].trial_id
    out = tmp_path / "sweep"
    (out / "trials" / stuck / "history.csv").mkdir(parents=True)
    options = [word for setting in settings for word in ("--set", setting)]
    done = infomax_tune("sweep", "quickstart", *options, "--pack", 3, "--max-failures", 1, "--out", out, ok=False)
    assert done.returncode == 1
    assert "3 trials: 2 done, 1 failed" in done.stdout
    assert "trials of the packs that failed are tried one by one" in done.stdout
    assert done.stderr.count("in train_on_ray") == 1  # the first traceback whole, the others in a line
    again = f"incomplete; to go on: infomax-tune resume {out} --pack 3 --max-failures 1 --no-report"
    assert done.stderr.splitlines()[-1] == again
    results = pd.read_csv(out / "results.csv")
    assert results["status"].tolist() == ["done", "failed", "done"]
    failure = SweepFolder(out).trial(stuck).read_failure()
    assert failure is not None
    assert "Is a directory" in failure["error"]
    assert failure["epoch"] == 1  # the last it had reported: the second is what failed
    assert f"{stuck}: failed: infomax_tune.errors.StoreError: " in infomax_tune("status", out).stdout
    # the cause is gone: so is the failure
    (out / "trials" / stuck / "history.csv").rmdir()
    assert "3 trials: 3 done" in infomax_tune("resume", out).stdout
    assert SweepFolder(out).trial(stuck).read_failure() is None


def test_a_worker_that_runs_out_of_memory_is_counted_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16,000 units need gigabytes for their correlations; Ray ends the worker that takes two more than are in use."""
    memory = psutil.virtual_memory()
    monkeypatch.setenv(
        "RAY_memory_usage_threshold", f"{(memory.total - memory.available + 2 * 2**30) / memory.total:.3f}"
    )
    out = tmp_path / "sweep"
    options = [
        "--set",
        "epochs=3",
        "--set",
        "activation=[identity]",
        "--set",
        "hidden_dim=[16, 16000]",
        "--set",
        "seed=[1]",
    ]
    done = infomax_tune("sweep", "synthetic_2d", *options, "--max-failures", 0, "--out", out, ok=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "2 trials: 1 done, 1 failed" in done.stdout
    assert "Ray ended a worker for want of memory" in done.stdout
    assert "its worker ran out of memory" in infomax_tune("status", out).stdout
    assert pd.read_csv(out / "results.csv").set_index("hidden_dim")["status"].to_dict() == {16: "done", 16000: "failed"}
