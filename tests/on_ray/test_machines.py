"""machines.py: what is told of a cluster whose machines, or whose past, are not alike. `commands` asks a real one."""

from __future__ import annotations

from infomax_tune.on_ray.machines import drift, environments
from infomax_tune.packs.execution import environment_here
from infomax_tune.study.options import Options

HERE = environment_here(device="cpu", threads=1)
OLDER = HERE | {"cpu": "an older one"}


def test_a_sweep_that_starts_ray_itself_is_on_this_machine() -> None:
    assert environments(Options()) == ([HERE], 0)


def test_machines_that_are_alike_and_always_were_are_not_told() -> None:
    assert drift([], [HERE, HERE | {"host": "another"}], 0) == []
    assert drift([HERE, HERE], [HERE], 0) == []


def test_machines_that_differ_are_told_even_if_nothing_was_trained_yet() -> None:
    assert drift([], [HERE, OLDER, OLDER], 0) == [
        f"the machines of the cluster are not alike: cpu is {HERE['cpu']} and an older one"
    ]


def test_every_machine_is_compared_with_what_trials_were_trained_in() -> None:
    """Each difference once, however many machines have it."""
    was = "trials of this sweep were trained in another environment"
    assert drift([HERE], [OLDER, OLDER], 0) == [f"{was}: cpu was {HERE['cpu']}, is an older one"]
    threads = HERE | {"threads": 4}
    assert drift([HERE, threads], [HERE], 0) == [f"{was}: threads was 4, is 1"]


def test_machines_that_give_no_answer_are_told() -> None:
    assert drift([HERE], [HERE], 2) == ["machines of the cluster gave no answer: 2 of them"]
