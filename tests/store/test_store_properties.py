"""Any interleaving of writes, crashes and resumes ends in the same tables."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infomax_tune.process import faults
from infomax_tune.store.checkpoint import Checkpoint
from infomax_tune.store.mending import mend_folder
from infomax_tune.store.record import Record
from infomax_tune.store.sweep_folder import SweepFolder
from infomax_tune.store.tables import write_tables
from infomax_tune.store.trial_folder import TrialFolder
from infomax_tune.store.verify import Verification, verify
from infomax_tune.study import columns
from infomax_tune.study.config import TrialConfig
from infomax_tune.study.plan import Plan
from infomax_tune.study.trial_status import TrialStatus

EPOCHS = 4
POINTS = [
    f"{name}:{moment}"
    for name in (
        "record.json",
        "history.csv",
        "weights.safetensors",
        "checkpoint.safetensors",
        "results.csv",
        "tables.json",
    )
    for moment in ("begun", "written", "renamed")
]


class Crash(BaseException):
    """A death in the middle of a write: nothing after it happens."""


def value(config: TrialConfig, epoch: int) -> float:
    """What this trial measures at this epoch, whoever trains it."""
    return config.training.seed / 7 + epoch


def row(config: TrialConfig, epoch: int) -> dict[str, float]:
    return {"epoch": epoch, **dict.fromkeys(columns.HISTORY[1:], value(config, epoch))}


def train(config: TrialConfig, folder: TrialFolder, epochs: int) -> None:
    """Trains up to so many epochs from the checkpoint, with the store's own files and no tensors to speak of."""
    if folder.has_record():
        return
    checkpoint = folder.read_checkpoint()
    history = list(checkpoint.history) if checkpoint else [row(config, 0)]
    while len(history) <= EPOCHS and epochs:
        epochs -= 1
        history.append(row(config, len(history)))
        weights = {"weight": np.full((2, 2), value(config, len(history)), np.float32)}
        if len(history) <= EPOCHS:
            folder.write_checkpoint(Checkpoint(config.trial_id, len(history) - 1, weights, history, {}))
        else:
            result = {name: value(config, EPOCHS) for name in columns.FINAL}
            folder.write_record(
                Record(config.trial_id, TrialStatus.DONE, EPOCHS, config.nested(), result, {}), history, weights
            )


def finished_tables(store: SweepFolder, plan: list[TrialConfig]) -> dict[str, bytes]:
    for config in plan:
        train(config, store.trial(config.trial_id), EPOCHS)
    mend_folder(store, Plan(plan))
    write_tables(store, Plan(plan))
    return {name: (store.root / name).read_bytes() for name in ("results.csv", "results.parquet", "history.parquet")}


step = st.tuples(st.integers(0, 5), st.integers(1, EPOCHS), st.none() | st.sampled_from(POINTS), st.integers(1, 3))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, max_size=12))
def test_any_interleaving_of_writes_crashes_and_resumes_ends_in_the_same_tables(
    steps: list[tuple[int, int, str | None, int]],
    make_config: Callable[..., TrialConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = [make_config(activation=name, seed=seed) for name, seed in itertools.product(("relu", "tanh"), (1, 2, 3))]
    passed = 0
    with tempfile.TemporaryDirectory() as folder:
        store = SweepFolder(Path(folder, "killed"))
        store.create()
        for trial, epochs, point, nth in steps:
            passed = 0

            def crash(name: str, point: str | None = point, nth: int = nth) -> None:
                nonlocal passed
                passed += name == point
                if name == point and passed == nth:
                    raise Crash

            monkeypatch.setattr(faults, "point", crash)
            try:
                train(plan[trial], store.trial(plan[trial].trial_id), epochs)
                write_tables(store, Plan(plan))
            except Crash:
                pass
            before = {path: path.read_bytes() for path in store.root.glob("trials/*/record.json")}
            monkeypatch.setattr(faults, "point", lambda name: None)
            assert verify(store, Plan(plan)).damage == []
            assert all(path.read_bytes() == data for path, data in before.items())
        undisturbed = SweepFolder(Path(folder, "undisturbed"))
        undisturbed.create()
        assert finished_tables(store, plan) == finished_tables(undisturbed, plan)
        assert verify(store, Plan(plan)) == Verification(len(plan), [], [])
        assert not list(store.root.glob("**/*.tmp"))
