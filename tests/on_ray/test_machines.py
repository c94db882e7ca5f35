"""machines.py: what is told of a cluster whose machines, or whose past, are not alike. `commands` asks a real one."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from infomax_tune.errors import ConfigError, StoreError
from infomax_tune.on_ray import machines
from infomax_tune.on_ray.machines import drift
from infomax_tune.packs.execution import environment_here
from infomax_tune.process.environment import fingerprint

HERE = environment_here(device="cpu", threads=1)
OLDER = HERE | {"cpu": "an older one"}


def test_machines_that_are_alike_and_always_were_are_not_told() -> None:
    assert drift([], [HERE, HERE | {"host": "another"}], 0) == []
    assert drift([HERE, HERE], [HERE], 0) == []


def test_machines_that_differ_are_told_even_if_nothing_was_trained_yet() -> None:
    assert drift([], [HERE, OLDER, OLDER], 0) == [
        f"the machines in the cluster differ: cpu is {HERE['cpu']} and an older one"
    ]


def test_every_machine_is_compared_with_what_trials_were_trained_in() -> None:
    """Each difference once, however many machines have it."""
    was = "trials of this sweep were trained in a different environment"
    assert drift([HERE], [OLDER, OLDER], 0) == [f"{was}: cpu was {HERE['cpu']}, is now an older one"]
    threads = HERE | {"threads": 4}
    assert drift([HERE, threads], [HERE], 0) == [f"{was}: threads was 4, is now 1"]


def test_machines_that_give_no_answer_are_told() -> None:
    assert drift([HERE], [HERE], 2) == ["some machines in the cluster did not answer: 2 of them"]


def test_machines_with_different_gpus_are_told() -> None:
    """An environment's device is the name of its GPU, and a trial's timing names the environment that it was trained in."""
    a100, h100 = HERE | {"device": "NVIDIA A100"}, HERE | {"device": "NVIDIA H100"}
    assert drift([], [a100, h100], 0) == ["the machines in the cluster differ: device is NVIDIA A100 and NVIDIA H100"]
    assert fingerprint(a100) != fingerprint(h100)


def test_a_folder_that_is_not_there_is_waited_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "_LATE_S", 0.2)
    assert not machines.seen(tmp_path / "late")
    monkeypatch.setattr(machines, "_LATE_S", 60)
    threading.Timer(0.2, (tmp_path / "late").touch).start()
    assert machines.seen(tmp_path / "late")


def test_a_machine_without_the_store_s_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It answers, and is not one of the silent."""

    def without_s3fs(text: str) -> Path:
        raise ConfigError(f"{text}: needs a package that is not installed")

    monkeypatch.setattr(machines, "location", without_s3fs)
    environment, problem = machines._answer("cpu", 1, "s3://bucket/study/.probe")
    assert environment == HERE
    assert problem.endswith(" cannot use it (s3://bucket/study/.probe: needs a package that is not installed)")


def test_a_machine_without_the_store_s_credentials_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_credentials(path: Path) -> bool:
        raise StoreError(f"{path}: cannot be read (Unable to locate credentials)")

    monkeypatch.setattr(machines, "seen", without_credentials)
    assert machines._answer("cpu", 1, "/shared/study/.probe")[1].endswith(
        " cannot use it (/shared/study/.probe: cannot be read (Unable to locate credentials))"
    )
