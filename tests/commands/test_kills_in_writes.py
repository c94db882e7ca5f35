"""A process is killed, for real, in the middle of a write, in every kind of write: nothing is lost and nothing differs.

Before the file is whole, before it has its name, and after. A trial's files are written by `run`, without Ray, through the
code that a sweep's workers use. The long form, with whole sweeps, is `python -m benchmarks.chaos --kills 150 --faults 150`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.chaos import MOMENTS, WRITES
from infomax_tune import run
from infomax_tune.process.faults import TRACE
from tests.command import call, dies, tables
from tests.folders import make_sweep

EPOCHS = 5
TRIAL = {"dataset": "digits", "activation": "tanh", "epochs": EPOCHS, "checkpoint_every": 1}
OF_A_TRIAL = {
    "checkpoint.safetensors": "written",
    "history.csv": "begun",
    "weights.safetensors": "renamed",
    "record.json": "renamed",
}
OF_THE_DRIVER = ["results.csv", "history.parquet"]


def test_all_writes_are_tried() -> None:
    assert {*OF_A_TRIAL, *OF_THE_DRIVER} == set(WRITES)
    assert set(OF_A_TRIAL.values()) == set(MOMENTS)


def test_a_trial_that_is_killed_in_its_writes_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies in each of its files, each time going on from what is left."""
    words = [f"{name}={value}" for name, value in TRIAL.items()]
    monkeypatch.setenv(TRACE, "trace")
    for name, moment in OF_A_TRIAL.items():
        assert dies(f"{name}:{moment}:1", "run", *words, "--out", "killed"), name
    trained = [int(line.split()[1]) for line in Path("trace").read_text(encoding="utf-8").splitlines()]
    assert trained == [1, 1, 2, 3, 4, 5, 5, 5], "each death cost at most the epoch after the last checkpoint"
    monkeypatch.setenv(TRACE, "after")
    after = run(TRIAL, out="killed")
    assert not Path("after").exists(), "the record was written before the last death"
    undisturbed = run(TRIAL, out="undisturbed")
    assert (after.status, after.result, after.config) == (undisturbed.status, undisturbed.result, undisturbed.config)
    for name in ("history.csv", "weights.safetensors"):
        assert Path("killed", name).read_bytes() == Path("undisturbed", name).read_bytes()


def test_tables_that_are_killed_in_their_writes_lose_nothing() -> None:
    out = make_sweep(Path("sweep"), "epochs=2", "seed=[1, 2]", "activation=[relu, tanh]").root
    before = tables(out)
    for name in OF_THE_DRIVER:
        for moment in MOMENTS:
            Path(out, name).unlink(missing_ok=True)
            assert dies(f"{name}:{moment}:1", "results", out)
            assert Path(out, name).exists() == (moment == "renamed")
            if moment == "renamed":
                assert Path(out, name).read_bytes() == before[name]
    call("results", out)
    assert tables(out) == before
    assert "no damage" in call("verify", out).stdout
