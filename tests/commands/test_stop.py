"""stop (follow/stopping.py): a sweep under way ends with its checkpoints, asked from another process."""

from __future__ import annotations

from pathlib import Path

import pytest

import infomax_tune
from infomax_tune import InfomaxTuneError
from infomax_tune.store.sweep_folder import SweepFolder
from tests.command import call, start, wait_until
from tests.folders import make_sweep


def test_a_sweep_is_stopped_from_elsewhere_and_can_be_resumed(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    long = ["epochs=100000", "activation=relu,tanh,softplus", "seed=1", "checkpoint_every=100000"]
    words = [*(word for each in long for word in ("--set", each)), "--max-concurrent", 1]
    sweep = start("sweep", "quickstart", *words, "--out", out, "--no-report")
    try:
        notes = SweepFolder(out).driver
        wait_until(lambda: any(pack["epoch"] for pack in (notes.read_progress() or {"packs": []})["packs"]))
        listed = infomax_tune.list(tmp_path)
        assert [(each.out, each.state, each.ended, each.trials) for each in listed] == [(str(out), "running", 0, 3)]
        done = call("stop", out)
        assert done.stdout == f"{out}: stopped; to resume: infomax-tune resume {out}\n"
        said, problems = sweep.communicate(timeout=900)
    finally:
        sweep.kill()
    assert sweep.returncode == 130
    assert "stop requested; finishing the current epochs" in said
    assert f"stopped; to resume: infomax-tune resume {out} --max-concurrent 1 --no-report" in problems
    assert list(out.glob("trials/*/checkpoint.safetensors"))
    assert not (out / "stop").exists()


def test_there_must_be_a_sweep_at_work(tmp_path: Path) -> None:
    out = make_sweep(tmp_path / "sweep", "epochs=1", "activation=relu", "seed=1").root
    done = call("stop", out, ok=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{out}: no sweep is running here; check its status with: infomax-tune status {out}" in done.stderr
    assert not (out / "stop").exists()
    with pytest.raises(InfomaxTuneError, match="does not exist"):
        infomax_tune.stop("nowhere")
